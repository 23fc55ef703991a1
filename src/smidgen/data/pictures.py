"""Picture files decoded once: few are held in memory, many are kept in one file that is mapped."""

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smidgen.data.cache import Cache, DecodedImage, Stored
from smidgen.data.collection import KeptImage
from smidgen.data.mapped import LARGE_BYTES
from smidgen.errors import FileError
from smidgen.files import check_memory, most_unpacked
from smidgen.images.picture import read_picture, stream_pages
from smidgen.images.png import png_depth
from smidgen.images.tiff import SUFFIXES, count_stacked, open_tiff
from smidgen.images.tiff_scan import scan_tiff

_THREADS = 2
_MOST_AHEAD = 3
_MOST_TIMES = 500  # what a file holds; pages of text in black and white unpack to 60 to 400 times that
_BYTES_BY_MODE = {"1": 1, "L": 1, "LA": 1, "I;16": 2, "I;16B": 2, "I": 2, "F": 4}  # a pixel; other modes become RGB

_Page = tuple[NDArray[Any], bool]  # and whether an alpha channel was left out
Watch = Callable[[int, int], None]  # pictures that are done, and all there are


@dataclass(frozen=True)
class _Promise:
    """How many bytes a picture takes decoded, and whether it has several pages."""

    size: int
    several: bool = False

    @property
    def is_large(self) -> bool:
        return self.size > LARGE_BYTES


@dataclass(frozen=True)
class Opened:
    """What was read of a picture file.

    Attributes:
        pages: its images `(H, W, C)`, in their own depth.
        alpha: whether one had an alpha channel, which is left out.
    """

    pages: list[KeptImage]
    alpha: bool


@dataclass(frozen=True)
class Decoded:
    """Pictures of several files.

    Attributes:
        pictures: in the order of the files.
        place: the file that keeps them decoded, where they are many.
        size: of that file, in bytes.
    """

    pictures: list[Opened]
    place: Path | None = None
    size: int = 0

    @property
    def note(self) -> str:
        """A sentence about the file that keeps them, or nothing."""
        if self.place is None:
            return ""
        return (
            f"the decoded pictures, {self.size / 1e6:,.0f} MB, are kept in {self.place}; it may be deleted afterwards"
        )


def decode_pictures(
    files: Sequence[Path], source: str, *, cache: Path | None = None, watch: Watch | None = None
) -> Decoded:
    """Decode picture files.

    Those of more than `LARGE_BYTES` together are written, one after the other, into one file. It is mapped, and found
    the next time as long as none of them has changed. An alpha channel that is opaque everywhere is left out.

    Args:
        files: the pictures; each page of a TIFF is an image.
        source: what to call them together.
        cache: the folder for that file; else the environment's SMIDGEN_CACHE, else the user's cache.
        watch: is told how far it is.

    Raises:
        FileError: a picture cannot be read, has transparent pixels, or there is no room for all of them.
    """
    packed = sum(map(_file_size, files))
    promises = list(map(_look_at, files))
    expected = sum(promise.size for promise in promises)
    _refuse_bombs(source, packed, expected)
    if expected > LARGE_BYTES:
        place = Cache(files, cache)
        if (stored := place.find()) is not None:
            return _gather(files, stored)
        place.check_room(expected)
    with _decoding(files, promises, watch) as decoded:
        held: deque[DecodedImage] = deque()
        unpacked = 0
        for part in decoded:
            held.append(part)
            unpacked += _bytes_of(part.image)
            if unpacked > LARGE_BYTES:
                place = Cache(files, cache)
                stored = place.find() or place.keep(_drain(held, decoded, source, packed), max(expected, unpacked))
                return _gather(files, stored)
    _refuse_bombs(source, packed, unpacked)
    return _gather(files, list(held))


