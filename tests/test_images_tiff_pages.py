from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from smidgen.images.picture import read_picture
from tests.conftest import Denoise
from tests.pictures import GENERATOR, GREY8, PROFILE, STACK, laid_out, one_directory, tags

STACKED = {
    "axes": "TZCYX", "unit": "um", "spacing": 3.5, "finterval": 0.1, "min": 10.0, "max": 900.0, "mode": "composite",
    "Ranges": (0.0, 100.0, 3.0, 9.0), "Info": "a recording", "Labels": [f"slice {n}" for n in range(12)],
}  # fmt: skip


def test_makes_that_another_library_reads(tmp_path: Path, denoise: Denoise):
    """LZW, palettes and black-and-white keep what they say too; print colours all but their profile."""
    colours = Image.merge("RGB", [Image.fromarray(GREY8)] * 3)
    images = {"lzw": colours, "palette": colours.quantize(4), "print": colours.convert("CMYK")}
    images["bilevel"] = Image.fromarray(GREY8 > 99)
    for name, image in images.items():
        image.save(
            tmp_path / "a.tif", compression="tiff_lzw", dpi=(300, 150), icc_profile=PROFILE, tiffinfo={270: "A boat"}
        )
        after = tags(denoise("a.tif"))
        assert (after[270], after[282], after[283], after[296]) == ("A boat", (300, 1), (150, 1), 2), name
        assert (after.get(34675) == PROFILE) == (name != "print")


@pytest.mark.parametrize("compression", ["tiff_lzw", "group4", "packbits", "tiff_deflate", None])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_pages_that_another_library_reads(tmp_path: Path, compression: str | None, mode: str):
    """Several pages come whole in each compression and kind of colours, pages of unlike sizes too."""
    if compression == "group4" and mode != "1":
        return
    images = [Image.fromarray(GREY8[:, : 20 + number]).convert(mode) for number in range(3)]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:], compression=compression)
    pages = read_picture(tmp_path / "a.tif").pages
    assert len(pages) == 3
    for page, image in zip(pages, images, strict=True):
        expected = np.asarray(image.convert("RGB" if mode in ("RGB", "P") else "L"))
        np.testing.assert_array_equal(page, expected.reshape(page.shape))


def test_pages_of_unlike_makes(tmp_path: Path, denoise: Denoise):
    """A file whose pages are read by one library and the other is denoised in its order."""
    images = [Image.fromarray(GREY8), Image.fromarray(GREY8 > 99), Image.fromarray(GREY8[::-1])]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    pages = [page[..., 0] for page in read_picture(tmp_path / "a.tif").pages]
    np.testing.assert_array_equal(pages, [GREY8, (GREY8 > 99) * 255, GREY8[::-1]])
    with tifffile.TiffFile(denoise("a.tif")) as tiff:
        assert len(tiff.pages) == 3


@pytest.mark.parametrize("order", "<>")
def test_imagej_hyperstack(tmp_path: Path, denoise: Denoise, order: str):
    """A hyperstack keeps axes, calibration, display range and parts; its values stand as ImageJ reads them, in one."""
    tifffile.imwrite(
        tmp_path / "a.tif", STACK, imagej=True, byteorder=order, metadata=STACKED, resolution=(5.5, 4.4)
    )  # fmt: skip
    out = denoise("a.tif")
    assert laid_out(out) == laid_out(tmp_path / "a.tif") == ("TZCYX", STACK.shape)
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(out) as after:
        assert after.is_imagej
        assert after.imagej_metadata == before.imagej_metadata
        assert after.imagej_metadata["Labels"] == STACKED["Labels"]
        assert after.pages[0].resolution == before.pages[0].resolution
        assert len(after.pages) == 12
        places = [page.dataoffsets[0] for page in after.pages]
        assert set(np.diff(places)) == {24 * 36 * 2}
        whole = np.frombuffer(out.read_bytes(), order + "u2", STACK.size, places[0])
        np.testing.assert_array_equal(whole, after.asarray().ravel())


def test_imagej_of_colours(tmp_path: Path, denoise: Denoise):
    """A stack of colours stays one."""
    image = GENERATOR.integers(0, 255, (4, 24, 36, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"axes": "ZYXS", "unit": "um", "spacing": 2.0})
    assert laid_out(denoise("a.tif")) == laid_out(tmp_path / "a.tif") == ("ZYXS", image.shape)
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert tiff.imagej_metadata["spacing"] == 2.0


@pytest.mark.parametrize("way", ["small", "by rows"])
def test_imagej_stack_under_one_directory(
    tmp_path: Path, denoise: Denoise, request: pytest.FixtureRequest, way: str, monkeypatch: pytest.MonkeyPatch
):
    """All images of such a stack are denoised, each as it would be alone."""
    values = STACK[0, :, 0]
    one_directory(tmp_path / "a.tif", values, 3)
    if way == "by rows":
        monkeypatch.setattr("smidgen.images.tiff_rows.LARGE_PIXELS", 10)
    out = denoise("a.tif")
    assert laid_out(out) == ("ZYX", values.shape)
    tifffile.imwrite(tmp_path / "b.tif", values[2], metadata=None)
    np.testing.assert_array_equal(tifffile.imread(out)[2], tifffile.imread(denoise("b.tif", "outb.tif")))


def test_imagej_by_rows(tmp_path: Path, denoise: Denoise, by_rows: None):
    """A large image of ImageJ's keeps its calibration, and is written in strips, since ImageJ knows no tiles."""
    image = GENERATOR.integers(0, 60_000, (300, 280), np.uint16)
    said = {"unit": "um", "min": 1.0, "max": 9.0}
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, byteorder=">", metadata=said, resolution=(5.5, 4.4))
    out = denoise("a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(out) as after:
        assert after.imagej_metadata == before.imagej_metadata
        assert after.pages[0].resolution == before.pages[0].resolution
        assert not after.pages[0].is_tiled
        assert after.pages[0].is_contiguous
        rows = after.asarray()
    with tifffile.TiffFile(denoise("a.tif", "out8.tif", "--depth", "8")) as after:
        assert "min" not in after.imagej_metadata
        assert np.abs(np.rint(rows / 257) - after.asarray()).max() <= 1
