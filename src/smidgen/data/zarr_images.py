"""Images in a Zarr store, read window by window; nothing is ever written there."""

import math
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError, MissingPartError, PairsError, plural
from smidgen.files import check_memory, refuse_bomb

_WANTED = "an array or a group of Zarr, version 2 or 3"
_METADATA = ("zarr.json", ".zarray", ".zgroup")
_MOST_IMAGES = 1_000_000
_LEAST_SIDE = 5  # a last axis that is shorter holds channels
_MOST_NAMED = 9


class ZarrImage:
    """An image `(H, W, 1)` of a Zarr array; `image[rows, columns]` reads a window."""

    def __init__(self, array: Any, index: tuple[int, ...], name: str) -> None:
        """Take the image at these places of the array's leading axes."""
        self._array, self._index, self._name = array, index, name
        self.shape: tuple[int, ...] = (*array.shape[-2:], 1)
        self.dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("=")

    def __getitem__(self, window: tuple[slice, slice]) -> NDArray[Any]:
        """Some rows and columns, `(h, w, 1)`.

        Raises:
            FileError: a part of the store is damaged, or cannot be read.
        """
        try:
            values = np.asarray(self._array[(*self._index, *window)])
        except Exception as error:  # stores and codecs raise nearly anything
            raise FileError(
                f"{self._name} cannot be read at {list(self._index)} ({type(error).__name__}: {str(error)[:80]})",
                expected="a store that is whole",
            ) from None
        return np.ascontiguousarray(values[..., None], self.dtype)


@dataclass(frozen=True)
class ZarrImages:
    """The images of a store in the order of its leading axes, and a sentence about which they are, or nothing."""

    images: list[ZarrImage]
    note: str


@dataclass(frozen=True)
class Found:
    """What a store holds.

    Attributes:
        root: the array or group of Zarr that was named.
        arrays: the resolutions of an OME-Zarr, finest first, or the one array there is.
        axes: the names of the array's axes, or nothing where they are not told.
    """

    root: Any
    arrays: tuple[Any, ...]
    axes: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """Where the arrays are below the root; "" where the array is the root."""
        return [array.path.removeprefix(self.root.path).strip("/") for array in self.arrays]


def is_zarr(path: Path) -> bool:
    """Whether a path is that of a Zarr array or group, a folder or a .zip, as far as its name and its files' tell."""
    if path.is_dir():
        return has_zarr_ending(path) or any((path / name).is_file() for name in _METADATA)
    return path.suffix.lower() == ".zip"


def has_zarr_ending(path: Path) -> bool:
    """Whether a name is one for a Zarr store."""
    return path.suffix.lower() == ".zarr"


def open_zarr(path: Path) -> ZarrImages:
    """Open an array, or the one array of a group; of an OME-Zarr's resolutions the finest.

    Its last two axes are those of the image, whatever comes before is gone through in order.

    Args:
        path: of a folder or .zip with Zarr of version 2 or 3.

    Raises:
        FileError: it cannot be read, or is no Zarr.
        PairsError: it holds no images of numbers, or several arrays.
        MissingPartError: the package that reads Zarr is not installed.
    """
    found = find_arrays(path)
    array, leading = found.arrays[0], found.arrays[0].shape[:-2]
    if math.prod(leading) > _MOST_IMAGES:
        raise PairsError(f"{path} has shape {array.shape}", expected=f"at most {_MOST_IMAGES:,} images")
    images = [ZarrImage(array, index, str(path)) for index in np.ndindex(*leading)]
    return ZarrImages(images, _describe(path, array, leading, list(found.axes)))


