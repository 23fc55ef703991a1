"""What TIFFs say beside their pixels: about each page, and in descriptions by which programs lay out stacks."""

import json
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from smidgen.images.directory import (
    HEIGHT,
    LONG,
    SAMPLES,
    WIDTH,
    Entry,
    Layout,
    Structure,
    Tag,
    read_numbers,
    read_sizes,
    read_value,
)
from smidgen.images.exif import (
    ABOUT,
    ORIENTATION,
    RESOLUTION,
    SIDEWAYS,
    X_RESOLUTION,
    Y_RESOLUTION,
    make_xmp_upright,
    pack_exif,
    read_exif,
    resolution_of,
)
from smidgen.images.metadata import (
    MOST_BYTES,
    XMP,
    Metadata,
    check_resolution,
    count_images,
    is_imagej,
    is_ome,
    is_shape,
)

_ICC_PROFILE, _PLANES = 34675, 284
_IMAGEJ_LENGTHS, _IMAGEJ_PARTS = 50838, 50839
# Number of the page and the press's captions; true of a picture however it is turned.
_KEPT = (*ABOUT, *RESOLUTION, 297, 33723, _IMAGEJ_LENGTHS, _IMAGEJ_PARTS)
# Where a page or a map lies.
_PLACED = (286, 287, 33550, 33922, 34264, 34735, 34736, 34737)
_SWAPPED = {X_RESOLUTION: Y_RESOLUTION, Y_RESOLUTION: X_RESOLUTION}
_LAST_KIND = 12  # of values that any TIFF can hold
_MOST_SHAPE, _MOST_SIDES = 100_000, 20  # characters and numbers; more is no description of an array's shape
_IMAGEJ_LIMITS = re.compile(rb"^(min|max)=[^\n]*\n?", re.MULTILINE)
_OME_FILE = re.compile(rb'FileName="([^"]{0,1000})"')
_OME_NAME = re.compile(rb'<(?:\w{1,20}:)?UUID\b[^<>]{0,1000}>[^<]{0,200}</(?:\w{1,20}:)?UUID>|\sUUID="[^"]{0,200}"')


def read_tiff_metadata(file: BinaryIO, structure: Structure, shapes: Sequence[tuple[int, int, int]]) -> Metadata:
    """What a TIFF says; what is damaged, large or would no longer be true is left out, which is remarked.

    Args:
        file: the TIFF.
        structure: of it.
        shapes: `(H, W, S)` of its pages as they are read, S with alpha.
    """
    try:
        return _read_tags(file, structure, shapes)
    except (ValueError, IndexError, OverflowError, struct.error):
        return Metadata(remarks=("its tags are damaged and left out",))


def _read_tags(file: BinaryIO, structure: Structure, shapes: Sequence[tuple[int, int, int]]) -> Metadata:
    layout, first = structure.layout, structure.pages[0]
    pages: list[tuple[Tag, ...]] = []
    remarks: dict[str, None] = {}
    left = MOST_BYTES
    for number, entries in enumerate(structure.pages):
        tags = []
        for entry in _choose(file, layout, entries):
            if entry.size <= left:
                tags.append(Tag(entry.code, entry.kind, read_value(file, entry)))
                left -= entry.size
            else:
                remarks["tags of many megabytes are left out"] = None
        if _first_number(file, layout, entries, ORIENTATION) in SIDEWAYS:
            tags = [replace(tag, code=_SWAPPED.get(tag.code, tag.code)) for tag in tags]
        checked = [_check_description(tag, file, layout, entries, shapes[number:]) for tag in tags]
        pages.append(tuple(tag for tag, _ in checked if tag))
        remarks |= dict.fromkeys(remark for _, remark in checked if remark)
        if any(is_imagej(tag) for tag in pages[0]):
            break  # its first page speaks for all
    told = {entry.code: entry for entry in first if entry.size <= left}
    return Metadata(
        resolution=check_resolution(resolution_of(pages[0], layout.order)),
        exif=_make_exif(file, layout, first, pages[0]),
        icc_profile=read_value(file, told[_ICC_PROFILE]) if _ICC_PROFILE in told else None,
        xmp=make_xmp_upright(read_value(file, told[XMP])) if XMP in told else None,
        pages=tuple(pages),
        order=layout.order,
        remarks=tuple(remarks),
    )


def _first_number(file: BinaryIO, layout: Layout, entries: Sequence[Entry], code: int) -> int:
    """The first value of a tag; 1, which tags without a value mean, where it is missing."""
    found = [entry for entry in entries if entry.code == code]
    return int(read_numbers(file, layout, found[0])[0]) if found else 1


def _choose(file: BinaryIO, layout: Layout, entries: Sequence[Entry]) -> list[Entry]:
    """The tags of a page that stay true of it, of kinds that any TIFF can hold."""
    upright = _first_number(file, layout, entries, ORIENTATION) == 1
    codes = (*_KEPT, *_PLACED) if upright else _KEPT
    return [entry for entry in entries if entry.code in codes and entry.kind <= _LAST_KIND]


