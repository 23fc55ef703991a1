import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smidgen.data.checks import make_raw_images, make_raw_pairs
from smidgen.data.likeness import find_likenesses
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.split import split_pairs
from tests.test_pairs_alignment import make_page


def make_pages(seeds: range, size: tuple[int, int] = (120, 160)) -> list[np.ndarray]:
    return [np.rint(make_page(seed, size) * 255).astype(np.uint8) for seed in seeds]


def save_again(image: np.ndarray) -> np.ndarray:
    """As JPEG of middling quality."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=60)
    return np.asarray(Image.open(file))


def part(images: list[np.ndarray], prefix: str = "") -> RawPairs:
    names = tuple(f"{prefix}{number}" for number in range(len(images))) if prefix else None
    return make_raw_images(images, None, "pages", names)


def test_a_page_saved_again_is_found():
    """A page of one part that is in another as a JPEG is said, with both names; other pages are not alike."""
    pages = make_pages(range(12))
    ours = part(pages[:8], "page")
    (warning,) = find_likenesses({"train": ours, "val": part([*pages[8:], save_again(pages[5])], "copy")})
    assert warning.startswith("1 clean image of val nearly the same as one of train, such as copy4 as page5")
    assert "--group" in warning
    (warning,) = find_likenesses({"train": ours, "val": part([save_again(pages[5])])})
    assert warning == "1 clean image of val nearly the same as one of train"
    assert find_likenesses({"train": ours, "val": part(pages[8:], "page")}) == []


def test_what_is_wholly_the_same_is_said_once():
    """An image that is in both parts as it is counts as the same, not as nearly so."""
    pages = make_pages(range(6))
    train, val = (make_raw_pairs(images, images, None, name) for name, images in (("a", pages), ("b", pages[:1])))
    warnings = split_pairs(train, val=val, test=val).warnings
    assert sum("in both train and val" in warning for warning in warnings) == 1
    assert not any("nearly" in warning for warning in warnings)


@given(st.sampled_from([1.0, 1e-300, 1e300]), st.integers(60, 70), st.integers(1, 4))
def test_values_and_sizes_do_not_matter(scale: float, side: int, channels: int):
    """Floats of any size are compared as others are; images too small to tell, and blank ones, are not."""
    image = np.random.default_rng(0).random((side, 90, channels))
    other = image + 1e-3 * np.random.default_rng(1).random(image.shape)
    found = find_likenesses({"train": part([image * scale]), "val": part([other * scale, np.ones_like(image)])})
    assert len(found) == (side >= 64)


@pytest.mark.parametrize("channels", [1, 3])
def test_different_photographs_are_not_alike(channels: int):
    """Smooth pictures that share nothing but their kind raise no alarm."""
    generator = np.random.default_rng(0)
    rough = generator.random((60, 12, 12, channels))
    smooth = np.stack([np.repeat(np.repeat(image, 8, 0), 8, 1) for image in rough])
    assert find_likenesses({"train": part(list(smooth[:40])), "val": part(list(smooth[40:]))}) == []
