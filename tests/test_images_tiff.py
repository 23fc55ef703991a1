import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from smidgen.images.picture import pack_picture, read_picture
from smidgen.images.tiff import turn_upright, turn_white


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_keeps_every_pixel(orientation: int):
    """Each of the eight ways is a rearrangement; doing it again as often as needed gives the picture back."""
    image = np.arange(12).reshape(3, 4, 1)
    turned = turn_upright(image, orientation)
    assert sorted(turned.ravel()) == list(range(12))
    for _ in range(3):
        turned = turn_upright(turned, orientation)
    np.testing.assert_array_equal(turned, image)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_orientations_without_sense(tmp_path: Path, orientation: int, compression: str | None):
    """What is none of the eight ways turns nothing, whichever library reads the TIFF, as it is in Pillow."""
    image = np.arange(32, dtype=np.uint8).reshape(4, 8)
    if compression == "lzw":
        Image.fromarray(image).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={274: 2})
        good, bad = (struct.pack("<HHII", 274, 3, 1, value) for value in (2, orientation))
        content = (tmp_path / "a.tif").read_bytes()
        assert good in content
        (tmp_path / "a.tif").write_bytes(content.replace(good, bad))
    else:
        tag = (274, 3, 1, orientation, True)
        tifffile.imwrite(tmp_path / "a.tif", image, compression=compression, extratags=[tag])
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pages[0][..., 0], image)


def test_white_turns_both_ways():
    """Turning white to zero and back gives the same values; floats have no largest value and stay."""
    image = np.arange(5, dtype=np.uint16)
    np.testing.assert_array_equal(turn_white(turn_white(image, True), True), image)
    np.testing.assert_array_equal(turn_white(image.astype(float), True), image)


def test_an_alpha_of_no_known_kind(tmp_path: Path):
    """A fourth channel that is called something unheard of is kept as an unspecified one."""
    image = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    content = (tmp_path / "a.tif").read_bytes()
    tag = struct.pack("<HHIH", 338, 3, 1, 2)
    (tmp_path / "a.tif").write_bytes(content.replace(tag, struct.pack("<HHIH", 338, 3, 1, 66)))
    (tmp_path / "b.tif").write_bytes(pack_picture(read_picture(tmp_path / "a.tif")))
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages.first.extrasamples == (0,)
        np.testing.assert_array_equal(tiff.asarray(), image)
