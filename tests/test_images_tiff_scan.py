import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.errors import FileError
from smidgen.images.tiff_scan import scan_tiff
from tests.hostile_tiffs import circle, image, strips, tiff


@given(content=st.binary(max_size=80))
def test_any_bytes_behind_a_head(content: bytes):
    """Whatever follows a TIFF's first bytes, it is let through or refused."""
    for head in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"):
        try:
            assert scan_tiff(io.BytesIO(head + content), "a.tif") >= 0
        except FileError as error:
            assert "a.tif" in str(error)


def test_strips_may_fill_the_file_and_no_more():
    """Strips that together are as long as the file are accepted, and refused when one page more has them."""
    pages = [image(30, 30, strips(1, 900, rows=30))] * 2
    assert scan_tiff(io.BytesIO(tiff(pages, bytes(1800))), "a.tif") == 900
    with pytest.raises(FileError, match=r"strips or tiles of 1,800 bytes"):
        scan_tiff(io.BytesIO(tiff(pages, bytes(900))), "a.tif")


def test_a_last_strip_that_reaches_beyond_the_end():
    """A writer that rounds its last strip up is forgiven: only what the file holds counts."""
    content = tiff([image(30, 30, strips(1, 900, rows=30))], b"")
    assert scan_tiff(io.BytesIO(content), "a.tif") == 900


@pytest.mark.parametrize(
    ("bits", "photometric", "most"), [(1, 1, 23_170), (8, 1, 23_170), (8, 3, 11_585), (16, 1, 16_383)]
)
def test_what_is_made_of_the_values_counts(bits: int, photometric: int, most: int):
    """Bits become bytes and a palette's numbers colours; so many count that half a gibibyte is the most."""
    for side, fits in ((most, True), (most + 9, False)):
        page = image(side, side, strips(1, 90, rows=side), compression=4, photometric=photometric, bits=bits)
        if fits:
            scan_tiff(io.BytesIO(tiff([page], bytes(90))), "a.tif")
        else:
            with pytest.raises(FileError, match="claims to unpack"):
                scan_tiff(io.BytesIO(tiff([page], bytes(90))), "a.tif")


def test_circles():
    """A page that leads back to another is refused, not followed."""
    with pytest.raises(FileError, match="circle"):
        scan_tiff(io.BytesIO(circle(120, back_to=110)), "a.tif")


def test_empty_directories_that_lead_in_a_circle():
    """A directory without tags, which decoders pass over to the next, is followed as they follow it."""
    directory = struct.pack("<HHHIII", 1, 256, 4, 1, 9, 26) + struct.pack("<HI", 0, 8)
    with pytest.raises(FileError, match="lead in a circle"):
        scan_tiff(io.BytesIO(b"II*\0" + struct.pack("<I", 8) + directory), "a.tif")
