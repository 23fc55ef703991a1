import gzip
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from smidgen.data.arrays import read_idx
from smidgen.data.formats import read_array, read_pairs, read_parts, read_two
from smidgen.errors import FileError, PairsError

X = np.random.default_rng(0).integers(0, 255, (6, 4, 4), np.uint8)
Y = np.random.default_rng(1).integers(0, 255, (6, 4, 4), np.uint8)
LABELS = np.arange(6)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize(
    "content",
    [(X, Y), (X, Y, LABELS), [X, Y], {"X": X, "y": Y}, {"noisy": X, "clean": Y, "labels": LABELS},
     (X.reshape(6, 16), Y.reshape(6, 16)), (pd.DataFrame(X.reshape(6, 16)), pd.DataFrame(Y.reshape(6, 16))),
     (list(X), list(Y))],
    ids=["tuple", "labels", "list", "dict", "words", "flat", "tables", "lists"],
)  # fmt: skip
def test_pickles_of_every_shape(tmp_path: Path, content: object):
    """Every shape a course's pickle comes in gives the same pairs."""
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content))
    raw = read_pairs(path)
    np.testing.assert_array_equal(np.stack(raw.noisy)[..., 0], X)
    np.testing.assert_array_equal(np.stack(raw.clean)[..., 0], Y)


def test_labels_called_y_are_not_taken_for_images(tmp_path: Path):
    """Beside x_noisy and x_clean, y holds labels."""
    np.savez(tmp_path / "a.npz", x_noisy=X, x_clean=Y, y=LABELS)
    raw = read_pairs(tmp_path / "a.npz")
    np.testing.assert_array_equal(np.stack(raw.clean)[..., 0], Y)
    np.testing.assert_array_equal(raw.labels, LABELS)


def test_labels_beyond_64_bits(tmp_path: Path):
    """A CSV with an absurd number is an error, not a crash."""
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "labels.csv").write_text("99999999999999999999\n" * 6)
    with pytest.raises(PairsError, match="whole numbers"):
        read_two(tmp_path / "x.npy", tmp_path / "x.npy", tmp_path / "labels.csv")


@pytest.mark.parametrize(
    "text",
    ["label\n{}", "\ufefflabel\n{}", "\ufeff{}", "a;label\n{}", "a\tlabel\n{}", "\ufeff{}\n"],
    ids=["plain", "mark and head", "mark", "semicolons", "tabs", "mark and end"],
)
def test_labels_as_programs_for_tables_write_them(tmp_path: Path, text: str):
    """A byte-order mark in front and semicolons or tabs between do not matter, alone or by name."""
    np.save(tmp_path / "x.npy", X)
    rows = [f"{number};{label}" if ";" in text else f"{number}\t{label}" if "\t" in text else str(label)
            for number, label in enumerate(LABELS)]  # fmt: skip
    (tmp_path / "labels.CSV").write_text(text.format("\n".join(rows)), encoding="utf-8")
    raw = read_two(tmp_path / "x.npy", tmp_path / "x.npy", tmp_path / "labels.CSV").train
    np.testing.assert_array_equal(raw.labels, LABELS)
    if len(rows[0]) > 1:
        make_folders(tmp_path)
        raw = read_two(tmp_path / "noisy", tmp_path / "clean", tmp_path / "labels.CSV").train
        np.testing.assert_array_equal(raw.labels, LABELS)


@pytest.mark.parametrize("names", [("X", "y", "labels"), ("noisy", "clean", "label")])
def test_npz(tmp_path: Path, names: tuple[str, str, str]):
    """An npz file with X and y, or noisy and clean, and labels."""
    np.savez_compressed(tmp_path / "a.npz", **dict(zip(names, (X, Y, LABELS), strict=True)))
    raw = read_pairs(tmp_path / "a.npz")
    np.testing.assert_array_equal(np.stack(raw.clean)[..., 0], Y)
    np.testing.assert_array_equal(raw.labels, LABELS)


def test_two_files_of_every_kind(tmp_path: Path):
    """Noisy and clean may lie in two files, each of its own kind."""
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", only=X)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(X))
    (tmp_path / "x.idx").write_bytes(idx_bytes(X))
    (tmp_path / "x-ubyte.gz").write_bytes(gzip.compress(idx_bytes(X)))
    (tmp_path / "X.IDX3.GZ").write_bytes(gzip.compress(idx_bytes(X)))
    (tmp_path / "x.idx3").write_bytes(idx_bytes(X))
    (tmp_path / "unpacked.gz").write_bytes(idx_bytes(X))
    (tmp_path / "labels.csv").write_text("label\n" + "\n".join(map(str, LABELS)))
    np.save(tmp_path / "y.npy", Y)
    for name in ("x.npy", "x.npz", "x.pkl", "x.idx", "x-ubyte.gz", "X.IDX3.GZ", "x.idx3", "unpacked.gz"):
        raw = read_two(tmp_path / name, tmp_path / "y.npy", tmp_path / "labels.csv").train
        np.testing.assert_array_equal(np.stack(raw.noisy)[..., 0], X)
        np.testing.assert_array_equal(raw.labels, LABELS)


def make_folders(tmp_path: Path) -> None:
    for folder, images, suffix in (("noisy", X, "png"), ("clean", Y, "tif")):
        (tmp_path / folder).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / folder / f"{number}.{suffix}")


