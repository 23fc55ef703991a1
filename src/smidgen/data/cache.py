"""A file of decoded pictures, mapped, and found again by whoever opens the same pictures."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from smidgen.data.mapped import MappedFile, MappedImage
from smidgen.errors import FileError
from smidgen.files import fill_whole, make_folder, write_whole

FOLDER_VARIABLE = "SMIDGEN_CACHE"

_FORMAT = 1  # to be raised with every change in how pictures are decoded, too
_ALIGNMENT = 64
_NUMBERS = r"^[<>|=]?[buif][1248]\Z"  # numpy reads other names of types as Python text, and raises nearly anything


@dataclass(frozen=True)
class DecodedImage:
    """An image of a picture file.

    Attributes:
        file: its number among the files.
        image: `(H, W, C)`, in its own depth.
        alpha: whether it had an alpha channel, which is left out.
    """

    file: int
    image: NDArray[Any] | MappedImage
    alpha: bool


@dataclass(frozen=True)
class Stored:
    """Images in a file of decoded pictures: all of them in order, the file, and its size in bytes."""

    images: list[DecodedImage]
    place: Path
    size: int


@dataclass(frozen=True)
class _Entry:
    file: int
    alpha: bool
    offset: int
    shape: tuple[int, int, int]
    dtype: Annotated[str, msgspec.Meta(pattern=_NUMBERS)]


@dataclass(frozen=True)
class _Index:
    size: int
    names: list[str]
    images: list[_Entry]


class Cache:
    """Where decoded pictures are kept, one file for each set of picture files as they are at the moment."""

    def __init__(self, files: Sequence[Path], folder: Path | None = None) -> None:
        """Name the place.

        Args:
            files: the pictures.
            folder: to keep them in; else the environment's SMIDGEN_CACHE, else the user's cache.

        Raises:
            FileError: one of the files is not there.
        """
        self._files = files
        self.folder = folder or _find_folder()
        self.place = self.folder / f"{_digest(files)}.pictures"
        self._index = self.place.with_suffix(".json")

    def find(self) -> Stored | None:
        """What an earlier run left; None where that is not there, not whole or of another make."""
        try:
            index = msgspec.json.decode(self._index.read_bytes(), type=_Index)
            known = range(len(self._files))
            if self.place.stat().st_size != index.size or any(own.file not in known for own in index.images):
                return None
            file = MappedFile(self.place)
            images = [
                DecodedImage(own.file, MappedImage(file, file.array(own.offset, own.shape, own.dtype)), own.alpha)
                for own in index.images
            ]
        except (OSError, ValueError, TypeError, FileError):
            return None
        return Stored(images, self.place, index.size)

    def check_room(self, size: int) -> None:
        """Refuse to decode what will not fit there.

        Raises:
            FileError: the folder cannot be made, or its disk has not so many bytes free.
        """
        make_folder(self.folder)
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise self._no_room(size, f"{free:,} bytes are free")

    def keep(self, images: Iterable[DecodedImage], size: int) -> Stored:
        """Write images, mapped from then on; nothing is left where that fails or is interrupted.

        Args:
            images: one after the other, as they are decoded.
            size: about how many bytes they take, to tell where there is no room.

        Raises:
            FileError: there is no room for them, or what `images` raises.
        """
        make_folder(self.folder)
        with self._removing_half():
            try:
                written: list[_Index] = []
                fill_whole(self.place, lambda temporary: written.append(self._write(temporary, images)))
                write_whole(self._index, msgspec.json.encode(written[0]))
            except FileError as error:
                if not isinstance(error.__cause__, OSError):  # then it is about a picture
                    raise
                raise self._no_room(size, str(error.__cause__.strerror or error.__cause__)) from error
        stored = self.find()
        if stored is None:
            raise FileError(f"{self.place} was changed by another program while it was written", remedy="Start again")
        return stored

    @contextmanager
    def _removing_half(self) -> Iterator[None]:
        """Take away a file that got no index."""
        try:
            yield
        except BaseException:
            if not self._index.exists():  # of another process that kept the same
                self.place.unlink(missing_ok=True)
            raise

    def _write(self, temporary: Path, images: Iterable[DecodedImage]) -> _Index:
        with temporary.open("wb") as file:
            entries = [_write_image(file, decoded) for decoded in images]
            return _Index(file.tell(), list(map(_printable, self._files)), entries)

    def _no_room(self, size: int, why: str) -> FileError:
        return FileError(
            f"{self.folder} cannot take the decoded pictures ({why})",
            expected=f"room for about {size:,} bytes",
            remedy=f"Name a folder on another disk in the environment's {FOLDER_VARIABLE}",
        )


def _write_image(file: BinaryIO, decoded: DecodedImage) -> _Entry:
    image = np.asarray(decoded.image)
    values = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    file.write(bytes(-file.tell() % _ALIGNMENT))
    height, width, channels = values.shape
    entry = _Entry(decoded.file, decoded.alpha, file.tell(), (height, width, channels), values.dtype.str)
    file.write(values.data)
    return entry


def _find_folder() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else user_cache_path("smidgen") / "pictures"


def _digest(files: Sequence[Path]) -> str:
    """A name for these files as they are now."""
    digest = hashlib.sha256(str(_FORMAT).encode())
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise FileError(f"{file} cannot be read ({error.strerror})") from None
        digest.update(os.fsencode(file.absolute()) + f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:32]


def _printable(path: Path) -> str:
    """A path that JSON can hold: names of files need not be Unicode."""
    return str(path).encode(errors="backslashreplace").decode()
