"""Picture files decoded once: few are held in memory, many are kept in one file that is mapped."""

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smidgen.data.cache import Cache, Opened
from smidgen.data.mapped import LARGE_BYTES
from smidgen.errors import FileError
from smidgen.files import check_memory, most_unpacked
from smidgen.images.picture import read_picture
from smidgen.images.png import png_depth
from smidgen.images.tiff import SUFFIXES, count_stacked, open_tiff
from smidgen.images.tiff_scan import scan_tiff

_THREADS = 2
_MOST_AHEAD = 3
_MOST_TIMES = 500  # what a file holds; pages of text in black and white unpack to 60 to 400 times that
_BYTES_BY_MODE = {"1": 1, "L": 1, "LA": 1, "I;16": 2, "I;16B": 2, "I": 2, "F": 4}  # a pixel; other modes become RGB

Watch = Callable[[int, int], None]  # pictures that are done, and all there are


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


def read_images(path: Path) -> Opened:
    """The images of a picture file, `(H, W, C)` with C = 1 or 3, in its own depth: uint8, uint16 or float.

    An alpha channel that is opaque everywhere is left out.

    Raises:
        FileError: missing, damaged, too large, with transparent pixels, or not an image.
    """
    picture = read_picture(path)
    alphas = [alpha for alpha in picture.alphas if alpha is not None]
    if not all(map(_is_opaque, alphas)):
        raise FileError(
            f"{path} has transparent pixels (an alpha channel)",
            expected="grey or colour without transparency: a transparent pixel has no clean value to learn",
            remedy="Flatten it onto a background first",
        )
    return Opened(picture.pages, bool(alphas))


def decode_pictures(
    files: Sequence[Path], source: str, *, cache: Path | None = None, watch: Watch | None = None
) -> Decoded:
    """Decode picture files.

    Those of more than `LARGE_BYTES` together are written, one after the other, into one file. It is mapped, and found
    the next time as long as none of them has changed.

    Args:
        files: the pictures.
        source: what to call them together.
        cache: the folder for that file; else the environment's SMIDGEN_CACHE, else the user's cache.
        watch: is told how far it is.

    Raises:
        FileError: a picture cannot be read, or there is no room for all of them.
        MissingPartError: there is no folder for that file, see `Cache`.
    """
    packed = sum(map(_file_size, files))
    sizes = [_expect_bytes(file) for file in files]
    expected = sum(sizes)
    _refuse_bombs(source, packed, expected)
    largest, largest_file = max(zip(sizes, files, strict=True))
    check_memory(str(largest_file), largest)
    if expected > LARGE_BYTES:
        place = Cache(files, cache)
        if (stored := place.find()) is not None:
            return Decoded(stored.pictures, stored.place, stored.size)
        place.check_room(expected)
    with _decoding(files, largest, watch) as decoded:
        held: deque[Opened] = deque()
        unpacked = 0
        for opened in decoded:
            held.append(opened)
            unpacked += _bytes_of(opened)
            if unpacked > LARGE_BYTES:
                place = Cache(files, cache)
                stored = place.find() or place.keep(_drain(held, decoded, source, packed), max(expected, unpacked))
                return Decoded(stored.pictures, stored.place, stored.size)
    _refuse_bombs(source, packed, unpacked)
    return Decoded(list(held))


@contextmanager
def _decoding(files: Sequence[Path], largest: int, watch: Watch | None) -> Iterator[Iterator[Opened]]:
    """Each file's images in order, decoded by threads, a few ahead: fewer where they are large."""
    most_ahead = min(_MOST_AHEAD, max(1, LARGE_BYTES // (2 * largest + 1)))

    def decode() -> Iterator[Opened]:
        ahead: deque[Future[Opened]] = deque()
        for number, file in enumerate(files, 1 - most_ahead):
            ahead.append(pool.submit(read_images, file))
            if number >= 0:
                yield hand_out(ahead, number)
        for number in range(len(files) - len(ahead), len(files)):
            yield hand_out(ahead, number)

    def hand_out(ahead: deque[Future[Opened]], number: int) -> Opened:
        opened = ahead.popleft().result()
        if watch is not None:
            watch(number + 1, len(files))
        return opened

    # Each reader silences warnings and restores what it found, which threads cannot do side by side: all begin silent.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool = ThreadPoolExecutor(_THREADS, "decoding")
        try:
            yield decode()
        finally:
            pool.shutdown(cancel_futures=True)


def _drain(held: deque[Opened], rest: Iterator[Opened], source: str, packed: int) -> Iterator[Opened]:
    """What is held, let go one by one, and the rest, as long as all do not unpack to far more than their files hold."""
    unpacked = 0
    while (opened := held.popleft() if held else next(rest, None)) is not None:
        unpacked += _bytes_of(opened)
        _refuse_bombs(source, packed, unpacked)
        yield opened


def _bytes_of(opened: Opened) -> int:
    return sum(int(np.prod(page.shape)) * page.dtype.itemsize for page in opened.pages)


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


def _expect_bytes(file: Path) -> int:
    """How many bytes a picture takes decoded, as its header tells; its own size where it tells nothing."""
    try:
        if file.suffix.lower() in SUFFIXES:
            with file.open("rb") as opened:
                scan_tiff(opened, str(file))
            with open_tiff(file) as tiff:
                pages = [page.aspage() for page in tiff.pages]
                return sum(page.nbytes * count_stacked(page, len(pages)) for page in pages)
        with warnings.catch_warnings(), file.open("rb") as opened:
            warnings.simplefilter("ignore")
            with Image.open(opened) as image:
                deep = image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA") and png_depth(opened) == 16
                return image.width * image.height * _BYTES_BY_MODE.get(image.mode, 3) * (1 + deep)
    except Exception:  # whatever is wrong with it is said when it is decoded
        return _file_size(file)


def _is_opaque(alpha: NDArray[Any]) -> bool:
    most = 1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
    return bool((alpha == most).all())
