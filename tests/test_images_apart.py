import numpy as np
import pytest

from smidgen.errors import FileError, StoppedError
from smidgen.images.apart import Reader
from smidgen.images.kinds import Limits, Picture
from smidgen.images.picture import pack_picture, read_picture
from tests.hostile import deep_png, png
from tests.pictures import COLOUR8

LIMITS = Limits(200_000_000)


def no_check() -> None:
    """Nobody gives up."""


@pytest.fixture
def reader():
    made = Reader()
    yield made
    made.end()


@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg"])
def test_reads_as_ever(reader: Reader, kind: str):
    """Pixels and all that a file says come as from `read_picture`, one picture after another."""
    content = pack_picture(Picture(pages=(COLOUR8,), alphas=(None,), kind=kind))
    for _ in range(2):
        found, expected = reader.read(content, LIMITS, no_check), read_picture(content, LIMITS)
        np.testing.assert_array_equal(found.pages[0], expected.pages[0])
        assert (found.kind, found.metadata) == (expected.kind, expected.metadata)


def test_says_what_is_wrong(reader: Reader):
    """A picture that cannot be read is refused in the same words, and the next one is read."""
    with pytest.raises(FileError) as here:
        read_picture(b"hello", LIMITS)
    with pytest.raises(FileError) as apart:
        reader.read(b"hello", LIMITS, no_check)
    assert str(apart.value) == str(here.value)


def test_ends_what_takes_too_long(reader: Reader):
    """A picture that takes more time of a processor than it may ends in an error; the next one is read."""
    hasty = Reader(seconds=0)  # with what is left of a second
    with pytest.raises(FileError, match="more than 0 seconds"):
        hasty.read(deep_png(4000, 5300, 4), LIMITS, no_check)
    assert hasty.read(png(3, 3, 0), LIMITS, no_check).pages[0].shape == (3, 3, 1)
    hasty.end()


def test_gets_no_more_memory(reader: Reader):
    """A picture that takes more memory than it may ends in an error; the next one is read."""
    with pytest.raises(FileError, match="memory"):
        reader.read(png(11_400, 11_400, 2), LIMITS, no_check)
    assert reader.read(png(3, 3, 0), LIMITS, no_check).pages[0].shape == (3, 3, 1)


def test_ends_when_nobody_waits(reader: Reader):
    """Whatever a decoder is busy with, it ends as soon as those who asked have gone."""

    def gone() -> None:
        raise StoppedError("nobody waits")

    content = deep_png(4000, 5300, 4)
    with pytest.raises(StoppedError):
        reader.read(content, LIMITS, gone)
    assert reader.read(png(3, 3, 0), LIMITS, no_check).pages[0].shape == (3, 3, 1)