def test_folders_are_matched_by_name(tmp_path: Path):
    """Files pair up by name whatever their kind, and labels.csv is used if it is there."""
    make_folders(tmp_path)
    (tmp_path / "labels.csv").write_text("name,label\n" + "".join(f"{5 - i}.png,{i}\n" for i in range(6)))
    raw = read_pairs(tmp_path)
    np.testing.assert_array_equal(np.stack(raw.noisy)[..., 0], X)
    np.testing.assert_array_equal(np.stack(raw.clean)[..., 0], Y)
    np.testing.assert_array_equal(raw.labels, LABELS[::-1])


def test_folders_as_noisy_and_clean(tmp_path: Path):
    """Two folders may be given by themselves and are matched by name as well."""
    make_folders(tmp_path)
    np.testing.assert_array_equal(np.stack(read_two(tmp_path / "noisy", tmp_path / "clean").train.clean)[..., 0], Y)


def test_pages_are_images(tmp_path: Path):
    """The pages of TIFFs are images each, in folders, where they share their file's label, and in two files."""
    for folder, images in (("noisy", X), ("clean", Y)):
        (tmp_path / folder).mkdir()
        for name, some in (("a", images[:4]), ("b", images[4:])):
            pages = [Image.fromarray(image) for image in some]
            pages[0].save(
                tmp_path / folder / f"{name}.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw"
            )
    (tmp_path / "labels.csv").write_text("a,3\nb,5\n")
    raw = read_pairs(tmp_path)
    np.testing.assert_array_equal(np.stack(raw.noisy)[..., 0], X)
    np.testing.assert_array_equal(np.stack(raw.clean)[..., 0], Y)
    np.testing.assert_array_equal(raw.labels, [3, 3, 3, 3, 5, 5])
    raw = read_two(tmp_path / "noisy" / "a.tif", tmp_path / "clean" / "a.tif").train
    np.testing.assert_array_equal(np.stack(raw.noisy)[..., 0], X[:4])
    (tmp_path / "noisy" / "b.tif").write_bytes((tmp_path / "noisy" / "a.tif").read_bytes())
    with pytest.raises(PairsError, match="b has 4 noisy pages and 2 clean"):
        read_pairs(tmp_path)


def test_pairs_that_unpack_to_much(tmp_path: Path):
    """Pairs of clear pages, of which a file holds a thousandth, are read."""
    page = np.zeros((5, 4000, 4000), np.uint8)
    page[:, ::200] = 255
    np.savez_compressed(tmp_path / "a.npz", X=page, y=page)
    assert (tmp_path / "a.npz").stat().st_size < 400_000
    assert read_pairs(tmp_path / "a.npz").noisy.shape == (5, 4000, 4000, 1)


def test_lonely_images_are_left_out(tmp_path: Path):
    """An image without its partner is left out with a warning that names it; the labels of the others are theirs."""
    make_folders(tmp_path)
    (tmp_path / "labels.csv").write_text("".join(f"{number},{number}\n" for number in range(6)))
    (tmp_path / "clean" / "3.tif").unlink()
    parts = read_parts(tmp_path)
    assert parts.warnings == ("left out 1 image without a partner: noisy/3",)
    np.testing.assert_array_equal(parts.train.labels, [0, 1, 2, 4, 5])
    np.testing.assert_array_equal(np.stack(parts.train.clean)[..., 0], Y[[0, 1, 2, 4, 5]])


@pytest.mark.parametrize(
    ("content", "message"),
    [((X,), "1 item"), (X, "a ndarray"), ({"a": X, "b": Y}, "holds 'a', 'b'"), ({}, "nothing"), ("text", "a str")],
)
def test_pickles_of_something_else(tmp_path: Path, content: object, message: str):
    """A pickle that holds no pairs is told what it holds and what was expected."""
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(PairsError, match=message):
        read_pairs(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not start like"),
        (b"\0\0\x08\x03\0\0", "in the middle of its header"),
        (idx_bytes(X)[:-1], "fewer"),
        (idx_bytes(X) + b"x", "more"),
        (struct.pack(">HBB4I", 0, 14, 4, 2**31, 2**31, 2**31, 2**31), "claims to hold"),
        (struct.pack(">HBB3I", 0, 8, 3, 60000, 28, 28), "fewer"),
        (struct.pack(">HBB3I", 0, 8, 3, 60000, 280, 280), "claims to unpack to"),
    ],
)
def test_damaged_idx(tmp_path: Path, content: bytes, message: str):
    """An IDX file that is cut off, or promises more than it holds, is refused at no cost."""
    (tmp_path / "a.idx").write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_idx(tmp_path / "a.idx")


def test_zip_bomb(tmp_path: Path):
    """An npz that unpacks to thousands of times its size is refused before it is unpacked."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", bytes(40_000_000))
        archive.infolist()[0].file_size = 40_000_000_000
    with pytest.raises(FileError, match="claims to"):
        read_pairs(tmp_path / "a.npz")


def test_npy_that_promises_too_much(tmp_path: Path):
    """An npy header that promises more than the file holds is refused."""
    np.save(tmp_path / "a.npy", X)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(6, 4, 4), }  ", b"(6, 4, 400),}"))
    with pytest.raises(FileError, match=r"a\.npy"):
        read_array(tmp_path / "a.npy")


def test_object_arrays_are_not_unpickled(tmp_path: Path):
    """Npy and npz files that hold pickled objects are refused."""
    np.save(tmp_path / "a.npy", np.array([{}], object))
    np.savez(tmp_path / "a.npz", X=np.array([{}], object), y=Y)
    with pytest.raises(FileError):
        read_array(tmp_path / "a.npy")
    with pytest.raises(FileError):
        read_pairs(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["missing.pkl", "missing", "a.txt"])
def test_missing_and_unknown_files(tmp_path: Path, name: str):
    """A path that is not there or of an unknown kind is named."""
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(FileError, match=name):
        read_pairs(tmp_path / name)
