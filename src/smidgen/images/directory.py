"""TIFF's directories of tags, read without decoding a pixel, and written again; EXIF blocks are made of them too."""

import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError
from smidgen.files import refuse_bomb

# Types of values by their number in the file: how many bytes, and as numpy names what they are made of.
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
_LONG8 = 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4", 11: "f4",
            12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}  # fmt: skip
_WHOLE = (1, 3, 4, 6, 8, 9, 13, 16, 17, 18)
WIDTH, HEIGHT, BITS, SAMPLES, TILE_WIDTH, TILE_HEIGHT = 256, 257, 258, 277, 322, 323
# Where strips, tiles and JPEG streams begin and how long they are.
_SEGMENTS = ((273, 279), (324, 325), (513, 514))
# Tables of MetaMorph, which tifffile reads at once: a kilobyte for each entry, and 24 bytes more for every plane.
_UIC_ENTRIES, _UIC_PLANES, _UIC_ENTRY, _UIC_PLANE = 33628, 33629, 1024, 24
_MOST_TAGS = 4096
MOST_PAGES = 3000  # a millisecond each
_MOST_NUMBERS = 4_000_000  # in the tables of a page, 36 bytes of memory each
_SHARED_BYTES = 16 * 2**20  # that tags may hold in common; ImageJ's pages share their description


@dataclass(frozen=True)
class Layout:
    """How a TIFF writes its numbers.

    Attributes:
        order: `<` for little-endian, `>` for big-endian.
        big: whether it is a BigTIFF, of 64-bit offsets.
    """

    order: str
    big: bool = False

    @property
    def offset(self) -> str:
        """Of an offset, and of a count of values, for `struct`."""
        return self.order + ("Q" if self.big else "I")

    @property
    def inline(self) -> int:
        """So many bytes of a value stand in the entry itself."""
        return 8 if self.big else 4

    @property
    def entry(self) -> int:
        """Bytes of an entry."""
        return 20 if self.big else 12

    @property
    def count(self) -> str:
        """Of the number of entries, for `struct`."""
        return self.order + ("Q" if self.big else "H")


@dataclass(frozen=True)
class Entry:
    """A tag as it stands in a file.

    Attributes:
        code: says what it tells.
        kind: of its values.
        count: of its values.
        at: where the entry stands.
        place: where its values stand.
    """

    code: int
    kind: int
    count: int
    at: int
    place: int

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return self.count * _SIZES[self.kind]


@dataclass(frozen=True)
class Tag:
    """A tag with its values, in some file's byte order."""

    code: int
    kind: int
    value: bytes

    @property
    def count(self) -> int:
        """Of its values."""
        return len(self.value) // _SIZES[self.kind]


@dataclass(frozen=True)
class Structure:
    """What a TIFF says of itself, page by page."""

    layout: Layout
    pages: tuple[tuple[Entry, ...], ...]


def read_layout(file: BinaryIO) -> tuple[Layout, int]:
    """How a TIFF is written, and where its first directory stands.

    Raises:
        ValueError: it is no TIFF.
    """
    file.seek(0)
    head = file.read(16).ljust(16, b"\0")
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    # Some writers get the order of the second two bytes wrong.
    version = max(head[2:4])
    if order is None or version not in (42, 43) or min(head[2:4]) != 0:
        raise ValueError("it does not begin as a TIFF does")
    layout = Layout(order, version == 43)
    return layout, struct.unpack_from(layout.offset, head, 8 if layout.big else 4)[0]


def read_directory(file: BinaryIO, layout: Layout, offset: int) -> tuple[tuple[Entry, ...], int]:
    """The tags of a directory whose values lie in the file, and where the next directory stands or 0.

    Raises:
        ValueError: there is none.
    """
    size = file.seek(0, io.SEEK_END)
    begin = struct.calcsize(layout.count)
    file.seek(min(offset, size))
    head = file.read(begin)
    number = struct.unpack(layout.count, head)[0] if len(head) == begin else 0
    if not 0 < number <= _MOST_TAGS:
        raise ValueError(f"a directory of {number} tags")
    body = file.read(number * layout.entry + layout.inline)
    if len(body) < number * layout.entry:
        raise ValueError("a directory that ends early")
    entries = []
    for index in range(number):
        at = index * layout.entry
        code, kind = struct.unpack_from(layout.order + "HH", body, at)
        count = struct.unpack_from(layout.offset, body, at + 4)[0]
        inside = at + layout.entry - layout.inline
        long = count * _SIZES.get(kind, 0) > layout.inline
        place = struct.unpack_from(layout.offset, body, inside)[0] if long else offset + begin + inside
        if kind in _SIZES and count and place + count * _SIZES[kind] <= size:
            entries.append(Entry(code, kind, count, offset + begin + at, place))
    whole = len(body) == number * layout.entry + layout.inline
    return tuple(entries), struct.unpack(layout.offset, body[-layout.inline :])[0] if whole else 0


def read_value(file: BinaryIO, entry: Entry) -> bytes:
    """The values of a tag as they are stored."""
    file.seek(entry.place)
    return file.read(entry.size)


def read_numbers(file: BinaryIO, layout: Layout, entry: Entry) -> NDArray[np.generic]:
    """The values of a tag; two for each fraction."""
    return np.frombuffer(read_value(file, entry), layout.order + _NUMBERS[entry.kind])


