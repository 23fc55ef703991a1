"""Arrays out of single files: pickles, npy, npz, IDX, and labels out of tables."""

import csv
import gzip
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.mapped import read_npy
from smidgen.errors import FileError, PairsError, plural
from smidgen.files import check_memory, read_file, refuse_bomb
from smidgen.pickles.packing import GZIP_START, PACKING_SUFFIXES
from smidgen.pickles.unpickle import read_pickle

MOST_BYTES = 16 * 2**30
_MOST_TABLE_BYTES = 256 * 2**20
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".p", ".joblib", ".pt", ".pth")
_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_array_file(path: Path) -> object:
    """What a .npy, .npz, IDX(.gz), .csv, .pt or pickle file holds; the images of a large .npy stay in it.

    Raises:
        FileError: missing, of an unknown kind, or damaged.
    """
    require_file(path)
    name = path.name.lower()
    if is_pickle(name):
        return read_pickle(path)
    if name.endswith(".npy"):
        return read_npy(path)
    if name.endswith(".npz"):
        content = read_npz(path)
        if len(content) != 1:
            raise FileError(
                f"{path} holds {plural(len(content), 'array')} ({', '.join(map(repr, list(content)[:5]))})",
                expected="one",
            )
        return next(iter(content.values()))
    if name.endswith((".idx", ".idx1", ".idx3", "-ubyte", ".gz")):
        return read_idx(path)
    if name.endswith(".csv"):
        return _read_label_rows(path)
    raise FileError(
        f"{path} has an unknown ending",
        expected="a pickle, .npy, .npz, .pt, IDX, IDX .gz, Zarr or image file, or a folder of images",
    )


def read_idx(path: Path) -> NDArray[Any]:
    """An IDX file, as MNIST's are, gzipped or not.

    Source: the format's description at the MNIST home page: two zero bytes, a type, the number
    of dimensions, each dimension as a big-endian uint32, then the values.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            packed = file.read(len(GZIP_START)) == GZIP_START  # which its name need not tell
        with gzip.open(path) if packed else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES or not 1 <= head[3] <= 4:
                raise FileError(f"{path} does not start like an IDX file")
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise FileError(f"{path} ends in the middle of its header")
            shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
            kind = np.dtype(_IDX_TYPES[head[2]])
            if 0 in shape:
                raise FileError(f"{path} is empty: its header says {shape}")
            promised = math.prod(shape) * kind.itemsize
            if promised > MOST_BYTES:
                raise FileError(f"{path} claims to hold {promised:,} bytes", expected=f"at most {MOST_BYTES:,}")
            refuse_bomb(str(path), path.stat().st_size, promised)
            check_memory(str(path), promised)
            content = file.read(promised + 1)
            if len(content) != promised:
                much = "fewer" if len(content) < promised else "more"
                raise FileError(f"{path} holds {much} values than its header says {shape}")
    except MemoryError:
        raise FileError(f"{path} does not fit in memory") from None
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{path} cannot be read ({error})", expected="a complete IDX file") from None
    return np.frombuffer(content, kind).reshape(shape).astype(kind.newbyteorder("="), copy=False)


def is_pickle(name: str) -> bool:
    """Whether a name in lower case is that of a pickle or of what holds one, packed or not."""
    for suffix in PACKING_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(_PICKLE_SUFFIXES)


def require_file(path: Path) -> None:
    """Make sure that there is such a file.

    Raises:
        FileError: there is not.
    """
    if not path.exists():
        raise FileError(f"{path} does not exist", expected="a file or a folder")
    if not path.is_file():
        raise FileError(f"{path} is not a file")


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file by their names.

    Raises:
        FileError: it is damaged, holds objects, or would take too much memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > MOST_BYTES:
                raise FileError(f"{path} claims to hold {size:,} bytes", expected=f"at most {MOST_BYTES:,}")
            refuse_bomb(str(path), path.stat().st_size, size)
            check_memory(str(path), size)
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except FileError:
        raise
    except Exception as error:  # zipfile and numpy raise nearly anything on damaged input
        raise FileError(
            f"{path} cannot be read as .npz ({type(error).__name__}: {str(error)[:80]})", expected="arrays X and y"
        ) from None


def _read_label_rows(path: Path) -> NDArray[np.int64]:
    values = [row[-1] for row in read_rows(path) if row]
    headed = bool(values) and not values[0].strip().lstrip("-").isdigit()
    return whole_numbers(values[headed:], path)


def whole_numbers(texts: list[str], path: Path) -> NDArray[np.int64]:
    """Labels that a table has as texts.

    Raises:
        PairsError: some are no whole numbers.
    """
    try:
        return np.array([int(text) for text in texts], np.int64)
    except (ValueError, OverflowError):
        raise PairsError(f"{path} has labels that are not whole numbers") from None


def read_rows(path: Path) -> list[list[str]]:
    """The rows of a table with commas, semicolons or tabs.

    Raises:
        FileError: it cannot be read.
    """
    try:
        lines = (
            read_file(path, _MOST_TABLE_BYTES).decode("utf-8-sig").splitlines(keepends=True)
        )  # programs for tables put a mark in front
        # … and semicolons between, where numbers have commas.
        between = max(",;\t", key=lines[0].count) if lines else ","
        return list(csv.reader(lines, delimiter=between))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} cannot be read as CSV ({error})") from None
