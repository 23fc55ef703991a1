from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from smidgen.data.alike import Named, make_alike, to_grey
from smidgen.data.mapped import MappedFile, MappedImage
from smidgen.errors import PairsError

GENERATOR = np.random.default_rng(0)


def image(dtype: str, channels: int = 1, height: int = 5) -> np.ndarray:
    values = GENERATOR.integers(0, 250, (height, 4, channels))
    return values.astype(dtype)


def named(*images: np.ndarray, prefix: str = "") -> Named:
    return Named(images, [f"{prefix}{letter}.png" for letter in "abcdefghij"[: len(images)]])


@given(arrays(np.uint8, (3, 4, 3)))
def test_grey_of_8_bits_is_that_of_pillow(colours: np.ndarray):
    """Every colour of 8 bits becomes the grey that Pillow makes of it."""
    np.testing.assert_array_equal(to_grey(colours)[..., 0], np.asarray(Image.fromarray(colours).convert("L")))


@given(st.sampled_from(["u1", "u2", "u4", "i2", "f4", "f8"]), st.data())
def test_equal_channels_are_grey_exactly(dtype: str, data: st.DataObject):
    """A picture whose three channels are equal becomes just that channel, in its own depth."""
    grey = data.draw(
        arrays(dtype, (2, 3, 1), elements={"allow_nan": False, "allow_infinity": False} if dtype[0] == "f" else None)
    )
    found = to_grey(np.repeat(grey, 3, axis=2))
    assert found.dtype == grey.dtype
    np.testing.assert_array_equal(found, grey)


@given(arrays(np.uint16, (2, 3, 3)))
def test_grey_of_16_bits_is_exact(colours: np.ndarray):
    """Greys of 16 bits lie within half a step of Rec. 601's, give or take what its three digits leave out."""
    exact = colours.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert np.abs(to_grey(colours)[..., 0] - exact).max() <= 0.5 + 65535 * 2 / 65536


def test_nothing_is_done_without_need():
    """Images of one kind come back as they are, of different sizes too, and nothing is said."""
    images = [image("u1", 3), image("u1", 3, height=9)]
    (same,), said = make_alike(named(*images))
    assert [found is given for found, given in zip(same, images, strict=True)] == [True, True]
    assert said == []


def test_8_and_16_bits_become_16():
    """Values of 8 bits are multiplied by 257, on both sides, and it is said how many there are."""
    shallow, deep = image("u1"), image("u2")
    (found,), said = make_alike(named(deep, shallow, shallow))
    assert {part.dtype for part in found} == {np.dtype(np.uint16)}
    np.testing.assert_array_equal(found[1], shallow * np.uint16(257))
    np.testing.assert_array_equal(found[0], deep)
    assert said == ["taken as 16 bits: 2 of 3 pictures have 8, such as b.png"]
    (noisy, _), said = make_alike(named(shallow, prefix="noisy/"), named(deep, prefix="clean/"))
    assert noisy[0].max() == int(shallow.max()) * 257
    assert said == ["taken as 16 bits: 1 of 2 pictures has 8, such as noisy/a.png"]


def test_grey_and_colour_become_grey():
    """One picture in colour among grey ones, on either side, becomes grey, and is named."""
    grey, colour = image("u1"), image("u1", 3)
    (found,), said = make_alike(named(grey, colour, grey))
    np.testing.assert_array_equal(found[1], to_grey(colour))
    assert said == ["taken as grey: 1 of 3 pictures is in colour, such as b.png"]
    (noisy, clean), said = make_alike(named(colour, colour, prefix="x/"), named(grey, grey, prefix="y/"))
    assert {part.shape for part in (*noisy, *clean)} == {(5, 4, 1)}
    assert said == ["taken as grey: 2 of 4 pictures are in colour, such as x/a.png"]


def test_shallow_colours_among_deep_greys():
    """A colour of 8 bits among greys of 16 is made deeper first: its grey has 16 bits of its own."""
    colour = image("u1", 3)
    (found,), said = make_alike(named(image("u2"), colour))
    np.testing.assert_array_equal(found[1], to_grey(colour.astype(np.uint16) * np.uint16(257)))
    assert len(said) == 2


def test_floats_of_several_widths():
    """Floats become the widest; X and y may be floats and integers."""
    (found, other), said = make_alike(named(image("f2"), image("f4")), named(image("u1"), image("u1")))
    assert [part.dtype for part in (*found, *other)] == ["f4", "f4", "u1", "u1"]
    assert said == []


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        (
            (("u1", 1), ("u1", 1), ("f4", 1)),
            r"c\.png has float32 values, and a\.png has uint8 values\. Expected integers",
        ),
        ((("f4", 3), ("u2", 1)), r"b\.png has uint16 values, and a\.png has float32 values"),
        ((("u2", 1), ("i4", 1)), r"b\.png has int32 values, and a\.png has uint16 values"),
        (
            (("u1", 1), ("u1", 2)),
            r"b\.png has 2 channels, and a\.png has 1 channels\. Expected images that are all grey",
        ),
    ],
)
def test_what_has_no_common_kind(kinds: tuple[tuple[str, int], ...], found: str):
    """Floats beside integers, and odd numbers of channels, are refused; the first odd file is named."""
    with pytest.raises(PairsError, match=found):
        make_alike(named(*(image(*kind) for kind in kinds)))


def test_windows_of_a_file_are_converted_as_they_are_read(tmp_path: Path):
    """Mapped images stay in their file; their windows are those of the whole, converted."""
    colour = image("u1", 3, height=50)
    (tmp_path / "a").write_bytes(colour.tobytes())
    file = MappedFile(tmp_path / "a")
    kept = MappedImage(file, file.array(0, colour.shape, np.uint8))
    (found,), _ = make_alike(Named([kept, image("u2")], ["a", "b"]))
    assert (found[0].shape, found[0].dtype) == ((50, 4, 1), np.uint16)
    whole = to_grey(colour.astype(np.uint16) * np.uint16(257))
    np.testing.assert_array_equal(found[0][3:7, 1:3], whole[3:7, 1:3])
