import io
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from smidgen.images.kinds import Picture
from smidgen.images.picture import pack_picture, read_picture
from tests.conftest import Denoise
from tests.pictures import (
    GREY8,
    TOLD,
    make_exif,
    told_by,
    xmp,
)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_upright_pictures_say_so(tmp_path: Path, denoise: Denoise, suffix: str, orientation: int):
    """Pixels are turned upright once: what is written is upright, and says so in EXIF."""
    exif = make_exif(orientation)
    Image.fromarray(GREY8).save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(denoise(tmp_path / f"a.{suffix}", f"out.{suffix}")) as image:
        width, height = (24, 36) if orientation >= 5 else (36, 24)
        assert image.size == (width, height)
        assert ImageOps.exif_transpose(image).size == image.size
        assert image.getexif()[0x0112] == 1
        assert told_by(image.getexif()) == TOLD


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_orientation_in_xmp_alone(tmp_path: Path, denoise: Denoise, suffix: str):
    """A picture that only its XMP says is turned is not turned a second time by whoever opens the result."""
    said = PngImagePlugin.PngInfo()
    said.add_itxt("XML:com.adobe.xmp", xmp(6).decode(), zip=True)
    Image.fromarray(GREY8).save(tmp_path / f"a.{suffix}", xmp=xmp(6), pnginfo=said)
    with Image.open(denoise(tmp_path / f"a.{suffix}", f"out.{suffix}")) as image:
        assert image.size == (24, 36)
        assert ImageOps.exif_transpose(image).size == (24, 36)
        assert b"A boat" in image.info["xmp"]


def test_an_old_thumbnail_is_let_go(tmp_path: Path, denoise: Denoise):
    """A thumbnail that shows the noisy picture is no longer pointed to."""
    small = io.BytesIO()
    Image.fromarray(GREY8[:8, :8]).save(small, "JPEG")
    block = make_exif()
    head, main = block[:14], block[14:]  # the mark and the TIFF's head, its first directory
    number = struct.unpack_from("<H" if head[6:8] == b"II" else ">H", main)[0]
    order = "<" if head[6:8] == b"II" else ">"
    place = len(block) - 6
    second = struct.pack(order + "HHHII", 1, 513, 4, 1, place + 18) + bytes(4) + small.getvalue()
    at = 2 + 12 * number
    exif = head + main[:at] + struct.pack(order + "I", place) + main[at + 4 :] + second
    Image.fromarray(GREY8).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)
    with Image.open(denoise(tmp_path / "a.jpg", "out.jpg")) as image:
        assert not image.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert told_by(image.getexif()) == TOLD


DAMAGED = {
    "no EXIF": b"hello",
    "EXIF without a directory": b"II*\0\xff\0\0\0",
    "EXIF that ends early": make_exif()[6:60],
    "EXIF of many tags": b"II*\0\x08\0\0\0\xff\xff" + bytes(40),
    "EXIF that leads to itself": b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 34665, 4, 1, 8) + struct.pack("<I", 8),
    "EXIF turned by a fraction": b"MM\0*\0\0\0\x08" + struct.pack(">HHHII", 1, 274, 5, 1, 8) + bytes(4),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_exif_is_no_reason(tmp_path: Path, denoise: Denoise, name: str, suffix: str):
    """A picture with an EXIF block that nobody can read is denoised."""
    Image.fromarray(GREY8).save(tmp_path / f"a.{suffix}", exif=b"Exif\0\0" + DAMAGED[name])
    with Image.open(denoise(tmp_path / f"a.{suffix}", f"out.{suffix}")) as image:
        assert image.size == (36, 24)


@given(block=st.binary(max_size=60), start=st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
@settings(max_examples=300)
def test_any_bytes_as_exif(block: bytes, start: bytes):
    """Whatever stands in the place of EXIF, the picture is read, and written in every kind."""
    file = io.BytesIO()
    Image.fromarray(GREY8).save(file, "PNG", exif=b"Exif\0\0" + start + block)
    picture = read_picture(file.getvalue())
    for kind in ("png", "jpeg", "webp", "tiff"):
        again = read_picture(
            pack_picture(Picture(pages=picture.pages, alphas=(None,), kind=kind, metadata=picture.metadata))
        )
        assert again.pages[0].shape[:2] == picture.pages[0].shape[:2]


def test_a_camera_of_a_turned_tiff(tmp_path: Path, denoise: Denoise):
    """A TIFF that is turned upright on its way to a JPEG keeps its camera, and is not turned again."""
    Image.fromarray(GREY8).save(tmp_path / "a.tif", exif=make_exif(6), dpi=(300, 150))
    with Image.open(denoise("a.tif", "out.jpg")) as image:
        assert image.size == (24, 36)
        assert image.getexif().get(0x0112, 1) == 1
        assert image.info["dpi"] == (150, 300)
        assert told_by(image.getexif()) == TOLD
