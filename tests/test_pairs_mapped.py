import mmap
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.data import mapped
from smidgen.data.mapped import MappedFile, MappedImage, read_npy
from smidgen.errors import FileError
from tests.measured import run_measured

GIBIBYTE = 2**30
# Of what Python and numpy take, and of what may be mapped at a time.
MOST_MEBIBYTES = 60 + 64 + 16 + 16


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Map what would otherwise be read whole, and go on in bands of a few bytes."""
    for name, size in (("LARGE_BYTES", 0), ("_BAND_BYTES", 300), ("_DROPPED_BYTES", 500), ("_AROUND_BYTES", 20)):
        monkeypatch.setattr(mapped, name, size)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<f4", ">f8", "?"])
@pytest.mark.parametrize("shape", [(3, 40, 30), (3, 40, 30, 2), (3, 4, 40, 30)])
def test_windows_of_an_array_in_a_file(tmp_path: Path, shape: tuple[int, ...], dtype: str):
    """Every layout, type and byte order gives windows with the file's values, in the machine's own order."""
    array = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 200, shape).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    expected = array.reshape(3, 40, 30, -1) if shape[1:] != (4, 40, 30) else array.transpose(0, 2, 3, 1)
    images = read_npy(tmp_path / "a.npy")
    assert isinstance(images, list)
    for image, values in zip(images, expected, strict=True):
        assert image.shape == values.shape
        for window in (np.s_[0:40, 0:30], np.s_[3:17, 5:6], np.s_[39:, :], np.s_[5:5, 2:9]):
            part = image[window]
            assert part.dtype == image.dtype == (np.uint8 if dtype == "?" else np.dtype(dtype).newbyteorder("="))
            assert part.flags.c_contiguous
            np.testing.assert_array_equal(part, values[window].astype(part.dtype))


@given(st.data())
def test_what_a_window_brings_into_memory_is_never_counted_too_low(data: st.DataObject):
    """Whatever the order of axes and the window, no fewer bytes are counted than it has, and no more than the file."""
    sides = data.draw(st.permutations((7, 5, 3)))
    array = np.zeros(sides, data.draw(st.sampled_from(["u1", "u2", "f8"]))).transpose(
        data.draw(st.permutations(range(3)))
    )
    rows, columns = (data.draw(st.slices(side)) for side in array.shape[:2])
    part = array[rows, columns]
    counted = mapped._bytes_seen(part)
    assert counted >= part.nbytes
    assert counted <= array.nbytes + mapped._AROUND_BYTES or part.size == 0


@pytest.mark.parametrize("array", [np.zeros((2, 3, 4)), np.zeros((5, 16)), np.zeros(7, "u1")])
def test_small_arrays_are_read_whole(tmp_path: Path, array: np.ndarray):
    """What is small, and rows or single numbers of any size, come as an array in memory."""
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, array)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize(
    "array", [np.asfortranarray(np.arange(24).reshape(2, 3, 4)), np.zeros((5, 16)), np.zeros((2, 9, 9, 9)), np.zeros(9)]
)
def test_large_arrays_that_are_no_images_one_after_the_other(tmp_path: Path, array: np.ndarray):
    """Fortran's order, flat rows and what is no images come whole, as numpy reads them."""
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, array)


def damaged(path: Path, kind: str) -> None:
    np.save(path, np.zeros((6, 4, 4), np.uint8))
    content = path.read_bytes()
    if kind == "objects":
        np.save(path, np.array([{}], object))
    elif kind == "an archive":
        with path.open("wb") as file:
            np.savez(file, X=np.zeros(3))
    else:
        changed = {
            "empty": b"", "cut": content[:-1], "no header": content[:20],
            "too long": content.replace(b"(6, 4, 4), }  ", b"(6, 4, 400),}"), "other": b"\x89PNG\r\n" + content,
            "negative": content.replace(b"(6, 4, 4), }", b"(-6, 4, 4),}"),
            "of nothing": content.replace(b"'|u1'", b"'0u1'"),
            "version 9": content.replace(b"Y\1", b"Y\x09", 1),
        }  # fmt: skip
        path.write_bytes(changed[kind])


