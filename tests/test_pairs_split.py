import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.errors import PairsError
from smidgen.pairs.checks import RawPairs, make_raw_pairs
from smidgen.pairs.ranges import Range
from smidgen.pairs.split import split_pairs


def numbered(n: int, scale: float = 1.0) -> RawPairs:
    """Pairs whose first pixel tells their number."""
    clean = np.random.default_rng(0).random((n, 5, 5))
    clean[:, 0, 0] = np.arange(n) / n
    clean[:, 1, 1] = np.arange(n) % 2
    return make_raw_pairs((clean + clean[::-1]) * scale, clean, None, "numbers")


@given(st.integers(3, 60), st.integers(0, 5))
def test_parts_are_disjoint_and_complete(n: int, seed: int):
    """Every pair is in exactly one part, and the same seed gives the same parts."""
    dataset = split_pairs(numbered(n), seed=seed)
    parts = [dataset.train.example(n), dataset.val, dataset.test]
    numbers = np.concatenate([np.rint(part.clean[:, 0, 0, 0] * n) for part in parts])
    assert sorted(numbers) == list(range(n))
    assert len(dataset.val) == len(dataset.test) == max(1, round(n / 10))
    again = split_pairs(numbered(n), seed=seed)
    np.testing.assert_array_equal(again.val.clean, dataset.val.clean)


def test_given_parts_are_used_whole():
    """Separate validation and test files are taken as they are and nothing is drawn for them."""
    dataset = split_pairs(numbered(20), val=numbered(7), test=numbered(3))
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (20, 7, 3)


def test_ranges_come_from_the_training_part_alone():
    """Values beyond training's range are clipped, and their number is said."""
    bright = make_raw_pairs(np.full((1, 5, 5), 9.0), np.full((1, 5, 5), 3.0), None, "bright")
    dataset = split_pairs(numbered(20), val=bright)
    assert dataset.noisy_range == Range(0, 2)
    assert dataset.clean_range == Range(0, 1)
    assert dataset.val.clean.max() == 1
    assert dataset.val.noisy.max() == 1
    assert sum("clipped" in warning for warning in dataset.warnings) == 2


def test_a_models_rules_are_used_on_its_scale_only():
    """Dim images keep the model's rule; images on another scale get their own, with a warning."""
    rules = (Range(0, 2), Range(0, 1))
    dim = split_pairs(numbered(40, 0.49), ranges=rules)
    assert dim.noisy_range == Range(0, 2)
    assert not any("scale" in warning for warning in dim.warnings)
    bright = split_pairs(numbered(40, 255), ranges=rules)
    assert bright.noisy_range == Range(0, 510)
    assert any("own scale" in warning for warning in bright.warnings)


def test_test_pairs_do_not_depend_on_given_validation_pairs():
    """The test part is the same pairs whether or not validation pairs come from another file."""
    alone, beside = split_pairs(numbered(40)), split_pairs(numbered(40), val=numbered(5))
    np.testing.assert_array_equal(alone.test.clean, beside.test.clean)
    assert alone.source_fingerprint == beside.source_fingerprint
    assert alone.fingerprint != beside.fingerprint


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_scale_of_x_makes_no_difference(scale: float):
    """X of 0..2 and of 0..510 give the same training values."""
    dataset = split_pairs(numbered(40, scale))
    by_hand = split_pairs(numbered(40, 0.5))
    np.testing.assert_allclose(dataset.train.example(40).noisy, by_hand.train.example(40).noisy, atol=1e-7)


def test_too_few_pairs():
    """Two pairs cannot be split in three."""
    with pytest.raises(PairsError, match="at least 3"):
        split_pairs(numbered(2))


def test_parts_of_another_size():
    """Validation images of another size than training's are refused."""
    other = make_raw_pairs(np.random.rand(2, 6, 6), np.random.rand(2, 6, 6), None, "other")
    with pytest.raises(PairsError, match="other holds images"):
        split_pairs(numbered(20), val=other)


def test_without_a_test_part_validation_stands_for_it():
    """Whoever keeps their own test pairs gives no tenth away, and is not warned that the two parts are the same."""
    generator = np.random.default_rng(5)
    values = generator.random((20, 6, 6))
    raw = make_raw_pairs(values + generator.random(values.shape), values, None, "arrays")
    dataset = split_pairs(raw, val_share=0.25, test_share=0.0)
    assert (len(dataset.train), len(dataset.val)) == (15, 5)
    assert dataset.test is dataset.val
    assert not any("stand in both" in warning for warning in dataset.warnings)
