from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Denoise
from tests.pictures import COLOUR8, GREY8, PROFILE, TOLD, make_exif, told_by, xmp


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