@pytest.mark.parametrize(
    "kind",
    ["objects", "an archive", "empty", "cut", "no header", "too long", "other", "negative", "version 9", "of nothing"],
)
@pytest.mark.usefixtures("small_is_large")
def test_damaged_npy(tmp_path: Path, kind: str):
    """Damaged headers, those that promise too much, objects and other files end in an error with the name."""
    damaged(tmp_path / "a.npy", kind)
    with pytest.raises(FileError, match=r"a\.npy cannot be read as \.npy.*Expected an array of numbers"):
        read_npy(tmp_path / "a.npy")


def test_parts_that_a_file_does_not_hold(tmp_path: Path):
    """A part beyond the file's ends is refused, and one of objects; so are an empty file and one that is not there."""
    (tmp_path / "a").write_bytes(bytes(100))
    file = MappedFile(tmp_path / "a")
    for place, kind in ((10, "u1"), (-8, "u1"), (101, "u1"), (2**63 - 1, "u1"), (2**70, "u1"), (0, "O"), (0, "M8[s]")):
        with pytest.raises(FileError, match="does not hold what it is to hold"):
            file.array(place, (1, 10, 10, 1), kind)
    (tmp_path / "b").touch()
    for name in ("b", "c"):
        with pytest.raises(FileError, match=f"{name} cannot be read"):
            MappedFile(tmp_path / name)


def test_a_file_that_becomes_shorter(tmp_path: Path):
    """Reading what was cut off since the file was opened is an error, not the end of the process."""
    np.zeros((100, 100, 1), np.uint16).tofile(tmp_path / "a")
    file = MappedFile(tmp_path / "a")
    image = MappedImage(file, file.array(0, (100, 100, 1), np.uint16))
    with (tmp_path / "a").open("r+b") as writer:
        writer.truncate(5000)
    with pytest.raises(FileError, match="a has become shorter"):
        image[90:100, 0:100]


def test_a_system_that_cannot_drop_what_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the system has no call for it, windows are read all the same."""
    (tmp_path / "a").write_bytes(bytes(64 * 1000))
    file = MappedFile(tmp_path / "a")
    image = MappedImage(file, file.array(0, (64, 1000, 1), np.uint8))
    monkeypatch.setattr(mapped, "_DROPPED_BYTES", 1)
    monkeypatch.delattr(mmap, "MADV_DONTNEED", raising=False)
    assert not image[0:64, 0:1000].any()


@pytest.mark.slow(4)
@pytest.mark.parametrize(
    "reads",
    [
        "for top in range(0, 8192, 512):\n        assert not image[top : top + 512, :].any()",
        "for left in range(0, 8192, 2048):\n        assert not image[:, left : left + 64].any()",
        "assert image[:, 100:101].size == 3 * 8192",
    ],
    ids=["rows", "columns", "a column"],
)
def test_memory_stays_bounded(tmp_path: Path, reads: str):
    """Reading all of a file of a gibibyte holds a few megabytes of it at a time, whichever way it is read."""
    path = tmp_path / "a.npy"
    shape = (5, 8192, 8192, 3)
    assert np.prod(shape) > 0.9 * GIBIBYTE
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + np.prod(shape))
    program = "from pathlib import Path\nfrom smidgen.data.mapped import read_npy\n"
    program += f"for image in read_npy(Path('a.npy')):\n    {reads}"
    ended = run_measured(program, folder=tmp_path, seconds=60)
    assert ended.code == 0, ended.message
    assert ended.mebibytes < MOST_MEBIBYTES


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("layout", [(9, 40, 30), (9, 3, 40, 30)])
def test_another_process_reads_from_the_file_itself(tmp_path: Path, layout: tuple[int, ...]):
    """Images that are sent to a worker take next to nothing on the way; a file that has changed is refused."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 60_000, layout, np.uint16))
    images = read_npy(tmp_path / "a.npy")
    sent = pickle.dumps(images)
    assert len(sent) < 2500
    again = pickle.loads(sent)
    assert len({id(image._file) for image in again}) == 1
    for image, other in zip(again, images, strict=True):
        np.testing.assert_array_equal(image[3:, 2:9], other[3:, 2:9])
    os.utime(tmp_path / "a.npy", ns=(1, 1))
    with pytest.raises(FileError, match=r"a\.npy has changed since it was opened"):
        pickle.loads(sent)
