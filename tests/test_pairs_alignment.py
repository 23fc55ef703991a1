from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.data.alignment import find_shift, shifted_pairs
from smidgen.data.checks import make_raw_images, make_raw_pairs
from smidgen.data.pairs import Dataset
from smidgen.data.split import split_pairs
from smidgen.data.tasks import SAMPLE_TASK, STAMP_TASKS, load_task


def make_page(seed: int, size: tuple[int, int] = (90, 120)) -> np.ndarray:
    """Dark words on white, some thirty of them."""
    generator = np.random.default_rng(seed)
    page = np.ones(size, np.float32)
    for top in range(4, size[0] - 6, 12):
        for left in range(3, size[1] - 20, 24):
            width = generator.integers(6, 18)
            page[top : top + 6, left : left + width] = generator.random((6, width)) < 0.5
    return page


def cut(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The middle of an image, with what it shows moved so far."""
    height, width = image.shape[:2]
    return image[20 - down : height - 20 - down, 20 - right : width - 20 - right]


@given(st.integers(-12, 12), st.integers(-12, 12), st.integers(0, 3), st.booleans())
def test_a_shift_is_found(down: int, right: int, seed: int, negative: bool):
    """A noisy image that lies off its clean one is found to lie so far off, as a negative too."""
    page = make_page(seed, (120, 160))
    noise = np.random.default_rng(seed).normal(0, 0.2, (80, 120)).astype(np.float32)
    noisy = cut(page, down, right) + noise
    assert find_shift(1 - noisy if negative else noisy, cut(page, 0, 0)) == (down, right)


@given(st.integers(0, 1000), st.sampled_from([16, 28, 65]))
def test_images_that_have_nothing_in_common(seed: int, side: int):
    """Noise beside a plain image, single points or a line gives some answer within the picture, without a warning."""
    generator = np.random.default_rng(seed)
    noise = generator.random((side, side), np.float32)
    for clean in (
        np.zeros((side, side), np.float32),
        (noise < 0.001).astype(np.float32),
        np.eye(side, dtype=np.float32),
    ):
        down, right = find_shift(noise.copy(), clean)
        assert max(abs(down), abs(right)) <= side // 4


def test_the_pairs_are_named():
    """The warning counts shifted pairs, and names the first with their shifts; aligned pairs draw none."""
    pages = [make_page(seed)[..., None] for seed in range(12)]
    clean = [cut(page, 0, 0) for page in pages]
    noisy = [cut(page, 0, 3 * (number in (7, 9))) for number, page in enumerate(pages)]
    names = tuple(f"page{number}" for number in range(12))
    (warning,) = shifted_pairs(make_raw_pairs(noisy, clean, None, "scans", names))
    assert warning.startswith("2 pairs of 12 looked at in scans are shifted")
    assert "such as page7 by (0, 3) pixels, page9 by (0, 3) pixels" in warning
    (warning,) = shifted_pairs(make_raw_pairs(noisy[6:8], clean[6:8], None, "scans"))
    assert "1 pair of 2 looked at in scans is shifted" in warning
    assert "number 2 by (0, 3)" in warning
    assert shifted_pairs(make_raw_pairs(clean, clean, None, "scans")) == []
    assert shifted_pairs(make_raw_images(clean, None, "scans")) == []


def test_what_is_given_to_validate_on_is_looked_at():
    """Shifted validation pairs are warned of, as are those that are split."""
    pages = np.stack([make_page(seed) for seed in range(20)])
    clean, moved = pages[:, 20:-20, 20:-20], pages[:, 18:-22, 20:-20]
    aligned = make_raw_pairs(clean, clean, None, "aligned")
    shifted = make_raw_pairs(moved, clean, None, "moved")
    for dataset in (split_pairs(aligned, val=shifted), split_pairs(shifted)):
        assert any("looked at in moved are shifted" in warning for warning in dataset.warnings)


def test_plain_and_tiny_images_are_passed_over():
    """Blank pages and images too small to tell are not looked at."""
    page = make_page(0)[20:-20, 20:-20]
    assert shifted_pairs(make_raw_pairs([page, page], [np.ones_like(page), page], None, "a")) == []
    huge = np.where(page > 0.5, 1.7e308, -1.7e308)
    assert shifted_pairs(make_raw_pairs([huge], [page], None, "a")) == []
    small = np.random.default_rng(0).random((5, 8, 8))
    assert shifted_pairs(make_raw_pairs(small[:, :6], small[:, 2:], None, "a")) == []


def stamps(dataset: Dataset, moved: int) -> list[tuple[int, int]]:
    pairs = zip(dataset.val.noisy, dataset.val.clean, strict=True)
    height = 28 - moved
    return [find_shift(noisy[:height, :, 0], clean[moved:, :, 0]) for noisy, clean in pairs]


def test_garments_are_no_shift():
    """Of the sample's pairs none is taken for shifted; moved by two pixels, nine of ten are found, and none wrongly."""
    dataset = load_task(SAMPLE_TASK)
    assert set(stamps(dataset, 0)) == {(0, 0)}
    found = stamps(dataset, 2)
    assert found.count((2, 0)) > 0.9 * len(found)
    assert set(found) <= {(0, 0), (2, 0)}


@pytest.mark.parametrize("task", STAMP_TASKS)
def test_no_task_is_taken_for_shifted(task: str, full_data: Path):
    """No validation pair of a task on stamps raises an alarm, under noise neither."""
    assert set(stamps(load_task(task, full_data), 0)) == {(0, 0)}
