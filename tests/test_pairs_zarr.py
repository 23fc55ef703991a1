import json
import pickle
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Delta, Pickle

from smidgen.data.zarr_images import is_zarr, open_zarr
from smidgen.errors import FileError, MissingPartError, PairsError

VALUES = np.random.default_rng(0).integers(0, 60_000, (2, 3, 40, 30), np.uint16)
PICKLE, DELTA = Pickle().get_config(), Delta("<u2").get_config()


def write(path: Path, values: np.ndarray = VALUES, zarr_format: int = 3, **more: Any) -> Path:
    """A store with this array in chunks of 16 x 16, zipped where the name says so."""
    folder = path.with_suffix(".zarr")
    chunks = (*(1,) * (values.ndim - 2), 16, 16)[: values.ndim]
    array = zarr.create_array(
        folder, shape=values.shape, chunks=chunks, dtype=values.dtype, zarr_format=zarr_format, **more
    )
    array[...] = values
    return zip_up(folder, path) if path.suffix == ".zip" else folder


def zip_up(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def write_group(path: Path, zarr_format: int, attributes: dict[str, Any], *names: str) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes=attributes)
    for number, name in enumerate(names):
        values = VALUES[..., :: 2**number, :: 2**number]
        group.create_array(name, shape=values.shape, dtype=values.dtype)[...] = values
    return path


def content(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", ["a.zarr", "a.zip"])
def test_arrays_are_read_in_windows(tmp_path: Path, name: str, zarr_format: int):
    """Leading axes are gone through in order, windows are those of the array, and nothing is written."""
    path = write(tmp_path / name, zarr_format=zarr_format)
    assert is_zarr(path)
    before = content(tmp_path)
    found = open_zarr(path)
    assert found.note == f"{path}: 6 images of 40 x 30, in the order of axis 0 (2), axis 1 (3)"
    for image, values in zip(found.images, VALUES.reshape(6, 40, 30, 1), strict=True):
        assert (image.shape, image.dtype) == ((40, 30, 1), np.uint16)
        np.testing.assert_array_equal(image[0:40, 0:30], values)
        np.testing.assert_array_equal(image[3:17, 29:30], values[3:17, 29:30])
    assert content(tmp_path) == before


@settings(max_examples=30)
@given(st.slices(40), st.slices(30))
def test_any_window(tmp_path_factory: pytest.TempPathFactory, rows: slice, columns: slice):
    """A window of any place and size is that of the array."""
    path = tmp_path_factory.getbasetemp() / "windows.zarr"
    image = open_zarr(path if path.exists() else write(path)).images[4]
    whole = tuple(slice(*part.indices(size)[:2]) for part, size in ((rows, 40), (columns, 30)))
    np.testing.assert_array_equal(image[whole][..., 0], VALUES[1, 1][whole])


@pytest.mark.parametrize(("dtype", "read"), [(">u2", "u2"), ("?", "u1"), (">f4", "f4"), ("f8", "f8"), ("i1", "i1")])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_types(tmp_path: Path, dtype: str, read: str, zarr_format: int):
    """Values come in the machine's own byte order, truth values as 0 and 1; a flat array is one image."""
    values = VALUES[0, 0].astype(dtype)
    found = open_zarr(write(tmp_path / "a.zarr", values, zarr_format))
    (image,) = found.images
    assert found.note == ""
    part = image[0:40, 0:30]
    assert part.dtype == image.dtype == np.dtype(read)
    np.testing.assert_array_equal(part[..., 0], values.astype(read))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_ome_zarr_is_taken_at_its_finest(tmp_path: Path, zarr_format: int):
    """Of several resolutions it is the first; its axes are called by their names. A single array needs no metadata."""
    axes = [{"name": name} for name in "tcyx"]
    told: dict[str, Any] = {"multiscales": [{"axes": axes, "datasets": [{"path": "fine"}, {"path": "coarse"}]}]}
    path = write_group(tmp_path / "a.zarr", zarr_format, told if zarr_format == 2 else {"ome": told}, "fine", "coarse")
    found = open_zarr(path)
    assert found.note == f"{path} ('fine'): 6 images of 40 x 30, in the order of t (2), c (3)"
    np.testing.assert_array_equal(found.images[5][0:9, 0:9][..., 0], VALUES[1, 2, :9, :9])
    assert open_zarr(path / "coarse").images[0].shape == (20, 15, 1)
    assert len(open_zarr(write_group(tmp_path / "b.zarr", zarr_format, {}, "only")).images) == 6


def test_axes_of_version_3_have_names(tmp_path: Path):
    """Names of dimensions are told as far as the array has them."""
    path = write(tmp_path / "a.zarr", dimension_names=("time", "depth", "y", "x"))
    assert open_zarr(path).note.endswith("in the order of time (2), depth (3)")


def test_groups_of_several_arrays(tmp_path: Path):
    """Where it is not clear which is meant, all are listed, and one can be named."""
    path = write_group(tmp_path / "a.zarr", 3, {}, "one", "two")
    with pytest.raises(
        PairsError, match=r"a Zarr group that holds 'one', 'two'.*Name one of them, as in .*a\.zarr/one"
    ):
        open_zarr(path)
    assert is_zarr(path / "two")
    assert len(open_zarr(path / "two").images) == 6
    with pytest.raises(PairsError, match="holds nothing"):
        open_zarr(write_group(tmp_path / "b.zarr", 2, {}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 40, 30, 3), np.uint8), "its images would be 3 wide.*Move the axis of channels to the front"),
        (np.zeros(7, np.uint8), r"has shape \(7,\)\. Expected images"),
        (np.zeros((3, 0, 8), np.uint8), r"has shape \(3, 0, 8\)"),
        (np.zeros((3, 8, 8), complex), "values of type complex128"),
        (np.zeros((1_000_001, 0, 1)).reshape(1_000_001, 1, 0), "has shape"),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, values: np.ndarray, message: str):
    """What has too few axes, none or odd values, or channels last is refused with its shape or type."""
    path = tmp_path / "a.zarr"
    zarr.create_array(path, shape=values.shape, dtype=values.dtype)
    with pytest.raises(PairsError, match=message):
        open_zarr(path)


