"""Read arrays and pairs from the files people keep them in."""

import csv
import gzip
import itertools
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.checks import make_labels, make_raw_clean, make_raw_pairs
from smidgen.data.packing import GZIP_START, PACKING_SUFFIXES
from smidgen.data.parts import quote, take_apart
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.unpickle import read_pickle
from smidgen.errors import FileError, PairsError, plural
from smidgen.files import check_memory, refuse_bomb
from smidgen.images.kinds import IMAGE_SUFFIXES
from smidgen.images.picture import read_pages

MOST_BYTES = 16 * 2**30
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".p", ".joblib", ".pt", ".pth")
_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


@dataclass(frozen=True)
class RawParts:
    """Pairs as a file holds them.

    Attributes:
        train: to train on, or all there are.
        val, test: what the file sets aside.
        warnings: what it holds besides.
    """

    train: RawPairs
    val: RawPairs | None = None
    test: RawPairs | None = None
    warnings: tuple[str, ...] = ()


def read_parts(path: Path, labels: Path | None = None) -> RawParts:
    """Pairs from one file that holds both, or from a folder with `noisy/` and `clean/`.

    Args:
        path: of the file or folder.
        labels: a file of labels, in place of those that lie with the pairs to train on.

    Raises:
        FileError: missing, of an unknown kind, or damaged.
        PairsError: what it holds does not make pairs.
    """
    if path.is_dir():
        return RawParts(_read_folders(path, labels))
    _require_file(path)
    name = path.name.lower()
    if _is_pickle(name):
        contents = take_apart(read_pickle(path), str(path))
    elif name.endswith(".npz"):
        contents = take_apart(_read_npz(path), str(path))
    else:
        raise FileError(
            f"{path} does not hold both noisy and clean images",
            expected="a pickle, .npz or .pt with X and y, or a folder with noisy/ and clean/",
            remedy="If it holds one of the two, give two files: --noisy FILE --clean FILE",
        )
    noisy, clean, own_labels = contents.parts.pop("train")
    train = make_raw_pairs(noisy, clean, own_labels if labels is None else read_array(labels), str(path))
    aside = {part: make_raw_pairs(*triple, f"{path} ({part})") for part, triple in contents.parts.items()}
    warnings = (f"{path} also holds {quote(contents.unused)}, not used",) if contents.unused else ()
    return RawParts(train, aside.get("val"), aside.get("test"), warnings)


def read_pairs(path: Path, labels: Path | None = None, *, part: str = "train") -> RawPairs:
    """The pairs of one part, "train", "val" or "test"; all pairs of what knows no parts.

    Raises:
        FileError, PairsError: as `read_parts`, or the file has other parts only.
    """
    parts = read_parts(path, labels)
    found: RawPairs | None = getattr(parts, part)
    if found is None and (parts.val or parts.test):
        raise PairsError(f"{path} has its own parts, but none called {part!r}", expected="pairs, or such a part")
    return found or parts.train


def read_two(noisy: Path, clean: Path, labels: Path | None = None) -> RawPairs:
    """Pairs from two files or folders, and labels from a third."""
    if noisy.is_dir() and clean.is_dir():
        return _read_two_folders(noisy, clean, labels, str(noisy))
    return make_raw_pairs(
        read_array(noisy), read_array(clean), None if labels is None else read_array(labels), f"{noisy}, {clean}"
    )


def read_clean(path: Path, labels: Path | None = None) -> RawPairs:
    """Clean images alone, from one file or folder, and labels from another; they stand as X and as y.

    Raises:
        FileError, PairsError: they cannot be read, or make no images.
    """
    if labels is not None and path.is_dir():
        files = _image_files(path)
        images = _read_images(list(files.values()))
        known = np.repeat(_labels_by_name(labels, list(files)), list(map(len, images)))
        return make_raw_clean(list(itertools.chain(*images)), known, str(path))
    return make_raw_clean(read_array(path), None if labels is None else read_array(labels), str(path))


def read_array(path: Path) -> object:
    """One array from a .npy, .npz, IDX(.gz), .pt, image or pickle file, or a folder of images."""
    if path.is_dir():
        return list(itertools.chain(*_read_images(list(_image_files(path).values()))))
    _require_file(path)
    name = path.name.lower()
    if _is_pickle(name):
        return read_pickle(path)
    if name.endswith(".npy"):
        return _read_npy(path)
    if name.endswith(".npz"):
        content = _read_npz(path)
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
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return read_pages(path)
    raise FileError(
        f"{path} has an unknown ending",
        expected="a pickle, .npy, .npz, .pt, IDX, IDX .gz or image file, or a folder of images",
    )


def read_idx(path: Path) -> NDArray[Any]:
    """An IDX file, as MNIST's are, gzipped or not.

    Source: the format's description at the MNIST home page: two zero bytes, a type, the number
    of dimensions, each dimension as a big-endian uint32, then the values.
    """
    _require_file(path)
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


