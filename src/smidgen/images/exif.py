"""EXIF blocks, and XMP: which way up a picture is, and what a TIFF and other kinds can take over from each other."""

import io
import re
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from smidgen.images.directory import (
    RATIONAL,
    SHORT,
    Entry,
    Layout,
    Tag,
    pack_directory,
    pack_offset,
    read_directory,
    read_layout,
    read_numbers,
    read_value,
)

DESCRIPTION, ORIENTATION = 270, 274
RESOLUTION = (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT) = (282, 283, 296)
CAMERA, POSITION = 34665, 34853  # where the directories of the camera's settings and of the place on earth stand
SIDEWAYS = (5, 6, 7, 8)  # values of the orientation for which width and height change places
# Name, description, maker, model, page, software, date, artist, computer, copyright.
ABOUT = (269, DESCRIPTION, 271, 272, 285, 305, 306, 315, 316, 33432)
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:=["']|>))([1-8])""")
_WIDTH, _HEIGHT, _INTEROPERABILITY = 0xA002, 0xA003, 0xA005  # in the camera's
_MARK = b"Exif\0\0"
MOST_EXIF = 65_500  # bytes; more does not fit into a JPEG
_LAST_KIND = 12
_INCH = 2
_INCHES = {_INCH: 1.0, 3: 2.54}  # in a unit of resolution
_FORMATS = {1: "B", 2: "H", 4: "I"}  # of whole numbers, by their bytes


@dataclass(frozen=True, kw_only=True)
class Exif:
    """What an EXIF block says.

    Attributes:
        order: of the bytes in all values, `<` or `>`.
        main: about the picture: what made it, when, who.
        camera: the camera's settings.
        position: the place on earth.
    """

    order: str
    main: tuple[Tag, ...] = ()
    camera: tuple[Tag, ...] = ()
    position: tuple[Tag, ...] = ()


def strip_mark(block: bytes) -> bytes:
    """A block without the word EXIF that JPEGs put before it."""
    while block.startswith(_MARK):
        block = block[len(_MARK) :]
    return block


def add_mark(block: bytes) -> bytes:
    """A block as JPEGs have it."""
    return _MARK + block


def find_orientation(block: bytes) -> int | None:
    """How the picture is turned, 1 to 8; None where it does not say.

    Raises:
        ValueError: it is damaged.
    """
    file = io.BytesIO(block)
    layout, offset = read_layout(file)
    found = [entry for entry in read_directory(file, layout, offset)[0] if _tells_orientation(entry)]
    value = int(read_numbers(file, layout, found[0])[0]) if found else 0
    return value if 1 <= value <= 8 else None


def _tells_orientation(entry: Entry) -> bool:
    return entry.code == ORIENTATION and entry.size in _FORMATS


def find_xmp_orientation(xmp: bytes) -> int | None:
    """How an XMP text says that the picture is turned, 1 to 8; None where it does not say."""
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[2]) if found else None