def test_many_images_and_large_chunks(tmp_path: Path):
    """More images than can be listed are refused, and chunks that do not fit in memory."""
    zarr.create_array(tmp_path / "a.zarr", shape=(2000, 2000, 8, 8), chunks=(1, 1, 8, 8), dtype="u1")
    with pytest.raises(PairsError, match="at most 1,000,000 images"):
        open_zarr(tmp_path / "a.zarr")
    zarr.create_array(tmp_path / "b.zarr", shape=(2**22, 2**22), chunks=(2**22, 2**22), dtype="u1")
    with pytest.raises(FileError, match=r"a chunk of .*b\.zarr takes"):
        open_zarr(tmp_path / "b.zarr")


@pytest.mark.parametrize(
    "codecs",
    [{"filters": [PICKLE]}, {"filters": [DELTA, PICKLE]}, {"filters": [PICKLE, DELTA]}, {"compressor": PICKLE}],
    ids=["filter", "last filter", "first filter", "compressor"],
)
def test_pickles_in_a_store_are_not_run(tmp_path: Path, codecs: dict[str, Any]):
    """Version 2 knows a codec that unpickles: a store with it is refused before a chunk is read."""
    path = write(tmp_path / "a.zarr", zarr_format=2)
    metadata = json.loads((path / ".zarray").read_text()) | {"compressor": None}
    (path / ".zarray").write_text(json.dumps(metadata | codecs))
    (path / "0.0.0.0").write_bytes(f"cbuiltins\nopen\n(V{tmp_path}/made\nVw\ntR.".encode())
    with pytest.raises(FileError, match=r"a\.zarr"):
        open_zarr(path).images[0][0:9, 0:9]
    assert not (tmp_path / "made").exists()


def test_a_damaged_chunk(tmp_path: Path):
    """It is an error with the store's name when it is read, and other images are still there."""
    path = write(tmp_path / "a.zarr")
    chunk = path / "c" / "1" / "2" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:9])
    images = open_zarr(path).images
    assert images[0][0:9, 0:9].shape == (9, 9, 1)
    with pytest.raises(FileError, match=r"a\.zarr cannot be read at \[1, 2\]"):
        images[5][0:9, 0:9]


@pytest.mark.parametrize("damage", ["not json", "empty", "cut", "no metadata", "other ome", "gone"])
def test_damaged_metadata(tmp_path: Path, damage: str):
    """Whatever is wrong with a store's description, the error names the store."""
    path = write_group(tmp_path / "a.zarr", 3, {"ome": {"multiscales": [{"datasets": [{"path": "5"}]}]}}, "0")
    file = path / "zarr.json"
    text = file.read_text()
    if damage == "no metadata":
        file.unlink()
    elif damage == "gone":
        shutil.rmtree(path)
    elif damage != "other ome":
        file.write_text({"not json": "{{", "empty": "", "cut": text[: len(text) // 2]}[damage])
    with pytest.raises(FileError, match=r"a\.zarr cannot be read as Zarr.*Expected an array or a group of Zarr"):
        open_zarr(path)


def test_zip_files_of_something_else(tmp_path: Path):
    """A ZIP file without a store, what is none, and a bomb are told apart."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "text")
    with pytest.raises(FileError, match=r"a\.zip cannot be read as Zarr"):
        open_zarr(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes(b"text")
    with pytest.raises(FileError, match=r"b\.zip cannot be read as \.zip"):
        open_zarr(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c/0/0", bytes(1000))
        archive.infolist()[0].file_size = 40_000_000_000
    with pytest.raises(FileError, match="claims to unpack to"):
        open_zarr(tmp_path / "c.zip")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The message says what to install."""
    path = write(tmp_path / "a.zarr")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingPartError, match=r"needs the package 'zarr'.*pip install 'smidgen\[zarr\]'"):
        open_zarr(path)


def test_other_folders_are_no_stores(tmp_path: Path):
    """A folder of pictures is not taken for Zarr."""
    assert not is_zarr(tmp_path)
    assert not is_zarr(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.zarr", "a.zip"])
def test_another_process_reads_from_the_store_itself(tmp_path: Path, name: str):
    """Images that are sent to a worker take little on the way."""
    images = open_zarr(write(tmp_path / name)).images
    sent = pickle.dumps(images)
    assert len(sent) < VALUES[0, 0].nbytes
    for image, other in zip(pickle.loads(sent), images, strict=True):
        np.testing.assert_array_equal(image[0:40, 0:30], other[0:40, 0:30])