@contextmanager
def _decoding(
    files: Sequence[Path], promises: Sequence[_Promise], watch: Watch | None
) -> Iterator[Iterator[DecodedImage]]:
    """The images of each file in order, decoded by threads, a few ahead: fewer where they are large.

    A large file of several pages comes page by page, when it is its turn.
    """
    stacks = {file for file, promise in zip(files, promises, strict=True) if promise.several and promise.is_large}
    others = {file: promise.size for file, promise in zip(files, promises, strict=True) if file not in stacks}
    largest, name = max(((size, str(file)) for file, size in others.items()), default=(0, ""))
    check_memory(name, largest)
    most_ahead = min(_MOST_AHEAD, max(1, LARGE_BYTES // (2 * largest + 1)))

    def decode() -> Iterator[DecodedImage]:
        ahead: deque[Callable[[], Iterable[_Page]]] = deque()
        for number, file in enumerate(files, 1 - most_ahead):
            ahead.append(partial(_stream, file) if file in stacks else pool.submit(_read, file).result)
            if number >= 0:
                yield from hand_out(ahead.popleft(), number)
        for number in range(len(files) - len(ahead), len(files)):
            yield from hand_out(ahead.popleft(), number)

    def hand_out(pages: Callable[[], Iterable[_Page]], number: int) -> Iterator[DecodedImage]:
        try:
            found = pages()
        finally:
            del pages  # which knows the error, which knows this frame: nothing would free the picture for a while
        for image, alpha in found:
            yield DecodedImage(number, image, alpha)
        if watch is not None:
            watch(number + 1, len(files))

    # Each reader silences warnings and restores what it found, which threads cannot do side by side: all begin silent.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool = ThreadPoolExecutor(_THREADS, "decoding")
        try:
            yield decode()
        finally:
            pool.shutdown(cancel_futures=True)


def _read(path: Path) -> list[_Page]:
    picture = read_picture(path)
    return [_without_alpha(path, page, alpha) for page, alpha in zip(picture.pages, picture.alphas, strict=True)]


def _stream(path: Path) -> Iterator[_Page]:
    for page, alpha in stream_pages(path):
        yield _without_alpha(path, page, alpha)


def _without_alpha(path: Path, page: NDArray[Any], alpha: NDArray[Any] | None) -> _Page:
    if alpha is None:
        return page, False
    most = 1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
    if (alpha != most).any():
        raise FileError(
            f"{path} has transparent pixels (an alpha channel)",
            expected="grey or colour without transparency: a transparent pixel has no clean value to learn",
            remedy="Flatten it onto a background first",
        )
    return page, True


def _gather(files: Sequence[Path], decoded: Stored | list[DecodedImage]) -> Decoded:
    """The images of each file together."""
    images = decoded.images if isinstance(decoded, Stored) else decoded
    pages: list[list[KeptImage]] = [[] for _ in files]
    alpha = [False] * len(files)
    for part in images:
        pages[part.file].append(part.image)
        alpha[part.file] |= part.alpha
    pictures = list(map(Opened, pages, alpha))
    return Decoded(pictures, decoded.place, decoded.size) if isinstance(decoded, Stored) else Decoded(pictures)


def _drain(held: deque[DecodedImage], rest: Iterator[DecodedImage], source: str, packed: int) -> Iterator[DecodedImage]:
    """What is held, let go one by one, and the rest, as long as all do not unpack to far more than their files hold."""
    unpacked = 0
    while (part := held.popleft() if held else next(rest, None)) is not None:
        unpacked += _bytes_of(part.image)
        _refuse_bombs(source, packed, unpacked)
        yield part


def _bytes_of(image: KeptImage) -> int:
    return math.prod(image.shape) * image.dtype.itemsize


def _refuse_bombs(source: str, packed: int, unpacked: int) -> None:
    """Refuse pictures that together unpack to very much from very little; each has its own limit besides."""
    most = max(most_unpacked(0), _MOST_TIMES * packed)
    if unpacked > most:
        raise FileError(
            f"the pictures of {source} would unpack to {unpacked:,} bytes from {packed:,}",
            expected=f"at most {most:,} bytes",
        )


def _file_size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise FileError(f"{file} cannot be read ({error.strerror})") from None


def _look_at(file: Path) -> _Promise:
    """What the header of a picture tells; its own size where it tells nothing."""
    try:
        if file.suffix.lower() in SUFFIXES:
            with file.open("rb") as opened:
                scan_tiff(opened, str(file))
            with open_tiff(file) as tiff:
                pages = [page.aspage() for page in tiff.pages]
                counts = [count_stacked(page, len(pages)) for page in pages]
                size = sum(page.nbytes * count for page, count in zip(pages, counts, strict=True))
                return _Promise(size, several=sum(counts) > 1)
        with warnings.catch_warnings(), file.open("rb") as opened:
            warnings.simplefilter("ignore")
            with Image.open(opened) as image:
                deep = image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA") and png_depth(opened) == 16
                return _Promise(image.width * image.height * _BYTES_BY_MODE.get(image.mode, 3) * (1 + deep))
    except Exception:  # whatever is wrong with it is said when it is decoded
        return _Promise(_file_size(file))
