from pathlib import Path

import numpy as np
import png
import pytest

from smidgen.images.picture import read_picture


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("samples", [2, 3, 4])
def test_16_bit_colour_png(tmp_path: Path, samples: int, interlace: bool):
    """PNGs of 16 bits keep all bits of their colours and their alpha, in whatever order their rows come."""
    image = (np.arange(60 * samples).reshape(6, 10, samples) * 270).astype(np.uint16)
    writer = png.Writer(10, 6, greyscale=samples == 2, alpha=samples != 3, bitdepth=16, interlace=interlace)
    with (tmp_path / "a.png").open("wb") as file:
        writer.write(file, image.reshape(6, -1).tolist())
    picture = read_picture(tmp_path / "a.png")
    parts = [part for part in (picture.pages[0], picture.alphas[0]) if part is not None]
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), image)
