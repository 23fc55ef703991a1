from pathlib import Path

import pytest
import tifffile
from PIL import Image

from tests.conftest import Denoise
from tests.pictures import COLOUR8, GREY8, GREY16, PROFILE, TOLD, make_exif, told_by, xmp


def test_resolution_turns_with_the_picture(tmp_path: Path, denoise: Denoise):
    """Dots per inch across and down change places when the picture is laid on its side."""
    for name in ("a.png", "a.jpg", "a.tif"):
        Image.fromarray(GREY8).save(tmp_path / name, dpi=(300, 150), exif=make_exif(6))
        with Image.open(denoise(tmp_path / name, f"out{name[1:]}")) as image:
            assert image.size == (24, 36)
            assert image.info["dpi"] == pytest.approx((150, 300), abs=0.02), name


@pytest.mark.parametrize("target", ["out.png", "out.jpg", "out.webp", "out.tif", "out.bmp"])
@pytest.mark.parametrize("source", ["a.png", "a.jpg", "a.tif"])
def test_another_kind_of_file(tmp_path: Path, denoise: Denoise, source: str, target: str):
    """Resolution, EXIF and profile go from each kind to each other that can hold them."""
    Image.fromarray(COLOUR8).save(tmp_path / source, dpi=(300, 300), exif=make_exif(), icc_profile=PROFILE)
    with Image.open(denoise(tmp_path / source, target)) as image:
        image.load()
        if target != "out.webp":
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)
        if target != "out.bmp":
            assert image.info["icc_profile"] == PROFILE
            assert told_by(image.getexif()) == TOLD


def test_resolution_in_webp(tmp_path: Path, denoise: Denoise, capsys: pytest.CaptureFixture[str]):
    """A WebP tells its resolution by EXIF: made where there is none; where there is, and it does not, that is said."""
    Image.fromarray(GREY8).save(tmp_path / "a.png", dpi=(300, 150))
    with Image.open(denoise(tmp_path / "a.png", "out.webp")) as image:
        exif = image.getexif()
        assert (exif[0x011A], exif[0x011B], exif[0x0128]) == (pytest.approx(300), pytest.approx(150, abs=0.02), 2)
    assert "resolution" not in capsys.readouterr().err
    Image.fromarray(GREY8).save(tmp_path / "b.png", dpi=(300, 150), exif=make_exif())
    denoise(tmp_path / "b.png", "out.webp")
    assert "webp cannot hold its resolution" in capsys.readouterr().err


def test_what_a_kind_cannot_hold_is_said(tmp_path: Path, denoise: Denoise, capsys: pytest.CaptureFixture[str]):
    """One line names what is lost; nothing is said where nothing is."""
    Image.fromarray(GREY8).save(tmp_path / "a.jpg", dpi=(300, 300), exif=make_exif(), icc_profile=PROFILE)
    denoise(tmp_path / "a.jpg", "out.bmp")
    assert "bmp cannot hold EXIF, a colour profile" in capsys.readouterr().err
    denoise(tmp_path / "a.jpg", "out.npy")
    assert "npy cannot hold its resolution, EXIF, a colour profile" in capsys.readouterr().err
    denoise(tmp_path / "a.jpg", "out.png")
    assert "hold" not in capsys.readouterr().err


def test_what_only_a_tiff_can_hold_is_said(tmp_path: Path, denoise: Denoise, capsys: pytest.CaptureFixture[str]):
    """ImageJ's calibration is lost in a PNG, which is said; a plain TIFF loses nothing."""
    tifffile.imwrite(tmp_path / "a.tif", GREY16, imagej=True, metadata={"unit": "um"})
    denoise("a.tif", "out.png")
    assert "png cannot hold a TIFF's own tags" in capsys.readouterr().err
    Image.fromarray(GREY8).save(tmp_path / "b.tif", dpi=(300, 150), exif=make_exif())
    denoise("b.tif", "out.png")
    assert "hold" not in capsys.readouterr().err


def test_jpeg(tmp_path: Path, denoise: Denoise):
    """A JPEG keeps resolution, EXIF with its maker's note where it was, profile, XMP and comment."""
    said = {"dpi": (300, 300), "exif": make_exif(), "icc_profile": PROFILE, "xmp": xmp(), "comment": b"hello"}
    Image.fromarray(COLOUR8).save(tmp_path / "a.jpg", **said)
    with Image.open(denoise(tmp_path / "a.jpg", "out.jpg")) as image, Image.open(tmp_path / "a.jpg") as before:
        assert image.info["dpi"] == (300, 300)
        assert image.info["icc_profile"] == PROFILE
        assert image.info["xmp"] == xmp()
        assert image.info["comment"] == b"hello"
        assert image.info["exif"] == before.info["exif"]
        assert told_by(image.getexif()) == TOLD


def test_webp_and_bmp(tmp_path: Path, denoise: Denoise):
    """A WebP keeps EXIF, profile and XMP, a BMP its resolution."""
    Image.fromarray(COLOUR8).save(tmp_path / "a.webp", exif=make_exif(), icc_profile=PROFILE, xmp=xmp())
    with Image.open(denoise(tmp_path / "a.webp", "out.webp")) as image:
        assert image.info["icc_profile"] == PROFILE
        assert image.info["xmp"] == xmp()
        assert told_by(image.getexif()) == TOLD
    Image.fromarray(GREY8).save(tmp_path / "a.bmp", dpi=(300, 150))
    with Image.open(denoise(tmp_path / "a.bmp", "out.bmp")) as image:
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
