"""JPEGs that cost far more than their size: each of thousands of scans goes over the whole picture."""

import re

from smidgen.errors import FileError

# As many as libtiff allows in its JPEGs; encoders make about ten.
_MOST_SCANS = 100
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
# What is no marker, or has no content: stuffed and filling bytes, restarts, and one that is never used.
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])")


def check_scans(name: str, content: bytes) -> None:
    """Refuse a JPEG of more scans than encoders make.

    Raises:
        FileError: it has.
    """
    scans, place = 0, 0
    while (found := _MARKER.search(content, place)) is not None:
        (marker,) = found[1]
        if marker == _END_OF_IMAGE:
            return
        scans += marker == _START_OF_SCAN
        if scans > _MOST_SCANS:
            raise FileError(f"{name} has more than {_MOST_SCANS} scans", expected="about ten, as encoders make")
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
