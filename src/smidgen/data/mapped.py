"""Images in a mapped file, read window by window: memory holds little of it at a time."""

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from smidgen.errors import FileError
from smidgen.files import check_memory

LARGE_BYTES = 256 * 2**20  # what is larger than this is mapped rather than held in memory
_DROPPED_BYTES = 64 * 2**20
_BAND_BYTES = 16 * 2**20
# Where a byte of a mapping is looked at, Linux brings in up to so much around it.
_AROUND_BYTES = 128 * 2**10
_CHANNELS = range(1, 5)
_NUMBERS = "buif"


class MappedFile:
    """A file whose bytes are brought into memory where they are looked at, and dropped again."""

    def __init__(self, path: Path) -> None:
        """Map all of a file.

        Raises:
            FileError: it cannot be read, or is empty.
        """
        self.path = path.absolute()
        self._seen_bytes = 0
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._mtime_ns = os.fstat(file.fileno()).st_mtime_ns
        except (OSError, ValueError) as error:
            raise FileError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the file anew."""
        return _map_again, (self.path, len(self._map), self._mtime_ns)

    def array(
        self, offset: int, shape: tuple[int, ...], dtype: DTypeLike, strides: tuple[int, ...] | None = None
    ) -> NDArray[Any]:
        """A part of the file as an array, which brings nothing into memory yet.

        Raises:
            FileError: the file is shorter than that, or these are no numbers.
        """
        try:
            # What numpy would take: addresses of objects, and places before the file or very far behind it.
            if np.dtype(dtype).kind not in _NUMBERS or not 0 <= offset <= len(self._map):
                raise ValueError
            return np.ndarray(shape, dtype, self._map, offset, strides)
        except (TypeError, ValueError):
            raise FileError(f"{self.path} does not hold what it is to hold: {shape} of {dtype} values") from None

    def images(self, array: NDArray[Any]) -> "list[MappedImage]":
        """Each image of such an array `(N, H, W, C)`."""
        return [MappedImage(self, values) for values in array]

    def place(self, array: NDArray[Any]) -> int:
        """Where in the file such an array begins."""
        return _address(array) - _address(np.frombuffer(self._map, np.uint8, 1))

    def check(self) -> None:
        """Make sure that the file is as long as it was: to look beyond its end would kill the process.

        Raises:
            FileError: it has become shorter.
        """
        if self._map.size() < len(self._map):
            raise FileError(f"{self.path} has become shorter since it was opened", remedy="Start again")

    def note_seen(self, size: int) -> None:
        """Count bytes that were looked at, and drop all there are in memory once they are many."""
        self._seen_bytes += size
        if self._seen_bytes >= _DROPPED_BYTES:
            self._seen_bytes = 0
            if hasattr(mmap, "MADV_DONTNEED"):  # other systems take care of it themselves
                self._map.madvise(mmap.MADV_DONTNEED)


class MappedImage:
    """An image `(H, W, C)` in a mapped file; `image[rows, columns]` copies a window out of it."""

    def __init__(self, file: MappedFile, values: NDArray[Any]) -> None:
        """Take an array `(H, W, C)` of the file's, in any order of its axes."""
        self._file, self._values = file, values
        self.shape: tuple[int, ...] = values.shape
        # Truth values are read as 0 and 1.
        self.dtype = np.dtype(np.uint8) if values.dtype == bool else values.dtype.newbyteorder("=")

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process reads from the file itself."""
        values = self._values
        part = (self._file.place(values), values.shape, values.dtype.str, values.strides)
        return _find_again, (self._file, *part)

    def __getitem__(self, window: tuple[slice, slice]) -> NDArray[Any]:
        """Some rows and columns, `(h, w, C)`, as an array in memory.

        Raises:
            FileError: the file has become shorter.
        """
        self._file.check()
        part = self._values[window]
        result = np.empty(part.shape, self.dtype)
        rows = max(1, len(part) * _BAND_BYTES // max(1, _bytes_seen(part)))
        for top in range(0, len(part), rows):
            band = part[top : top + rows]
            result[top : top + rows] = band
            self._file.note_seen(_bytes_seen(band))
        return result


def _map_again(path: Path, size: int, mtime_ns: int) -> MappedFile:
    file = MappedFile(path)
    if (len(file._map), file._mtime_ns) != (size, mtime_ns):
        raise FileError(f"{path} has changed since it was opened", remedy="Start again")
    return file


def _find_again(file: MappedFile, *part: Any) -> MappedImage:
    return MappedImage(file, file.array(*part))


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _bytes_seen(part: NDArray[Any]) -> int:
    """How much of a file is brought into memory, at most, to look at a part of it."""
    axes = sorted((abs(stride), count) for stride, count in zip(part.strides, part.shape, strict=True))
    extent = seen = part.itemsize
    for stride, count in axes:
        extent += stride * (count - 1)
        seen = min(extent, count * (seen + _AROUND_BYTES))
    return seen + _AROUND_BYTES


def read_npy(path: Path) -> NDArray[Any] | list[MappedImage]:
    """An array from a .npy file; of a large one with images its images, which stay in the file.

    What numpy wrote in Fortran's order has its images one through the other, and is read whole.

    Raises:
        FileError: it is damaged, holds objects, or does not fit in memory.
    """
    try:
        # Mapping first shows whether the file is as long as its header says, at no cost.
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, np.memmap):
            raise ValueError("not an array")
        if found.nbytes > LARGE_BYTES and found.dtype.kind in _NUMBERS and found.flags.c_contiguous:
            file = MappedFile(path)
            array = file.array(found.offset, found.shape, found.dtype)
            if array.ndim == 3:
                return file.images(array[..., None])
            if array.ndim == 4 and array.shape[3] in _CHANNELS:
                return file.images(array)
            if array.ndim == 4 and array.shape[1] in _CHANNELS:
                return file.images(array.transpose(0, 2, 3, 1))
        check_memory(str(path), found.nbytes)
        whole: NDArray[Any] = np.load(path, allow_pickle=False)  # a copy of what is mapped would be held twice
    except FileError:
        raise
    except Exception as error:  # numpy reads the header as Python text and raises nearly anything
        raise FileError(f"{path} cannot be read as .npy ({str(error)[:80]})", expected="an array of numbers") from None
    return whole