def find_arrays(place: Path | str) -> Found:
    """Open an array, the one array of a group, or the resolutions of an OME-Zarr, to be read.

    Args:
        place: a folder or .zip with Zarr of version 2 or 3, or an address that fsspec knows, such as s3://bucket/a.zarr.

    Raises:
        FileError: it cannot be read, or is no Zarr.
        PairsError: it holds no images of numbers, or several arrays.
        MissingPartError: the package that reads Zarr is not installed.
    """
    try:
        import zarr
    except ImportError:
        raise MissingPartError("zarr", f"Reading {place}", "zarr") from None
    if isinstance(place, Path) and not place.exists():
        raise FileError(f"{place} cannot be read as Zarr: there is no store {place.name}", expected=_WANTED)
    packed = isinstance(place, Path) and place.is_file()
    if isinstance(place, Path) and packed:
        _check_zip(place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            store = zarr.storage.ZipStore(place, mode="r") if packed else str(place)
            root = zarr.open(store=store, mode="r")
            arrays, axes = ((root,), ()) if isinstance(root, zarr.Array) else _choose(root, str(place))
            if not axes:
                axes = getattr(arrays[0].metadata, "dimension_names", None) or ()
            for part in (root, *arrays):
                part.attrs.asdict()  # what is none raises now, not when it is copied
    except (FileError, PairsError):
        raise
    except Exception as error:  # damaged metadata raise nearly anything
        raise FileError(
            f"{place} cannot be read as Zarr ({type(error).__name__}: {str(error)[:80]})",
            expected=_WANTED,
        ) from None
    _check(arrays[0], str(place))
    return Found(root, arrays, tuple(str(axis) for axis in axes))


def _choose(group: Any, source: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The arrays of a group that are one image, and the names of its axes where they are told."""
    attributes = group.attrs.asdict()
    ome = attributes.get("ome", attributes)
    scales = ome.get("multiscales") if isinstance(ome, Mapping) else None
    if scales:
        axes = tuple(axis["name"] if isinstance(axis, Mapping) else axis for axis in scales[0].get("axes", ()))
        return tuple(group[level["path"]] for level in scales[0]["datasets"]), axes
    arrays = dict(group.arrays())
    if len(arrays) == 1:
        return tuple(arrays.values()), ()
    names = sorted(name for name, _ in group.members())
    listed = ", ".join(map(repr, names[:_MOST_NAMED])) + ", …" * (len(names) > _MOST_NAMED)
    raise PairsError(
        f"{source} is a Zarr group that holds {listed or 'nothing'}",
        expected="one array, or the resolutions of an OME-Zarr image",
        remedy=f"Name one of them, as in {source}/{names[0]}" if names else "",
    )


def _check(array: Any, source: str) -> None:
    """Refuse what is no stack of images that can be read in windows. Codecs that run programs zarr refuses itself."""
    if array.dtype.kind not in "buif":
        raise PairsError(f"{source} holds values of type {array.dtype}", expected="real numbers")
    if array.ndim < 2 or math.prod(array.shape) == 0:
        raise PairsError(f"{source} has shape {array.shape}", expected="images (…, H, W)")
    if array.ndim > 2 and array.shape[-1] < _LEAST_SIDE:
        raise PairsError(
            f"{source} has shape {array.shape}: its images would be {array.shape[-1]} wide",
            expected="(…, H, W): the last two axes are the image",
            remedy="Move the axis of channels to the front",
        )
    # Any window takes a whole chunk.
    check_memory(f"a chunk of {source}", math.prod(array.chunks) * array.dtype.itemsize)


def _check_zip(path: Path) -> None:
    """Refuse what is no ZIP file, or unpacks to very much."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise FileError(f"{path} cannot be read as .zip ({error})", expected="a Zarr store") from None
    refuse_bomb(str(path), path.stat().st_size, unpacked)


def _describe(path: Path, array: Any, leading: tuple[int, ...], axes: list[str]) -> str:
    """What was taken of a store where it could be otherwise: of several arrays, or along several axes."""
    if not array.path and len(leading) < 2:
        return ""
    height, width = array.shape[-2:]
    inside = f" ({array.path!r})" if array.path else ""
    taken = f"{path}{inside}: {plural(math.prod(leading), 'image')} of {height} x {width}"
    names = axes if len(axes) == array.ndim else [f"axis {number}" for number in range(array.ndim)]
    walked = ", ".join(f"{name} ({size:,})" for name, size in zip(names, leading, strict=False))
    return f"{taken}, in the order of {walked}" if walked else taken
