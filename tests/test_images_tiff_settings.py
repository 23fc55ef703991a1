from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.conftest import Denoise
from tests.pictures import GREY8, GREY16, PROFILE, TOLD, make_exif, tags, told_by, xmp

SAID = {
    269: "A document", 270: "A boat", 271: "Maker", 272: "Model", 285: "A page", 305: "Scanner 1.0",
    306: "2024:01:02 03:04:05", 315: "Artist", 316: "Computer", 33432: "(c) Me",
}  # fmt: skip
MAP = {33550: (0.5, 0.5, 0.0), 33922: (0.0, 0.0, 0.0, 7.0, 8.0, 0.0), 34735: (1, 1, 0, 0), 34737: "a projection|"}


@pytest.mark.parametrize("way", ["small", "by rows"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_tags(tmp_path: Path, denoise: Denoise, request: pytest.FixtureRequest, way: str, big: bool, order: str):
    """Resolution as a fraction, texts, profile, XMP and where a map lies are kept, in either byte order and size."""
    if way == "by rows":
        request.getfixturevalue("by_rows")
    extra = [(code, 2, 0, text, True) for code, text in SAID.items()]
    extra += [(33550, 12, 3, MAP[33550], True), (33922, 12, 6, MAP[33922], True), (34735, 3, 4, MAP[34735], True),
              (34737, 2, 0, MAP[34737], True), (286, 5, 1, (7, 3), True),
              (700, 1, len(xmp()), xmp(), True)]  # fmt: skip
    tifffile.imwrite(
        tmp_path / "a.tif", GREY16, metadata=None, software=False, extratags=extra, iccprofile=PROFILE,
        resolution=((10_000, 3), (5_000, 3)), resolutionunit=3, bigtiff=big, byteorder=order, rowsperstrip=8,
    )  # fmt: skip
    before, after = tags(tmp_path / "a.tif"), tags(denoise("a.tif"))
    for code in (*SAID, *MAP, 282, 283, 286, 296, 700, 34675):
        assert after[code] == before[code], code
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif").shape, GREY16.shape)


@pytest.mark.parametrize("way", ["small", "by rows"])
def test_camera_and_place(tmp_path: Path, denoise: Denoise, request: pytest.FixtureRequest, way: str):
    """The directories that a TIFF leads to, of camera and place, are kept."""
    if way == "by rows":
        request.getfixturevalue("by_rows")
    Image.fromarray(GREY8).save(tmp_path / "a.tif", exif=make_exif(), dpi=(300, 150))
    with Image.open(denoise("a.tif")) as image:
        assert told_by(image.getexif()) == TOLD
        assert image.info["dpi"] == (300, 150)
        assert image.getexif()[0x010E] == "A boat"


def test_each_page_its_own(tmp_path: Path, denoise: Denoise):
    """Pages of other sizes, resolutions and descriptions keep their own."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number in range(3):
            writer.write(
                GREY16[number:], metadata=None, description=f"page {number}", resolution=(100 + number, 50),
                resolutionunit=2, software=f"scanner {number}", extratags=[(297, 3, 2, (number, 3), True)],
            )  # fmt: skip
    out = denoise("a.tif")
    for number in range(3):
        before, after = tags(tmp_path / "a.tif", number), tags(out, number)
        assert {code: after[code] for code in (270, 282, 283, 296, 297, 305)} == {
            code: before[code] for code in (270, 282, 283, 296, 297, 305)
        }


def test_a_turned_map(tmp_path: Path, denoise: Denoise):
    """Where a map lies is no longer said of one that is turned upright; its resolution turns with it."""
    tifffile.imwrite(
        tmp_path / "a.tif", GREY16, metadata=None, resolution=(300, 150), resolutionunit=2,
        extratags=[(274, 3, 1, 6, True), (33550, 12, 3, MAP[33550], True)],
    )  # fmt: skip
    after = tags(denoise("a.tif"))
    assert (after[256], after[257], after[282], after[283]) == (24, 36, (150, 1), (300, 1))
    assert 33550 not in after
    assert 274 not in after