def read_structure(file: BinaryIO, name: str) -> Structure:
    """All directories of a TIFF; nothing is decoded, and nothing else read than tables of numbers.

    Raises:
        FileError: they lead in circles, or what they speak of adds up to more than the file holds.
        ValueError: it is no TIFF.
    """
    size = file.seek(0, io.SEEK_END)
    layout, offset = read_layout(file)
    pages: list[tuple[Entry, ...]] = []
    seen: set[int] = set()
    told = held = promised = 0
    while 0 < offset < size:
        if offset in seen:
            raise FileError(f"{name} is damaged: its pages lead in a circle")
        if len(pages) >= MOST_PAGES:
            raise FileError(f"{name} has more than {MOST_PAGES:,} pages", remedy="Split it into several files")
        seen.add(offset)
        try:
            page, offset = read_directory(file, layout, offset)
        except ValueError:  # whoever decodes the page decides whether it can do without
            break
        pages.append(page)
        told += _count_values(page, name, layout)
        if told > size + _SHARED_BYTES:
            raise FileError(f"{name} has tags of {told:,} bytes and holds {size:,}", expected="tags that it can hold")
        promised += _count_promised(file, layout, page)
        held += _count_held(file, layout, page, size)
        if held > size:
            raise FileError(
                f"{name} has strips or tiles of {held:,} bytes and holds {size:,}", expected="each byte in one of them"
            )
    if not pages:
        raise FileError(f"{name} has no page that can be read", expected="a TIFF")
    refuse_bomb(name, size, promised)
    return Structure(layout, tuple(pages))


def _count_values(page: tuple[Entry, ...], name: str, layout: Layout) -> int:
    """Bytes of values that do not stand in the entries themselves."""
    numbers = sum(entry.count for entry in page if entry.kind not in (BYTE, ASCII, UNDEFINED))
    if numbers > _MOST_NUMBERS:
        raise FileError(f"{name} has a page of {numbers:,} numbers", expected=f"at most {_MOST_NUMBERS:,} in its tags")
    counts = {entry.code: entry.count for entry in page}
    tables = counts.get(_UIC_ENTRIES, 0) * (_UIC_ENTRY + counts.get(_UIC_PLANES, 0) * _UIC_PLANE)
    return sum(entry.size for entry in page if entry.size > layout.inline) + tables


def read_sizes(file: BinaryIO, layout: Layout, page: tuple[Entry, ...]) -> dict[int, int]:
    """Width, height and the like of a page by their tags, where they are whole numbers; of several the largest."""
    found: dict[int, int] = {}
    for entry in page:
        if entry.code in (WIDTH, HEIGHT, BITS, SAMPLES, TILE_WIDTH, TILE_HEIGHT) and entry.kind in _WHOLE:
            found[entry.code] = max(found.get(entry.code, 0), int(read_numbers(file, layout, entry).max()))
    return found


def _count_promised(file: BinaryIO, layout: Layout, page: tuple[Entry, ...]) -> int:
    """Bytes that the strips or tiles of a page unpack to."""
    found = read_sizes(file, layout, page)
    across, down = found.get(TILE_WIDTH, 0) or 1, found.get(TILE_HEIGHT, 0) or 1
    width, height = -(-found.get(WIDTH, 0) // across) * across, -(-found.get(HEIGHT, 0) // down) * down
    return width * height * found.get(SAMPLES, 1) * found.get(BITS, 1) // 8


def _count_held(file: BinaryIO, layout: Layout, page: tuple[Entry, ...], size: int) -> int:
    """Bytes that a page's strips or tiles take of a file of `size` bytes; a last one may reach beyond its end."""
    most = 0
    for where, how_long in _SEGMENTS:
        places, lengths = (
            [
                np.clip(read_numbers(file, layout, entry).astype(np.float64), 0, size)
                for entry in page
                if entry.code == code
            ]
            for code in (where, how_long)
        )
        if places and not lengths:
            lengths = [np.array([float(min(size, _count_promised(file, layout, page)))])]
        if [len(found) for found in places] == [len(found) for found in lengths]:
            lengths = [np.minimum(length, size - place) for place, length in zip(places, lengths, strict=True)]
        most = max(most, int(sum(found.sum() for found in lengths)))
    return most


def pack_directory(tags: Iterable[Tag], layout: Layout, offset: int) -> bytes:
    """A directory without another behind it, to stand at `offset`."""
    ordered = sorted(tags, key=lambda tag: tag.code)
    entries, values = b"", b""
    begin = offset + struct.calcsize(layout.count) + len(ordered) * layout.entry + layout.inline
    for tag in ordered:
        entries += struct.pack(layout.order + "HH", tag.code, tag.kind) + struct.pack(layout.offset, tag.count)
        if len(tag.value) <= layout.inline:
            entries += tag.value.ljust(layout.inline, b"\0")
        else:
            entries += struct.pack(layout.offset, begin + len(values))
            values += tag.value + bytes(len(tag.value) % 2)
    return struct.pack(layout.count, len(ordered)) + entries + bytes(layout.inline) + values


def pack_offset(layout: Layout, offset: int) -> tuple[int, bytes]:
    """The kind and the value of a tag that says where something stands."""
    return _LONG8 if layout.big else LONG, struct.pack(layout.offset, offset)
