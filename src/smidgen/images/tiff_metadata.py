"""What TIFFs say beside their pixels: about each page, and in descriptions by which programs lay out stacks."""

import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from smidgen.images.exif import (
    ABOUT,
    DIRECTORIES,
    RESOLUTION,
    SIDEWAYS,
    damage_refused,
    make_xmp_upright,
    pack_exif,
    resolution_of,
    unpack_exif,
)
from smidgen.images.metadata import MOST_BYTES, Metadata, Tag, check_resolution, fit_metadata, is_imagej, lays_out
from smidgen.images.tiff import count_images, import_tifffile, orientation_of

_ICC_PROFILE, _XMP = 34675, 700
_IMAGEJ_LENGTHS, _IMAGEJ_PARTS = 50838, 50839
# Number of the page and the press's captions; true of a picture however it is turned.
_KEPT = (*ABOUT, *RESOLUTION, 297, 33723, _IMAGEJ_LENGTHS, _IMAGEJ_PARTS)
# Where a page or a map lies.
_PLACED = (286, 287, 33550, 33922, 34264, 34735, 34736, 34737)
_SWAPPED: dict[int, int] = {Base.XResolution: Base.YResolution, Base.YResolution: Base.XResolution}
_BYTE, _ASCII, _LONG, _LONG8 = 1, 2, 4, 16  # kinds of values
_TEXTS, _KINDS = (1, 2, 7), range(1, 13)  # the second are those that any TIFF can hold
_NO_UNIT, _INCH, _CENTIMETRE = 1, 2, 3
# By names, since tifffile takes no numbers for those that lead to directories.
_LEADING = dict(zip(DIRECTORIES, ("ExifTag", "GPSTag"), strict=True))
_MOST_SHAPE, _MOST_SIDES = 100_000, 20  # characters and numbers; more is no description of an array's shape
_IMAGEJ_LIMITS = re.compile(rb"^(min|max)=[^\n]*\n?", re.MULTILINE)
_OME_FILE = re.compile(rb'FileName="([^"]{0,1000})"')
_OME_NAME = re.compile(rb'<(?:\w{1,20}:)?UUID\b[^<>]{0,1000}>[^<]{0,200}</(?:\w{1,20}:)?UUID>|\sUUID="[^"]{0,200}"')
_OME_PIXELS = re.compile(rb"<(?:\w{1,20}:)?Pixels\b[^<>]{0,4000}>")
_OME_TYPES = {"float32": b"float", "float64": b"double"}
Shape = tuple[int, int, int]


def read_tiff_metadata(tiff: Any, shapes: Sequence[Shape]) -> Metadata:
    """What a TIFF says; what is damaged, large or would no longer be true is left out, which is remarked.

    Args:
        tiff: as tifffile sees it; None where it cannot.
        shapes: `(H, W, S)` of its pages as they are read, S with alpha.
    """
    try:
        return _read_tags(tiff, shapes)
    except Exception:  # tifffile raises nearly anything on damaged input
        return Metadata(remarks=("its tags are damaged and left out",))


def _read_tags(tiff: Any, shapes: Sequence[Shape]) -> Metadata:
    file, first = tiff.filehandle, tiff.pages.first
    told = [tag for code in (_ICC_PROFILE, _XMP) if (tag := first.tags.get(code)) and tag.dtype in _TEXTS]
    blocks = {tag.code: _take(file, tag).value for tag in told if tag.valuebytecount <= MOST_BYTES}
    pages: list[tuple[Tag, ...]] = []
    remarks: dict[str, None] = {}
    left = MOST_BYTES
    for number, frame in zip(range(len(shapes)), tiff.pages, strict=False):
        page, tags = frame.aspage(), []
        turned = orientation_of(page)
        for code in _KEPT if turned != 1 else (*_KEPT, *_PLACED):
            tag = page.tags.get(code)
            if tag is None or tag.dtype not in (_TEXTS if code in ABOUT else _KINDS):
                continue
            if tag.valuebytecount > left:
                remarks["tags of many megabytes are left out"] = None
                continue
            left -= tag.valuebytecount
            taken = _take(file, tag)
            taken = taken._replace(code=_SWAPPED.get(code, code)) if turned in SIDEWAYS else taken
            checked, remark = _check_description(taken, page, shapes[number:])
            tags += [checked] if checked else []
            remarks |= {remark: None} if remark else {}
        pages.append(tuple(tags))
        if any(is_imagej(tag) for tag in pages[0]):
            break  # its first page speaks for all
    exif = None
    try:
        exif = _make_exif(file, first, pages[0])
    except ValueError:
        remarks["its EXIF is damaged and left out"] = None
    return Metadata(
        resolution=check_resolution(resolution_of(_numbers(pages[0]))),
        exif=exif,
        icc_profile=blocks.get(_ICC_PROFILE),
        xmp=make_xmp_upright(blocks[_XMP]) if _XMP in blocks else None,
        pages=tuple(pages),
        order=tiff.byteorder,
        remarks=tuple(remarks),
    )


