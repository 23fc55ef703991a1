"""What tifffile is to write beside the pixels of a TIFF."""

import re
import struct
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from smidgen.images.directory import (
    BYTE,
    RATIONAL,
    SHORT,
    Layout,
    Tag,
    pack_directory,
    pack_offset,
    read_directory,
    read_layout,
)
from smidgen.images.exif import (
    CAMERA,
    POSITION,
    RESOLUTION,
    RESOLUTION_UNIT,
    Exif,
    unpack_exif,
)
from smidgen.images.metadata import XMP, Metadata, fit_metadata, is_imagej, is_ome

_NO_UNIT, _INCH, _CENTIMETRE = 1, 2, 3
_SIGNED_RATIONAL = 10
# By names, since it takes no numbers for those that lead to directories.
_LEADING = {CAMERA: "ExifTag", POSITION: "GPSTag"}
_OME_PIXELS = re.compile(rb"<(?:\w{1,20}:)?Pixels\b[^<>]{0,4000}>")
_OME_TYPES = {"float32": b"float", "float64": b"double"}


class TiffSettings:
    """What a TIFF is to say, page by page.

    Attributes:
        order: of its bytes, `<` or `>`: that of the metadata, of which some is of any length and not understood.
        stacked: whether ImageJ describes it, which wants all pages' values without anything between them.
    """

    def __init__(self, metadata: Metadata) -> None:
        """Of metadata from any kind of file."""
        fitted, _ = fit_metadata(metadata, "tiff")
        self._exif: Exif | None = None
        with suppress(ValueError, OverflowError):
            self._exif = unpack_exif(fitted.exif) if fitted.exif else None
        self.order = self._exif.order if self._exif else fitted.order
        # Only a TIFF's own pages are laid out as its descriptions say.
        about = [tag for tag in self._exif.main if not (is_imagej(tag) or is_ome(tag))] if self._exif else []
        self._pages = fitted.pages or (tuple(about),)
        self._fitted = fitted
        self.stacked = any(is_imagej(tag) for tag in self._pages[0])

    def of_page(self, number: int, dtype: "np.dtype[Any]", big: bool) -> dict[str, Any]:
        """Arguments for `TiffWriter.write`.

        Args:
            number: of the page, from 0.
            dtype: of its values.
            big: whether the file is a BigTIFF.
        """
        tags = self._pages[number] if number < len(self._pages) else ()
        extra: list[tuple[int | str, int, int, Any, bool]] = [
            self._extra(tag, dtype) for tag in tags if tag.code not in RESOLUTION
        ]
        if number == 0 and self._fitted.xmp:
            extra.append((XMP, BYTE, len(self._fitted.xmp), self._fitted.xmp, True))
        if number == 0 and self._exif:
            kind, _ = pack_offset(Layout(self.order, big), 0)
            extra += [(_LEADING[code], kind, 1, 0, True) for code, leads_to in self._directories() if leads_to]
        settings: dict[str, Any] = {"iccprofile": self._fitted.icc_profile, "software": False, "metadata": None}
        return settings | {"extratags": extra} | self._resolution(tags)

    def _extra(self, tag: Tag, dtype: "np.dtype[Any]") -> tuple[int | str, int, int, Any, bool]:
        if tag.kind in (RATIONAL, _SIGNED_RATIONAL):
            form = f"{self.order}{2 * tag.count}{'I' if tag.kind == RATIONAL else 'i'}"
            return tag.code, tag.kind, tag.count, struct.unpack(form, tag.value), True
        value = _retype(tag.value, dtype) if is_ome(tag) else tag.value
        return tag.code, tag.kind, len(value), value, True

    def _resolution(self, tags: tuple[Tag, ...]) -> dict[str, Any]:
        found = {tag.code: tag for tag in tags if tag.kind == (SHORT if tag.code == RESOLUTION_UNIT else RATIONAL)}
        sides = [struct.unpack(self.order + "II", found[code].value[:8]) for code in RESOLUTION[:2] if code in found]
        if len(sides) == 2 and all(below for _, below in sides):
            unit = found.get(RESOLUTION_UNIT)
            stored = _INCH if unit is None else struct.unpack(self.order + "H", unit.value[:2])[0]
            return {"resolution": sides, "resolutionunit": stored if stored in (_INCH, _CENTIMETRE) else _NO_UNIT}
        if self._fitted.resolution and not self._fitted.pages:
            return {"resolution": self._fitted.resolution, "resolutionunit": _INCH}
        return {}

    def _directories(self) -> tuple[tuple[int, tuple[Tag, ...]], ...]:
        return () if self._exif is None else ((CAMERA, self._exif.camera), (POSITION, self._exif.position))

    def finish(self, file: BinaryIO) -> None:
        """Put the directories that tags lead to behind a file that is otherwise written."""
        layout, first = read_layout(file)
        leading = {entry.code: entry for entry in read_directory(file, layout, first)[0]}
        for code, tags in self._directories():
            if tags:
                end = file.seek(0, 2)
                file.write(bytes(end % 2) + pack_directory(tags, layout, end + end % 2))
                file.seek(leading[code].place)
                file.write(pack_offset(layout, end + end % 2)[1])


def _retype(description: bytes, dtype: "np.dtype[Any]") -> bytes:
    """OME-XML of values of a type."""

    def change(pixels: "re.Match[bytes]") -> bytes:
        name = _OME_TYPES.get(dtype.name, dtype.name.encode())
        if b'Type="' + name + b'"' in pixels[0]:
            return pixels[0]
        untold = re.sub(rb'\sSignificantBits="[^"]{0,20}"', b"", pixels[0])
        return re.sub(rb'(\sType=")[^"]{0,40}"', rb"\g<1>" + name + b'"', untold)

    return _OME_PIXELS.sub(change, description)
