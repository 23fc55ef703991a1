"""What an image file says beside its pixels, and which kind of file can say it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from PIL.ExifTags import Base

from smidgen.images.exif import ABOUT, RESOLUTION, pack_resolution, tells_resolution

MOST_BYTES = 16 * 2**20  # of everything together; more is no description of a picture
_MOST_PER_INCH = 5e7  # what PNG and BMP can write


class Tag(NamedTuple):
    """A tag of a TIFF, as tifffile wants to have it: texts in bytes, one or several numbers, two for each fraction."""

    code: int
    kind: int
    number: int
    value: Any
    once: bool = True


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What an image file says beside its pixels; bytes stand as they were found.

    Attributes:
        resolution: pixels per inch, across and down.
        exif: an EXIF block of a picture that stands upright, without its mark.
        icc_profile: of the colours.
        xmp: an XML text.
        comment: of a JPEG.
        chunks: of a PNG: their names and contents.
        pages: the tags of each page of a TIFF.
        order: of the bytes in `pages`, `<` or `>`.
        remarks: sentences about what could not be kept.
    """

    resolution: tuple[float, float] | None = None
    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    comment: bytes | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    pages: tuple[tuple[Tag, ...], ...] = ()
    order: str = "<"
    remarks: tuple[str, ...] = ()


_WORDS = {"resolution": "its resolution", "exif": "EXIF", "icc_profile": "a colour profile", "xmp": "XMP",
          "comment": "a comment", "chunks": "a PNG's texts and gamma", "pages": "a TIFF's own tags"}  # fmt: skip
# What each kind can hold, and of bytes how many.
_HOLDS: dict[str, dict[str, float]] = {
    "png": {"resolution": _MOST_PER_INCH, **dict.fromkeys(("exif", "icc_profile", "xmp", "chunks"), MOST_BYTES)},
    "jpeg": {"resolution": 65535, "exif": 65527, "icc_profile": 255 * 65519, "xmp": 65504, "comment": 65533},
    "webp": dict.fromkeys(("exif", "icc_profile", "xmp"), MOST_BYTES),
    "bmp": {"resolution": _MOST_PER_INCH},
    "tiff": {"resolution": _MOST_PER_INCH, **dict.fromkeys(("exif", "icc_profile", "xmp", "pages"), MOST_BYTES)},
    "npy": {},
}


def check_resolution(found: object) -> tuple[float, float] | None:
    """Two numbers if they can be pixels per inch."""
    if not isinstance(found, tuple) or len(found) != 2:
        return None
    sides = (float(found[0]), float(found[1]))
    return sides if all(math.isfinite(side) and 0 < side <= _MOST_PER_INCH for side in sides) else None


def lays_out(tag: Tag) -> bool:
    """Whether a tag is a description by which ImageJ or microscopes' programs lay out stacks."""
    return tag.code == Base.ImageDescription and (is_imagej(tag) or tag.value.rstrip(b"\0 \r\n\t").endswith(b"OME>"))


def is_imagej(tag: Tag) -> bool:
    """Whether a tag is a description that ImageJ lays out stacks by, and knows lengths from."""
    return tag.code == Base.ImageDescription and tag.value.startswith((b"ImageJ=", b"SCIFIO="))


def fit_metadata(metadata: Metadata, kind: str) -> tuple[Metadata, list[str]]:
    """What a kind of file can hold of it, and words for what it cannot."""
    kept: dict[str, Any] = {}
    lost = []
    for name, words in _WORDS.items():
        value = getattr(metadata, name)
        if not value:
            continue
        much = len(value) if isinstance(value, bytes) else max(value) if name == "resolution" else 1
        if much <= _HOLDS[kind].get(name, 0):
            kept[name] = value
        elif name != "pages" or _tells_more(metadata.pages):
            lost.append(words)
    fitted = Metadata(order=metadata.order, **kept)
    if kind == "webp" and metadata.resolution and not metadata.exif:
        fitted = replace(fitted, exif=pack_resolution(metadata.resolution))
    if fitted.exif and tells_resolution(fitted.exif):
        lost = [words for words in lost if words != _WORDS["resolution"]]
    return fitted, lost


def _tells_more(pages: Iterable[tuple[Tag, ...]]) -> bool:
    """Whether tags tell what no EXIF block does."""
    return any(tag.code not in (*ABOUT, *RESOLUTION) or lays_out(tag) for page in pages for tag in page)
