import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.errors import FileError
from smidgen.images.directory import Layout, Tag, pack_directory, read_directory, read_structure, read_value
from tests.hostile_tiffs import circle, image, strips, tiff

TAGS = st.builds(Tag, st.integers(0, 2**16 - 1), st.sampled_from([1, 2, 7]), st.binary(min_size=1, max_size=30))
LAYOUTS = st.builds(Layout, st.sampled_from("<>"), st.booleans())


@given(
    tags=st.lists(TAGS, min_size=1, max_size=9, unique_by=lambda tag: tag.code),
    layout=LAYOUTS,
    place=st.integers(8, 99),
)
def test_what_is_packed_is_read(tags: list[Tag], layout: Layout, place: int):
    """A directory comes back with its tags in order and their values, wherever it stands, in any byte order."""
    file = io.BytesIO(bytes(place) + pack_directory(tags, layout, place))
    entries, next_one = read_directory(file, layout, place)
    found = [Tag(entry.code, entry.kind, read_value(file, entry)) for entry in entries]
    assert found == sorted(tags, key=lambda tag: tag.code)
    assert next_one == 0


@given(content=st.binary(max_size=80))
def test_any_bytes_behind_a_head(content: bytes):
    """Whatever follows a TIFF's first bytes, its pages are told or refused."""
    for head in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"):
        try:
            assert read_structure(io.BytesIO(head + content), "a.tif").pages
        except FileError as error:
            assert "a.tif" in str(error)


def test_strips_may_fill_the_file_and_no_more():
    """Strips that together are as long as the file are accepted, and refused when one page more has them."""
    pages = [image(30, 30, strips(1, 900, rows=30))] * 2
    assert len(read_structure(io.BytesIO(tiff(pages, bytes(1800))), "a.tif").pages) == 2
    with pytest.raises(FileError, match=r"strips or tiles of 1,800 bytes"):
        read_structure(io.BytesIO(tiff(pages, bytes(900))), "a.tif")


def test_a_last_strip_that_reaches_beyond_the_end():
    """A writer that rounds its last strip up is forgiven: only what the file holds counts."""
    content = tiff([image(30, 30, strips(1, 900, rows=30))], b"")
    assert len(read_structure(io.BytesIO(content), "a.tif").pages) == 1


def test_circles():
    """A page that leads back to another is refused, not followed."""
    with pytest.raises(FileError, match="circle"):
        read_structure(io.BytesIO(circle(120, back_to=110)), "a.tif")
