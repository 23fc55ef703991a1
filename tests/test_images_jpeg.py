import io

import numpy as np
import pytest
from PIL import Image

from smidgen.errors import FileError
from smidgen.images.picture import read_picture


def progressive_jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((200, 300), 128, np.uint8)).save(file, "jpeg", progressive=True)
    return file.getvalue()


def test_thousands_of_scans_are_refused():
    """A JPEG of 14 bytes a scan, each of which goes over the whole picture, is refused before it is decoded."""
    honest = progressive_jpeg()
    scan = honest[honest.rindex(b"\xff\xda") : -2]
    bomb = honest[:-2] + 3000 * scan + honest[-2:]
    with pytest.raises(FileError, match="more than 100 scans"):
        read_picture(bomb)


def test_what_stands_beside_the_scans_does_not_count():
    """A thumbnail, a comment and a film behind the picture may hold any bytes; restarts and fillers are no scans."""
    honest = progressive_jpeg()
    noise = 300 * b"\xff\xda\x00\x02"
    comment = b"\xff\xfe" + (len(noise) + 2).to_bytes(2, "big") + noise
    fillers = 200 * b"\xff"
    picture = read_picture(honest[:2] + comment + fillers + honest[2:] + noise)
    np.testing.assert_array_equal(picture.pages[0], read_picture(honest).pages[0])
    file = io.BytesIO()
    image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(image).save(file, "jpeg", restart_marker_blocks=1)
    assert file.getvalue().count(b"\xff\xd0") > 5
    assert read_picture(file.getvalue()).pages[0].shape == (64, 64, 1)
