import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.errors import FileError
from smidgen.images import tiff_rows
from smidgen.images.picture import read_picture
from smidgen.images.tiff_rows import TiffRows, open_large_tiff

LAYOUTS = [{}, {"rowsperstrip": 7}, {"tile": (32, 48)}, {"tile": (64, 64), "compression": "zlib", "predictor": True}]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_rows_and_copies_are_exact(
    tmp_path: Path, generator: np.random.Generator, layout: dict, samples: int, kind: type
):
    """Any rows of a file come as they are in it, and written again as tiles they make the same picture."""
    shape = (131, 317) if samples == 1 else (131, 317, samples)
    image = (generator.random(shape) * (1 if kind is np.float32 else 60000)).astype(kind)
    layout = {name: value for name, value in layout.items() if name != "predictor" or kind is not np.float32}
    tifffile.imwrite(
        tmp_path / "a.tif", image, photometric="rgb" if samples > 2 else "minisblack",
        planarconfig="contig" if samples > 1 else None, byteorder=">" if samples == 3 else "<",
        extrasamples=["unassalpha"] if samples in (2, 4) else None, metadata=None, **layout,
    )  # fmt: skip
    with TiffRows(tmp_path / "a.tif") as rows:
        np.testing.assert_array_equal(rows.read(40, 103).reshape(image[40:103].shape), image[40:103])
        parts = (rows.read(top, min(top + 50, 131)) for top in range(0, 131, 50))
        rows.write_like(tmp_path / "b.tif", parts, rows.dtype)
    copy = tifffile.imread(tmp_path / "b.tif")
    assert copy.dtype == kind
    np.testing.assert_array_equal(copy, image)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A tiled file and its values."""
    image = np.random.default_rng(0).integers(0, 65535, (200, 90), np.uint16)
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    tifffile.imwrite(path, image, tile=(16, 32))
    return path, image


@given(st.data())
@settings(max_examples=50)
def test_any_rows(tiled: tuple[Path, np.ndarray], data: st.DataObject):
    """Whatever rows are asked for come, wherever tiles begin and end."""
    path, image = tiled
    first = data.draw(st.integers(0, 199))
    last = data.draw(st.integers(first + 1, 200))
    with TiffRows(path) as rows:
        np.testing.assert_array_equal(rows.read(first, last)[..., 0], image[first:last])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"compression": "lzma"}, "compression"),
        ({"planarconfig": "separate", "photometric": "rgb"}, "stand apart"),
    ],
)
def test_what_cannot_be_read_by_rows_says_why(tmp_path: Path, settings: dict, reason: str):
    """The error names the reason and what to save instead."""
    shape = (3, 20, 20) if "planarconfig" in settings else (20, 20)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **settings)
    with pytest.raises(FileError, match=rf"{reason}.*tiled TIFF"):
        TiffRows(tmp_path / "a.tif")


def test_damage_is_named(tiled: tuple[Path, np.ndarray], tmp_path: Path):
    """A file that ends early fails where it is read, by name."""
    (tmp_path / "cut.tif").write_bytes(tiled[0].read_bytes()[:-5000])
    with TiffRows(tmp_path / "cut.tif") as rows, pytest.raises(FileError, match=r"cut\.tif is damaged"):
        rows.read(0, 200)
    (tmp_path / "text.tif").write_text("hello")
    with pytest.raises(FileError, match=r"text\.tif"):
        TiffRows(tmp_path / "text.tif")


FRACTION, NEGATIVE = struct.pack("<HHIf", 257, 11, 1, 1.0), struct.pack("<HHIi", 257, 9, 1, -8)


@pytest.mark.parametrize("value", [FRACTION, NEGATIVE], ids=["fraction", "negative"])
def test_a_height_that_is_no_whole_number(tmp_path: Path, value: bytes):
    """A fraction or a negative number in the place of the height is damage, whichever way the file is read."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), metadata=None)
    content = (tmp_path / "a.tif").read_bytes()
    place = content.index(struct.pack("<HHI", 257, 4, 1))
    (tmp_path / "a.tif").write_bytes(content[:place] + value + content[place + 12 :])
    with pytest.raises(FileError, match=r"a\.tif"):
        TiffRows(tmp_path / "a.tif")
    with pytest.raises(FileError, match=r"a\.tif"):
        read_picture(tmp_path / "a.tif")


def test_only_large_tiffs_are_opened_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A TIFF tells its size by its header; what is small, is none, or is large and of another make is read at once."""
    monkeypatch.setattr(tiff_rows, "LARGE_PIXELS", 1000)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 50, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((30, 30), np.uint8))
    tifffile.imwrite(tmp_path / "pages.tif", np.zeros((2, 30, 50), np.uint8))
    (tmp_path / "text.tif").write_text("hello")
    for name in ("small.tif", "pages.tif", "text.tif", "none.tif", "a.png"):
        assert open_large_tiff(tmp_path / name) is None
    with open_large_tiff(tmp_path / "a.tif") as rows:
        assert rows.width == 50
    monkeypatch.setattr(tiff_rows, "MOST_PIXELS", 1400)
    with pytest.raises(FileError, match="2 pages"):
        open_large_tiff(tmp_path / "pages.tif")