def _take(file: Any, tag: Any) -> Tag:
    """A tag of tifffile's; texts not as it decodes them."""
    if tag.dtype not in _TEXTS:
        return Tag(tag.code, int(tag.dtype), tag.count, tag.value)
    file.seek(tag.valueoffset)
    return Tag(tag.code, int(tag.dtype), tag.count, file.read(tag.valuebytecount))


def _numbers(tags: Sequence[Tag]) -> dict[int, Any]:
    """Fractions and units of the resolution, by their codes."""
    values = {tag.code: tag.value for tag in tags if tag.code in RESOLUTION}
    return {code: IFDRational(*value) if isinstance(value, tuple) else value for code, value in values.items()}


def _check_description(tag: Tag, page: Any, shapes: Sequence[Shape]) -> tuple[Tag | None, str]:
    """A tag, if it is no description by which programs would lay out the pages wrongly; else a remark.

    Args:
        tag: of a page.
        page: as tifffile sees it.
        shapes: of the page and those behind it, as they are read.
    """
    if is_imagej(tag):
        count = count_images(tag.value)
        told = f"ImageJ's description is of {count:,} images and the file has {len(shapes):,}; it is left out"
        return (tag, "") if count == len(shapes) else (None, told)
    stored = (page.imagelength, page.imagewidth, page.samplesperpixel) == shapes[0]
    if lays_out(tag):
        cleaned = _clean_ome(tag.value) if stored else None
        return (tag._replace(value=cleaned), "") if cleaned else (None, "OME-XML of several files is left out")
    if _tells_shape(tag):
        fits = stored and (shapes[0][2] == 1 or page.planarconfig == 1) and _fits_shape(tag.value, shapes)
        return (tag, "") if fits else (None, "a description of another shape is left out")
    return tag, ""


def _tells_shape(tag: Tag) -> bool:
    """Whether a tag is a description of an array's shape, as tifffile writes it."""
    return tag.code == Base.ImageDescription and tag.value.startswith(b'{"shape":')


