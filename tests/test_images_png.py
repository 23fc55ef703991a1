import struct
from pathlib import Path

import numpy as np
import png
import pytest
from PIL import Image, PngImagePlugin

from smidgen.images.kinds import Picture
from smidgen.images.picture import pack_picture, read_picture
from tests.conftest import Denoise
from tests.pictures import COLOUR8, GREY8, PROFILE, TOLD, add_chunk, chunks, make_exif, told_by, xmp


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


def save_png(path: Path, samples: str) -> None:
    """A PNG that says all that PNGs can."""
    said = PngImagePlugin.PngInfo()
    said.add_text("Title", "A boat")
    said.add_text("Comment", "a long one " * 50, zip=True)
    said.add_itxt("Description", "Ein Böötchen", "de", "Beschreibung")
    said.add_itxt("XML:com.adobe.xmp", xmp().decode())
    said.add(b"gAMA", struct.pack(">I", 45455))
    if samples == "16-bit colour":
        path.write_bytes(pack_picture(Picture(pages=(COLOUR8.astype(np.uint16) * 257,), alphas=(None,), kind="png")))
        image = Image.fromarray(COLOUR8)
        image.save(path.with_name("b.png"), pnginfo=said, dpi=(300, 150), exif=make_exif(), icc_profile=PROFILE)
        for name, content in chunks(path.with_name("b.png")):
            if name not in (b"IHDR", b"IDAT", b"IEND"):
                add_chunk(path, name, content)
        return
    image = Image.fromarray({"8-bit colour": COLOUR8, "16-bit grey": GREY8.astype(np.uint16) * 257}.get(samples, GREY8))
    image.save(path, pnginfo=said, dpi=(300, 150), exif=make_exif(), icc_profile=PROFILE)


@pytest.mark.parametrize("samples", ["8-bit grey", "8-bit colour", "16-bit grey", "16-bit colour"])
def test_png(tmp_path: Path, denoise: Denoise, samples: str):
    """A PNG of any depth keeps resolution, EXIF, profile, XMP, gamma and texts, packed ones as they were."""
    save_png(tmp_path / "a.png", samples)
    out = denoise(tmp_path / "a.png", "out.png")
    before, after = chunks(tmp_path / "a.png"), chunks(out)
    assert {name for name, _ in before} == {name for name, _ in after}
    for name in (b"pHYs", b"gAMA", b"tEXt", b"zTXt"):
        assert sorted(one for one in before if one[0] == name) == sorted(one for one in after if one[0] == name)
    with Image.open(out) as image:
        image.load()
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
        assert image.info["icc_profile"] == PROFILE
        assert image.text["Description"] == "Ein Böötchen"
        assert image.text["XML:com.adobe.xmp"] == xmp().decode()
        assert told_by(image.getexif()) == TOLD


def test_depth_changes_nothing_else(tmp_path: Path, denoise: Denoise):
    """A picture of another depth says the same."""
    save_png(tmp_path / "a.png", "8-bit colour")
    with Image.open(denoise(tmp_path / "a.png", "out.png", "--depth", "16")) as image:
        image.load()
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
        assert image.info["icc_profile"] == PROFILE
        assert told_by(image.getexif()) == TOLD


def test_metadata_without_measure_are_left_out(tmp_path: Path, denoise: Denoise, capsys: pytest.CaptureFixture[str]):
    """Texts of tens of megabytes are not carried on, which is said; the picture is."""
    Image.fromarray(GREY8).save(tmp_path / "a.png", dpi=(300, 300))
    add_chunk(tmp_path / "a.png", b"tEXt", b"Comment\0" + bytes([32]) * 40_000_000)
    out = denoise(tmp_path / "a.png", "out.png")
    assert out.stat().st_size < 100_000
    assert "left out" in capsys.readouterr().err
    with Image.open(out) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
