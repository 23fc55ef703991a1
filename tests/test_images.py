from pathlib import Path

import numpy as np
import png
import pytest
import tifffile
from PIL import Image

from smidgen.errors import FileError
from smidgen.images import read_image

GREY8 = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR8 = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("image", [GREY8, COLOUR8], ids=["grey", "colour"])
def test_lossless_8_bit_files_come_back_exactly(tmp_path: Path, suffix: str, image: np.ndarray):
    """PNG, BMP and TIFF of 8 bits keep every value."""
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(image).save(path)
    np.testing.assert_array_equal(read_image(path), image.reshape(3, 4, -1))


def test_jpeg_comes_back_nearly(tmp_path: Path):
    """A smooth JPEG keeps its values within its loss."""
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg")[..., 0].astype(int) - ramp).max() <= 4


def test_16_bit_grey_png(tmp_path: Path):
    """A 16-bit grey PNG keeps all 16 bits."""
    image = (np.arange(12).reshape(3, 4) * 5000).astype(np.uint16)
    Image.fromarray(image).save(tmp_path / "a.png")
    result = read_image(tmp_path / "a.png")
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result[..., 0], image)


def test_16_bit_colour_png(tmp_path: Path):
    """A 16-bit colour PNG keeps all 16 bits too."""
    image = (np.arange(36).reshape(3, 4, 3) * 1800).astype(np.uint16)
    with (tmp_path / "a.png").open("wb") as file:
        png.Writer(4, 3, greyscale=False, bitdepth=16).write(file, image.reshape(3, 12).tolist())
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_deep_tiff(tmp_path: Path, kind: type):
    """TIFFs of 16 bits and of floats keep their values."""
    image = (np.arange(36).reshape(3, 4, 3) * 1800).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    result = read_image(tmp_path / "a.tif")
    assert result.dtype == kind
    np.testing.assert_array_equal(result, image)


def test_white_is_zero(tmp_path: Path):
    """A TIFF whose zero is white, as scanners write them, is turned the right way."""
    tifffile.imwrite(tmp_path / "a.tif", 255 - GREY8, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], GREY8)


def test_lzw_tiff(tmp_path: Path):
    """A TIFF with LZW compression is read as well."""
    Image.fromarray(GREY8).save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], GREY8)


def test_palette_bilevel_and_print_colours(tmp_path: Path):
    """Pictures with a palette or print colours become colour, black-and-white ones grey, alike in PNG and TIFF."""
    Image.fromarray(COLOUR8).quantize(4).save(tmp_path / "p.png")
    Image.fromarray(GREY8).convert("1").save(tmp_path / "b.png")
    Image.fromarray(COLOUR8).quantize(4).save(tmp_path / "p.tif")
    Image.fromarray(GREY8).convert("1").save(tmp_path / "b.tif")
    Image.fromarray(COLOUR8).convert("CMYK").save(tmp_path / "c.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), read_image(tmp_path / "p.tif"))
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), read_image(tmp_path / "b.tif"))
    assert read_image(tmp_path / "c.tif").shape == (3, 4, 3)
    assert read_image(tmp_path / "p.png").shape == (3, 4, 3)
    assert set(np.unique(read_image(tmp_path / "b.png"))) <= {0, 255}


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_refused_by_name(tmp_path: Path, name: str, mode: str):
    """An image with transparency ends with an error that says alpha."""
    Image.new(mode, (4, 3)).save(tmp_path / name)
    with pytest.raises(FileError, match="alpha"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.bmp"])
def test_damaged_files_are_named(tmp_path: Path, name: str):
    """A file that is no image, or that ends early, gives an error with its name."""
    (tmp_path / name).write_bytes(b"not an image")
    with pytest.raises(FileError, match=name):
        read_image(tmp_path / name)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=name):
        read_image(tmp_path / name)


def test_missing_file(tmp_path: Path):
    """A file that is not there is said to be missing."""
    with pytest.raises(FileError, match="does not exist"):
        read_image(tmp_path / "a.png")


def test_pages_are_refused(tmp_path: Path):
    """A TIFF of several pages is not one image."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3, 4), np.uint8), photometric="minisblack")
    with pytest.raises(FileError, match="2 pages"):
        read_image(tmp_path / "a.tif")