def make_xmp_upright(xmp: bytes) -> bytes:
    """The text of a picture whose pixels were turned upright."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def make_upright(block: bytes, sideways: bool) -> bytes:
    """The block of a picture whose pixels were turned upright: so it says, and its thumbnail, of before, is let go.

    Everything else stays where it was, since makers' notes point to places.

    Args:
        block: without its mark.
        sideways: whether width and height changed places.

    Raises:
        ValueError: it is damaged.
    """
    file = io.BytesIO(block)
    layout, offset = read_layout(file)
    entries = read_directory(file, layout, offset)[0]
    found = _by_code(entries)
    result = bytearray(block)
    for entry in filter(_tells_orientation, entries):
        struct.pack_into(layout.order + _FORMATS[entry.size], result, entry.place, 1)
    if sideways:
        _swap(result, layout, found, X_RESOLUTION, Y_RESOLUTION)
        _swap(result, layout, _by_code(_follow(file, layout, found.get(CAMERA))), _WIDTH, _HEIGHT)
    begin = struct.calcsize(layout.count)
    number = struct.unpack_from(layout.count, block, offset)[0]
    next_one = offset + begin + number * layout.entry
    result[next_one : next_one + layout.inline] = bytes(len(result[next_one : next_one + layout.inline]))
    return bytes(result)


def _follow(file: BinaryIO, layout: Layout, entry: Entry | None) -> tuple[Entry, ...]:
    """The directory that a tag leads to; nothing where it is damaged."""
    with suppress(ValueError, OverflowError):
        return () if entry is None else read_directory(file, layout, int(read_numbers(file, layout, entry)[0]))[0]
    return ()


def _by_code(entries: Iterable[Entry]) -> dict[int, Entry]:
    return {entry.code: entry for entry in entries}


def _swap(block: bytearray, layout: Layout, found: dict[int, Entry], one: int, other: int) -> None:
    """Let two tags change values."""
    if one in found and other in found:
        first, second = (slice(found[code].at + 2, found[code].at + layout.entry) for code in (one, other))
        block[first], block[second] = block[second], block[first]


def unpack_exif(block: bytes) -> Exif:
    """What a block says that a TIFF can say too.

    Raises:
        ValueError: it is damaged.
    """
    file = io.BytesIO(block)
    layout, offset = read_layout(file)
    return read_exif(file, layout, read_directory(file, layout, offset)[0])


def read_exif(file: BinaryIO, layout: Layout, main: Iterable[Entry]) -> Exif:
    """What a TIFF's first directory, and those it leads to, say that an EXIF block can say too."""
    entries = tuple(main)
    found = _by_code(entries)
    camera = [one for one in _follow(file, layout, found.get(CAMERA)) if one.code != _INTEROPERABILITY]
    return Exif(
        order=layout.order,
        main=_read_tags(file, [one for one in entries if one.code in (*ABOUT, *RESOLUTION)]),
        camera=_read_tags(file, camera),
        position=_read_tags(file, _follow(file, layout, found.get(POSITION))),
    )


def _read_tags(file: BinaryIO, entries: Iterable[Entry]) -> tuple[Tag, ...]:
    """The first of each code, of kinds that EXIF knows and that together fit into a JPEG."""
    found: dict[int, Tag] = {}
    left = MOST_EXIF
    for entry in entries:
        if entry.code not in found and entry.size <= left and entry.kind <= _LAST_KIND:
            found[entry.code] = Tag(entry.code, entry.kind, read_value(file, entry))
            left -= entry.size
    return tuple(found.values())


def resolution_of(tags: Iterable[Tag], order: str) -> tuple[float, float] | None:
    """Pixels per inch, across and down; None where they are not told."""
    found = {tag.code: tag for tag in tags if tag.code in RESOLUTION}
    unit = found.get(RESOLUTION_UNIT)
    inch = None if unit is None or unit.kind != SHORT else _INCHES.get(struct.unpack(order + "H", unit.value[:2])[0])
    sides = [found.get(code) for code in (X_RESOLUTION, Y_RESOLUTION)]
    if inch is None or any(side is None or side.kind != RATIONAL for side in sides):
        return None
    values = [struct.unpack(order + "II", side.value[:8]) for side in sides if side is not None]
    if not all(above and below for above, below in values):
        return None
    return values[0][0] / values[0][1] * inch, values[1][0] / values[1][1] * inch


def tells_resolution(block: bytes) -> bool:
    """Whether a block tells pixels per inch."""
    with suppress(ValueError, OverflowError, struct.error):
        exif = unpack_exif(block)
        return resolution_of(exif.main, exif.order) is not None
    return False


def tell_resolution(resolution: tuple[float, float]) -> Exif:
    """A block of pixels per inch alone."""
    fractions = [Fraction(side).limit_denominator(50) for side in resolution]
    sides = [struct.pack("<II", fraction.numerator, fraction.denominator) for fraction in fractions]
    unit = Tag(RESOLUTION_UNIT, SHORT, struct.pack("<H", _INCH))
    return Exif(order="<", main=(Tag(X_RESOLUTION, RATIONAL, sides[0]), Tag(Y_RESOLUTION, RATIONAL, sides[1]), unit))


def pack_exif(exif: Exif) -> bytes:
    """A block, without its mark."""
    layout = Layout(exif.order)
    block = bytearray(8)
    main = list(exif.main)
    for code, tags in ((CAMERA, exif.camera), (POSITION, exif.position)):
        if tags:
            main.append(Tag(code, *pack_offset(layout, len(block))))
            block += pack_directory(tags, layout, len(block))
    struct.pack_into(layout.order + "2sHI", block, 0, b"II" if layout.order == "<" else b"MM", 42, len(block))
    return bytes(block + pack_directory(main, layout, len(block)))