def _check_description(
    tag: Tag, file: BinaryIO, layout: Layout, entries: Sequence[Entry], shapes: Sequence[tuple[int, int, int]]
) -> tuple[Tag | None, str]:
    """A tag, if it is no description by which programs would lay out the pages wrongly; else a remark.

    Args:
        tag: of a page.
        file, layout, entries: the TIFF, how it is written, and the tags of the page.
        shapes: of the page and those behind it, as they are read.
    """
    if is_imagej(tag):
        count = count_images(tag.value)
        fits = count == len(shapes)
        told = f"ImageJ's description is of {count:,} images and the file has {len(shapes):,}; it is left out"
        return (tag, "") if fits else (None, told)
    sizes = read_sizes(file, layout, tuple(entries))
    stored = (sizes.get(HEIGHT), sizes.get(WIDTH), sizes.get(SAMPLES, 1)) == shapes[0]
    if is_ome(tag):
        cleaned = _clean_ome(tag.value) if stored else None
        return (replace(tag, value=cleaned), "") if cleaned else (None, "OME-XML of several files is left out")
    if is_shape(tag):
        apart = shapes[0][2] > 1 and _first_number(file, layout, entries, _PLANES) != 1
        fits = stored and not apart and _fits_shape(tag.value, shapes)
        return (tag, "") if fits else (None, "a description of another shape is left out")
    return tag, ""


def _fits_shape(description: bytes, shapes: Sequence[tuple[int, int, int]]) -> bool:
    """Whether a description as tifffile writes it is of the pages that begin here."""
    try:
        sides = json.loads(description[:_MOST_SHAPE].rstrip(b"\0"))["shape"]
        told = math.prod(int(side) for side in sides[:_MOST_SIDES])
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    number, rest = divmod(told, math.prod(shapes[0]))
    return not rest and 0 < number <= len(shapes) and set(shapes[:number]) == {shapes[0]}


def _clean_ome(description: bytes) -> bytes | None:
    """OME-XML that does not name the file it was read from; None where it speaks of several files."""
    if len(set(_OME_FILE.findall(description))) > 1 or b"<BinaryOnly" in description:
        return None
    cleaned = _OME_NAME.sub(b"", description)
    return None if b"FileName=" in cleaned else cleaned


def _make_exif(file: BinaryIO, layout: Layout, first: Sequence[Entry], tags: Sequence[Tag]) -> bytes | None:
    """A block for other kinds of files, and for what the first page leads to."""
    found = read_exif(file, layout, first)
    about = {tag.code: tag for tag in tags if tag.code in (*ABOUT, *RESOLUTION)}
    main = tuple(tag for tag in about.values() if not (is_imagej(tag) or is_ome(tag) or is_shape(tag)))
    if not (found.camera or found.position or any(tag.code in ABOUT for tag in main)):
        return None
    return pack_exif(replace(found, main=main))


def drop_display_range(metadata: Metadata) -> Metadata:
    """What is still true when values change their scale: all but between which of them ImageJ shows greys."""
    pages = tuple(_drop_ranges([_drop_limits(tag) for tag in page], metadata.order) for page in metadata.pages)
    return replace(metadata, pages=pages)


def _drop_limits(tag: Tag) -> Tag:
    return replace(tag, value=_IMAGEJ_LIMITS.sub(b"", tag.value)) if is_imagej(tag) else tag


def _drop_ranges(tags: list[Tag], order: str) -> tuple[Tag, ...]:
    """Tags without the display ranges among ImageJ's parts; without the parts, if they are damaged.

    The parts are: a mark, for each sort of parts its name and how many there are, then all of them. Another tag has the
    length of each, the head's first.
    """
    found = {tag.code: tag for tag in tags}
    if _IMAGEJ_LENGTHS not in found or _IMAGEJ_PARTS not in found:
        return tuple(tags)
    others = tuple(tag for tag in tags if tag.code not in (_IMAGEJ_LENGTHS, _IMAGEJ_PARTS))
    parts = found[_IMAGEJ_PARTS].value
    try:
        lengths = np.frombuffer(found[_IMAGEJ_LENGTHS].value, order + "u4").tolist()
        names = list(struct.iter_unpack(order + "4sI", parts[4 : lengths[0]]))
        name = b"rang" if order == ">" else b"gnar"
        head, body, kept, place, number = parts[:4], b"", [0], lengths[0], 1
        for sort, count in names:
            some = lengths[number : number + count]
            number += len(some)
            if sort != name:
                head += struct.pack(order + "4sI", sort, count)
                body += parts[place : place + sum(some)]
                kept += some
            place += sum(some)
    except (ValueError, IndexError, struct.error):
        return others
    if len(kept) == 1:
        return others
    kept[0] = len(head)
    lengths_tag = Tag(_IMAGEJ_LENGTHS, LONG, np.array(kept, order + "u4").tobytes())
    return (*others, lengths_tag, replace(found[_IMAGEJ_PARTS], value=head + body))
