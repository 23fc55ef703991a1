import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smidgen.data.collection import ScaledImages
from smidgen.data.pairs import Pairs
from smidgen.judging.evaluate import Judgement, judge
from smidgen.runs.shown import choose_shown, draw_shown


def judged(pairs: Pairs) -> Judgement:
    about = {"name": "p", "split": "val", "model": "m", "num_parameters": 1, "budget": 1}
    return judge(pairs.noisy, pairs, reader="nobody", **about)


def made(n: int, size: tuple[int, int, int]) -> Pairs:
    generator = np.random.default_rng(0)
    images = [generator.random(size, np.float32) for _ in range(2 * n)]
    return Pairs(ScaledImages(images[:n]), ScaledImages(images[n:]))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@given(errors=st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5]), min_size=1, max_size=50), number=st.integers(1, 10))
def test_no_pair_is_shown_twice(errors: list[float], number: int):
    """Of few pairs all are shown once, of many the first, the middle and the worst, and no pair in two groups."""
    groups = choose_shown(np.array(errors), number)
    places = [place for group in groups.values() for place in group]
    assert len(places) == len(set(places)) >= min(number, len(errors))
    assert all(len(group) <= number for group in groups.values())
    if len(errors) > number:
        assert {errors[place] for place in groups["worst"]} == set(sorted(errors)[-number:])
    else:
        assert list(groups) == ["all"]


def test_stamps_are_shown_to_the_pixel():
    """Small images are stored as they are, ten of a group."""
    pairs = made(40, (28, 28, 1))
    shown, files = draw_shown(pairs, judged(pairs))
    assert {name: len(group) for name, group in shown.items()} == {"first": 10, "median": 10, "worst": 10}
    assert len(files) == 90
    np.testing.assert_array_equal(pixels(files["images/00000-clean.png"]), np.rint(255 * pairs.clean[0][..., 0]))


@pytest.mark.parametrize("size", [(600, 450, 1), (2, 900, 3), (321, 400, 4)])
def test_of_large_images_a_part_is_at_full_size(size: tuple[int, int, int]):
    """It is the image's own pixels at the place that is told, and beside it is the whole, scaled down."""
    pairs = made(5, size)
    shown, files = draw_shown(pairs, judged(pairs))
    assert sum(map(len, shown.values())) == 5
    first = shown["worst"][0]
    top, bottom, left, right = first.detail
    image = pairs.clean[first.place][top:bottom, left:right]
    expected = image if size[2] == 3 else image.mean(2)
    found = pixels(files[f"images/{first.place:05}-clean.png"])
    np.testing.assert_array_equal(found, np.rint(255 * expected).reshape(found.shape))
    assert max(pixels(files[f"images/{first.place:05}-noisy-whole.png"]).shape) == 320