def _fits_shape(description: bytes, shapes: Sequence[Shape]) -> bool:
    """Whether a description as tifffile writes it is of the pages that begin here."""
    try:
        sides = json.loads(description[:_MOST_SHAPE].rstrip(b"\0"))["shape"]
        number, rest = divmod(math.prod(int(side) for side in sides[:_MOST_SIDES]), math.prod(shapes[0]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return not rest and 0 < number <= len(shapes) and set(shapes[:number]) == {shapes[0]}


def _clean_ome(description: bytes) -> bytes | None:
    """OME-XML that does not name the file it was read from; None where it speaks of several files."""
    if len(set(_OME_FILE.findall(description))) > 1 or b"<BinaryOnly" in description:
        return None
    cleaned = _OME_NAME.sub(b"", description)
    return None if b"FileName=" in cleaned else cleaned


def _directory(order: str, big: bool, group: int) -> ImageFileDirectory_v2:
    """An empty directory of camera or place."""
    head = b"II+\0" if big else b"II*\0"
    return ImageFileDirectory_v2(head + bytes(12 if big else 4), prefix=b"II" if order == "<" else b"MM", group=group)


def _make_exif(file: Any, page: Any, tags: Sequence[Tag]) -> bytes | None:
    """A block for other kinds of files, and for what a page leads to; ValueError where it is damaged."""
    exif, how = Image.Exif(), page.parent.tiff
    exif.endian = how.byteorder
    with damage_refused():
        about = [tag for tag in tags if tag.code in ABOUT and not (lays_out(tag) or _tells_shape(tag))]
        exif.update({tag.code: tag.value.rstrip(b"\0") for tag in about})
        leading = [code for code in DIRECTORIES if code in page.tags]
        if not (leading or len(exif)):
            return None
        for code in leading:
            directory = _directory(how.byteorder, how.offsetsize == 8, code)
            file.seek(page.tags[code].valueoffset)
            directory.load(file)
            exif[code] = {key: directory[key] for key in directory if key != IFD.Interop}
        exif.update(_numbers(tags))
        return pack_exif(exif)


def drop_display_range(metadata: Metadata) -> Metadata:
    """What is still true when values change their scale: all but between which of them ImageJ shows greys."""
    return replace(metadata, pages=tuple(_drop_ranges(page, metadata.order) for page in metadata.pages))


def _drop_ranges(tags: tuple[Tag, ...], order: str) -> tuple[Tag, ...]:
    """Tags without the display ranges in ImageJ's description and parts; without the parts, if they are damaged."""
    found = {tag.code: tag.value for tag in tags}
    kept = [
        tag._replace(value=_IMAGEJ_LIMITS.sub(b"", tag.value)) if is_imagej(tag) else tag
        for tag in tags
        if tag.code not in (_IMAGEJ_LENGTHS, _IMAGEJ_PARTS)
    ]
    with suppress(Exception):
        tifffile = import_tifffile()
        parts = tifffile.tifffile.imagej_metadata(found[_IMAGEJ_PARTS], found[_IMAGEJ_LENGTHS], order)
        parts.pop("Ranges", None)
        kept += [Tag(*tag) for tag in tifffile.imagej_metadata_tag(parts, order)]
    return tuple(kept)


class TiffSettings:
    """What tifffile is to write beside the pixels, page by page.

    Attributes:
        order: of its bytes, `<` or `>`: that of the metadata, of which some is of any length and not understood.
        stacked: whether ImageJ describes it, which wants all pages' values without anything between them.
    """

    def __init__(self, metadata: Metadata) -> None:
        """Of metadata from any kind of file."""
        fitted, _ = fit_metadata(metadata, "tiff")
        exif = self._exif = Image.Exif()
        with suppress(ValueError):
            exif = self._exif = unpack_exif(fitted.exif or b"")
        self.order = exif.endian or fitted.order
        # Only a TIFF's own pages are laid out as its descriptions say.
        texts = {code: exif[code].encode("latin-1") for code in ABOUT if isinstance(exif.get(code), str)}
        about = [Tag(code, _ASCII, len(text), text) for code, text in texts.items()]
        self._pages = fitted.pages or (tuple(tag for tag in about if not lays_out(tag)),)
        self._fitted = fitted
        self._extra: list[tuple[int | str, int, int, Any, bool]] = []
        self.stacked = any(is_imagej(tag) for tag in self._pages[0])

    def begin(self, writer: Any, big: bool) -> None:
        """Write the directories that the first page leads to, before it."""
        xmp = self._fitted.xmp
        self._extra = [Tag(_XMP, _BYTE, len(xmp), xmp)] if xmp else []
        for code, name in _LEADING.items():
            with suppress(ValueError), damage_refused():
                directory, place = _directory(self.order, big, code), writer.filehandle.tell()
                for key, value in self._exif.get_ifd(code).items():
                    if key != IFD.Interop:
                        directory[key] = value
                if len(directory):
                    content = directory.tobytes(place)
                    writer.filehandle.write(content + bytes(len(content) % 2))
                    self._extra.append((name, _LONG8 if big else _LONG, 1, place, True))

    def of_page(self, number: int, dtype: "np.dtype[Any]") -> dict[str, Any]:
        """Arguments for `TiffWriter.write`.

        Args:
            number: of the page, from 0.
            dtype: of its values.
        """
        tags = self._pages[number] if number < len(self._pages) else ()
        extra = [
            tag._replace(value=_retype(tag.value, dtype)) if lays_out(tag) and not is_imagej(tag) else tag
            for tag in tags
            if tag.code not in RESOLUTION
        ]
        settings: dict[str, Any] = {"iccprofile": self._fitted.icc_profile, "software": False, "metadata": None}
        return settings | {"extratags": [*extra, *(() if number else self._extra)]} | self._resolution(tags)

    def _resolution(self, tags: tuple[Tag, ...]) -> dict[str, Any]:
        found = {tag.code: tag.value for tag in tags}
        sides = [found.get(Base.XResolution), found.get(Base.YResolution)]
        if all(isinstance(side, tuple) and len(side) == 2 and side[1] for side in sides):
            unit = found.get(Base.ResolutionUnit, _INCH)
            return {"resolution": sides, "resolutionunit": unit if unit in (_INCH, _CENTIMETRE) else _NO_UNIT}
        if self._fitted.resolution and not self._fitted.pages:
            return {"resolution": self._fitted.resolution, "resolutionunit": _INCH}
        return {}


def _retype(description: bytes, dtype: "np.dtype[Any]") -> bytes:
    """OME-XML of values of a type."""

    def change(pixels: "re.Match[bytes]") -> bytes:
        name = _OME_TYPES.get(dtype.name, dtype.name.encode())
        if b'Type="' + name + b'"' in pixels[0]:
            return pixels[0]
        untold = re.sub(rb'\sSignificantBits="[^"]{0,20}"', b"", pixels[0])
        return re.sub(rb'(\sType=")[^"]{0,40}"', rb"\g<1>" + name + b'"', untold)

    return _OME_PIXELS.sub(change, description)
