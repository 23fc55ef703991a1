"""EXIF blocks, and XMP: which way up a picture is, and what a TIFF and other kinds can take over from each other."""

import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

RESOLUTION = (Base.XResolution, Base.YResolution, Base.ResolutionUnit)
DIRECTORIES = (IFD.Exif, IFD.GPSInfo)
SIDEWAYS = (5, 6, 7, 8)  # values of the orientation for which width and height change places
# Name, description, maker, model, page, software, date, artist, computer, copyright.
ABOUT = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)
MARK = b"Exif\0\0"  # what JPEGs put before a block
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:=["']|>))([1-8])""")
_SHORT = 3
_INCHES = {2: 1.0, 3: 2.54}  # in a unit of resolution


@contextmanager
def damage_refused() -> Iterator[None]:
    """Make whatever Pillow raises about a damaged block a ValueError; of what it can do without, nothing is said."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise ValueError(f"damaged EXIF ({error})") from error


def unpack_exif(block: bytes) -> Image.Exif:
    """What a block says, all of it unpacked.

    Raises:
        ValueError: it is damaged, or says nothing.
    """
    exif = Image.Exif()
    with damage_refused():
        exif.load(block)
        if not any([dict(exif), *(exif.get_ifd(code) for code in DIRECTORIES)]):
            raise ValueError("it says nothing")
    return exif


def pack_exif(exif: Image.Exif) -> bytes:
    """A block, without its mark."""
    return exif.tobytes().removeprefix(MARK)


def make_upright(block: bytes, sideways: bool) -> bytes:
    """The block of a picture whose pixels were turned upright: so it says, and its thumbnail, of before, is let go.

    Everything stays where it was, since makers' notes point to places; Pillow would move it.

    Args:
        block: without its mark, of which Pillow could make sense.
        sideways: whether width and height changed places.

    Raises:
        struct.error: it is damaged.
    """
    order = "<" if block.startswith(b"II") else ">"
    begin = struct.unpack_from(order + "I", block, 4)[0] + 2
    end = begin + 12 * struct.unpack_from(order + "H", block, begin - 2)[0]
    places = {struct.unpack_from(order + "H", block, place)[0]: place + 2 for place in range(begin, end, 12)}
    result = bytearray(block)
    if Base.Orientation in places:
        struct.pack_into(order + "HIHH", result, places[Base.Orientation], _SHORT, 1, 1, 0)
    if sideways and Base.XResolution in places and Base.YResolution in places:
        across, down = (slice(places[code], places[code] + 10) for code in (Base.XResolution, Base.YResolution))
        result[across], result[down] = result[down], result[across]
    result[end : end + 4] = bytes(len(result[end : end + 4]))
    return bytes(result)


def find_xmp_orientation(xmp: bytes) -> int | None:
    """How an XMP text says that the picture is turned, 1 to 8; None where it does not say."""
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[2]) if found else None


def make_xmp_upright(xmp: bytes) -> bytes:
    """The text of a picture whose pixels were turned upright."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def resolution_of(tags: Mapping[int, Any]) -> tuple[float, float] | None:
    """Pixels per inch, across and down; None where they are not told."""
    try:
        inch = _INCHES[tags[Base.ResolutionUnit]]
        return float(tags[Base.XResolution]) * inch, float(tags[Base.YResolution]) * inch
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def tells_resolution(block: bytes) -> bool:
    """Whether a block tells pixels per inch."""
    try:
        return resolution_of(unpack_exif(block)) is not None
    except ValueError:
        return False


def pack_resolution(resolution: tuple[float, float]) -> bytes:
    """A block of pixels per inch alone."""
    exif = Image.Exif()
    across, down = (float(Fraction(side).limit_denominator(50)) for side in resolution)
    exif.update(zip(RESOLUTION, (across, down, 2), strict=True))
    return pack_exif(exif)