def _is_pickle(name: str) -> bool:
    """Whether a name in lower case is that of a pickle or of what holds one, packed or not."""
    for suffix in PACKING_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(_PICKLE_SUFFIXES)


def _require_file(path: Path) -> None:
    if not path.exists():
        raise FileError(f"{path} does not exist", expected="a file, a folder with noisy/ and clean/, or a task's name")
    if not path.is_file():
        raise FileError(f"{path} is not a file")


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        # Mapping first shows whether the file is as long as its header says, at no cost.
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy reads the header as Python text and raises nearly anything
        raise FileError(f"{path} cannot be read as .npy ({str(error)[:80]})", expected="an array of numbers") from None


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
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


def _image_files(folder: Path) -> dict[str, Path]:
    """Image files by name without ending, in the order of their names."""
    files: dict[str, Path] = {}
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise FileError(f"{folder} cannot be read ({error.strerror})") from None
    for file in found:
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file():
            if file.stem in files:
                raise PairsError(f"{folder} holds both {files[file.stem].name} and {file.name}")
            files[file.stem] = file
    if not files:
        raise PairsError(f"{folder} holds no images", expected="PNG, TIFF, JPEG or BMP files")
    return files


def _read_folders(path: Path, labels: Path | None) -> RawPairs:
    noisy, clean = path / "noisy", path / "clean"
    if not (noisy.is_dir() and clean.is_dir()):
        raise FileError(f"{path} has no folders noisy/ and clean/", expected="both, with files of the same names")
    if labels is None and (path / "labels.csv").is_file():
        labels = path / "labels.csv"
    return _read_two_folders(noisy, clean, labels, str(path))


def _read_two_folders(noisy: Path, clean: Path, labels: Path | None, source: str) -> RawPairs:
    noisy_files, clean_files = _image_files(noisy), _image_files(clean)
    lonely = sorted(noisy_files.keys() ^ clean_files.keys())
    if lonely:
        some = ", ".join(lonely[:3]) + "…" * (len(lonely) > 3)
        raise PairsError(
            f"{source}: no partner for {plural(len(lonely), 'image')} ({some})",
            expected="each name in both noisy/ and clean/",
        )
    names = list(noisy_files)
    x = _read_images([noisy_files[name] for name in names])
    y = _read_images([clean_files[name] for name in names])
    for name, pages, others in zip(names, x, y, strict=True):
        if len(pages) != len(others):
            raise PairsError(
                f"{source}: {name} has {plural(len(pages), 'noisy page')} and {len(others):,} clean",
                expected="one clean page for each noisy one",
            )
    # The pages of a file share its label.
    found = None if labels is None else np.repeat(_labels_by_name(labels, names), list(map(len, x)))
    return make_raw_pairs(list(itertools.chain(*x)), list(itertools.chain(*y)), found, source)


def _read_images(files: list[Path]) -> list[list[NDArray[Any]]]:
    """The pages of each, as long as they do not unpack to far more than they hold together."""
    images: list[list[NDArray[Any]]] = []
    packed = unpacked = 0
    for file in files:
        images.append(read_pages(file))
        packed += file.stat().st_size
        unpacked += sum(page.nbytes for page in images[-1])
        refuse_bomb(str(file.parent), packed, unpacked)
    return images


def _labels_by_name(path: Path, names: list[str]) -> NDArray[np.int64]:
    """Labels from rows `name,label`, in the order of `names`."""
    if path.suffix.lower() != ".csv":
        return np.asarray(make_labels(read_array(path), len(names), str(path)))
    rows = {row[0]: row[-1] for row in _rows(path) if len(row) >= 2}
    found = {Path(name).stem if Path(name).suffix.lower() in IMAGE_SUFFIXES else name: rows[name] for name in rows}
    missing = [name for name in names if name not in found]
    if missing:
        raise PairsError(f"{path} has no row for {missing[0]!r}", expected="a row 'name,label' for each image")
    return _whole_numbers([found[name] for name in names], path)


def _read_label_rows(path: Path) -> NDArray[np.int64]:
    values = [row[-1] for row in _rows(path) if row]
    headed = bool(values) and not values[0].strip().lstrip("-").isdigit()
    return _whole_numbers(values[headed:], path)


def _whole_numbers(texts: list[str], path: Path) -> NDArray[np.int64]:
    try:
        return np.array([int(text) for text in texts], np.int64)
    except (ValueError, OverflowError):
        raise PairsError(f"{path} has labels that are not whole numbers") from None


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # programs for tables put a mark in front
        # … and semicolons between, where numbers have commas.
        between = max(",;\t", key=lines[0].count) if lines else ","
        return list(csv.reader(lines, delimiter=between))
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise FileError(f"{path} cannot be read as CSV ({error})") from None
