from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.conftest import Denoise
from tests.pictures import (
    GENERATOR,
    GREY8,
    GREY16,
    PROFILE,
    STACK,
    TOLD,
    laid_out,
    make_exif,
    one_directory,
    tags,
    told_by,
    xmp,
)

STACKED = {
    "axes": "TZCYX", "unit": "um", "spacing": 3.5, "finterval": 0.1, "min": 10.0, "max": 900.0, "mode": "composite",
    "Ranges": (0.0, 100.0, 3.0, 9.0), "Info": "a recording", "Labels": [f"slice {n}" for n in range(12)],
}  # fmt: skip


@pytest.mark.parametrize("order", "<>")
def test_imagej_of_another_depth(tmp_path: Path, denoise: Denoise, order: str):
    """Between which values ImageJ shows greys is no longer said when they change their scale; all else is."""
    tifffile.imwrite(
        tmp_path / "a.tif", STACK, imagej=True, byteorder=order, metadata=STACKED, resolution=(5.5, 4.4)
    )  # fmt: skip
    out = denoise("a.tif", "out.tif", "--depth", "8")
    assert laid_out(out) == ("TZCYX", STACK.shape)
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(out) as after:
        expected = {key: value for key, value in before.imagej_metadata.items() if key not in ("min", "max", "Ranges")}
        assert after.imagej_metadata == expected
        assert after.series[0].dtype == np.uint8


def test_imagej_that_is_not_true(tmp_path: Path, denoise: Denoise, capsys: pytest.CaptureFixture[str]):
    """A description of more images than the file has is left out, which is said."""
    one_directory(tmp_path / "a.tif", STACK[0, :, 0], 9)
    assert 270 not in tags(denoise("a.tif"))
    assert "of 9 images and the file has 1" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["small", "by rows"])
def test_ome(tmp_path: Path, denoise: Denoise, request: pytest.FixtureRequest, way: str):
    """OME-XML lays out the result as it did the file, under another name and of another depth too."""
    if way == "by rows":
        request.getfixturevalue("by_rows")
    values = GREY16 if way == "by rows" else STACK[0]
    said = {"axes": "ZCYX"[-values.ndim :], "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "SignificantBits": 12}
    tifffile.imwrite(tmp_path / "a.ome.tif", values, ome=True, photometric="minisblack", metadata=said)
    for options, kind in (((), "uint16"), (("--depth", "float"), "float")):
        out = denoise("a.ome.tif", "out.ome.tif", *options)
        assert laid_out(out) == laid_out(tmp_path / "a.ome.tif")
        with tifffile.TiffFile(out) as tiff:
            assert tiff.is_ome
            assert f'Type="{kind}"' in tiff.ome_metadata
            assert 'PhysicalSizeX="0.1"' in tiff.ome_metadata
            assert ("SignificantBits" in tiff.ome_metadata) == (kind == "uint16")


OME = (
    '<?xml version="1.0"?><OME UUID="urn:uuid:1"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
    'Type="uint16" SizeX="36" SizeY="24" SizeZ="2" SizeC="1" SizeT="1" PhysicalSizeX="0.25"><Channel ID="Channel:0:0" '
    'SamplesPerPixel="1"/><TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="{0}">urn:uuid:1</UUID></TiffData>'
    '<TiffData FirstZ="1" IFD="1" PlaneCount="1"><UUID FileName="{1}">urn:uuid:{2}</UUID></TiffData>'
    "</Pixels></Image></OME>"
)


def test_ome_that_names_its_file(tmp_path: Path, denoise: Denoise):
    """OME-XML that says in which file its planes are does not lead back to the noisy one."""
    tifffile.imwrite(
        tmp_path / "a.ome.tif", STACK[0, :2, 0], photometric="minisblack", metadata=None,
        description=OME.format("a.ome.tif", "a.ome.tif", 1),
    )  # fmt: skip
    out = denoise("a.ome.tif", "out.ome.tif")
    assert laid_out(out) == ("ZYX", (2, 24, 36))
    with tifffile.TiffFile(out) as tiff:
        assert 'PhysicalSizeX="0.25"' in tiff.ome_metadata
        assert "a.ome.tif" not in tiff.ome_metadata
        np.testing.assert_array_equal(tiff.asarray()[1], tiff.pages[1].asarray())


def test_ome_of_several_files(tmp_path: Path, denoise: Denoise, capsys: pytest.CaptureFixture[str]):
    """OME-XML whose planes lie in several files is left out, which is said."""
    tifffile.imwrite(
        tmp_path / "a.ome.tif", GREY16, metadata=None, description=OME.format("a.ome.tif", "b.ome.tif", 2)
    )  # fmt: skip
    assert 270 not in tags(denoise("a.ome.tif", "out.ome.tif"))
    assert "OME-XML of several files is left out" in capsys.readouterr().err


def test_shapes_of_tifffile(tmp_path: Path, denoise: Denoise):
    """What tifffile says of arrays is kept where it holds, and not where the result is stored in another way."""
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], photometric="minisblack", metadata={"axes": "ZCYX", "unit": "um"})
    assert laid_out(denoise("a.tif")) == ("ZCYX", STACK[0].shape)
    assert '"unit": "um"' in tags(tmp_path / "out.tif")[270]
    apart = GENERATOR.integers(0, 255, (3, 24, 36), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", apart, photometric="rgb", planarconfig="separate", metadata={"axes": "SYX"})
    assert laid_out(denoise("a.tif")) == ("YXS", (24, 36, 3))


@pytest.mark.parametrize("way", ["small", "by rows"])
def test_damaged_tags_are_no_reason(
    tmp_path: Path, denoise: Denoise, request: pytest.FixtureRequest, way: str, capsys: pytest.CaptureFixture[str]
):
    """A TIFF is denoised whatever its tags lead to, and however long they are."""
    if way == "by rows":
        request.getfixturevalue("by_rows")
    lead = [(code, 4, 1, place, True) for code, place in (("ExifTag", 2**31), ("GPSTag", 8))]
    tifffile.imwrite(
        tmp_path / "a.tif", GREY16, metadata=None, resolution=(0, 1), extratags=[
            *lead, (270, 2, 0, b"ImageJ=1\nimages=99999999999999999999\n", True), (50838, 4, 1, 7, True),
            (50839, 1, 9, b"JIJIgnar1", True), (315, 2, 0, b"\xff\xfe", True),
        ],
    )  # fmt: skip
    assert laid_out(denoise("a.tif", "out.tif", "--depth", "8")) == ("YX", GREY16.shape)
    tifffile.imwrite(
        tmp_path / "a.tif", GREY16, metadata=None, extratags=[(315, 2, 0, b"a" * 40_000_000, True)], resolution=(9, 9)
    )  # fmt: skip
    capsys.readouterr()
    assert denoise("a.tif").stat().st_size < 1_000_000
    assert "left out" in capsys.readouterr().err
    assert tags(tmp_path / "out.tif")[282] == (9, 1)


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
