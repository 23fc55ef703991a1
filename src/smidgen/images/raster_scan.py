"""What a PNG, JPEG or BMP is made of, counted before Pillow, which goes through all of it, opens it."""

import io
import re
import struct
from typing import BinaryIO

from smidgen.errors import FileError
from smidgen.images.kinds import KINDS_IN_WORDS

_PNG, _JPEG, _BMP, _GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF8"
# Pillow takes some microseconds for each chunk or segment, whatever it holds; encoders fill them with kilobytes.
_MOST_PARTS, _PART_BYTES = 5_000, 1024
# As many as libtiff allows in its JPEGs; encoders make about ten. Each goes over the whole picture.
_MOST_SCANS = 100
_USUAL_SCANS, _SCANNED_PIXELS = 15, 400_000_000
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
# The end, and those with content. Others are stuffed and filling bytes, restarts, and reserved ones.
_MARKER = re.compile(rb"\xff([\xc0-\xc7\xc9-\xcf\xd9-\xef\xfe])")
_MOST_FILLERS = 65_536  # before the first scan, where Pillow looks at every byte
# Run lengths in BMPs are unpacked in Python, pixel by pixel.
_RUN_LENGTHS, _MOST_RUN_PIXELS, _RUN_BYTES = (1, 2), 4_000_000, 3


def scan_raster(file: BinaryIO, name: str) -> None:
    """Look through a file that is no TIFF; nothing is decoded.

    Raises:
        FileError: it has more parts or scans than encoders make, or is of a kind that we know and do not read.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(8)
    if start == _PNG:
        _scan_png(file, name, size)
    elif start.startswith(_JPEG):
        file.seek(0)
        _scan_jpeg(file.read(), name)
    elif start.startswith(_BMP):
        _scan_bmp(file, name, size)
    elif start.startswith(_GIF):
        raise FileError(f"{name} is a GIF file", expected=f"a {KINDS_IN_WORDS} file")
    file.seek(0)


def _check_parts(number: int, name: str, size: int) -> None:
    most = _MOST_PARTS + size // _PART_BYTES
    if number > most:
        raise FileError(f"{name} is made of more than {most:,} parts", expected="a few, of kilobytes each")


def _scan_png(file: BinaryIO, name: str, size: int) -> None:
    number, place = 0, len(_PNG)
    while place + 8 <= size:
        file.seek(place)
        place += 12 + int.from_bytes(file.read(4), "big")
        number += 1
        _check_parts(number, name, size)


def _scan_jpeg(content: bytes, name: str) -> None:
    number = scans = pixels = fillers = 0
    place = len(_JPEG) - 1
    while (found := _MARKER.search(content, place)) is not None:
        (marker,) = found[1]
        if marker == _END_OF_IMAGE and scans:
            return
        number += 1
        _check_parts(number, name, len(content))
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", content[found.end() + 3 : found.end() + 7].ljust(4, b"\0"))
            pixels = max(pixels, height * width)
        scans += marker == _START_OF_SCAN
        if scans > _MOST_SCANS:
            raise FileError(f"{name} has more than {_MOST_SCANS} scans", expected="about ten, as encoders make")
        if scans > _USUAL_SCANS and scans * pixels > _SCANNED_PIXELS:
            raise FileError(f"{name} has {scans} scans or more of {pixels:,} pixels", expected="about ten scans")
        fillers += 0 if scans else found.start() - place
        if fillers > _MOST_FILLERS:
            raise FileError(f"{name} has more than {_MOST_FILLERS:,} bytes between its parts", expected="none")
        place = found.end()
        if marker != _END_OF_IMAGE:
            place += int.from_bytes(content[place : place + 2], "big")


def _scan_bmp(file: BinaryIO, name: str, size: int) -> None:
    file.seek(14)
    head, width, height, _, _, packing = struct.unpack("<IiiHHI", file.read(20).ljust(20, b"\0"))
    pixels = abs(width * height)
    if (
        head >= 40
        and packing in _RUN_LENGTHS
        and (pixels > _MOST_RUN_PIXELS or size > _RUN_BYTES * pixels + _MOST_FILLERS)
    ):
        raise FileError(
            f"{name} is a large BMP of run lengths ({height} x {width}, {size:,} bytes)",
            expected=f"at most {_MOST_RUN_PIXELS:,} pixels, which are unpacked one by one",
            remedy="Save it as PNG",
        )
