from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.data.checks import make_raw_pairs
from smidgen.data.collection import ScaledImages, as_array
from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.scale import Scale, Scales
from smidgen.data.split import split_pairs
from smidgen.data.tasks import load_task
from smidgen.errors import PairsError
from smidgen.training.losses import mse
from tests.conftest import make_pairs


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
    numbers = np.concatenate([np.rint(as_array(part.clean)[:, 0, 0, 0] * n) for part in parts])
    assert sorted(numbers) == list(range(n))
    assert len(dataset.val) == len(dataset.test) == max(1, round(n / 10))
    again = split_pairs(numbered(n), seed=seed)
    np.testing.assert_array_equal(as_array(again.val.clean), as_array(dataset.val.clean))


def test_given_parts_are_used_whole():
    """Separate validation and test files are taken as they are and nothing is drawn for them."""
    dataset = split_pairs(numbered(20), val=numbered(7), test=numbered(3))
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (20, 7, 3)


def test_scales_come_from_the_training_part_alone():
    """Values of y beyond training's range are clipped, those of X are kept, and both are said."""
    bright = make_raw_pairs(np.full((1, 5, 5), 9.0), np.full((1, 5, 5), 3.0), None, "bright")
    dataset = split_pairs(numbered(20), val=bright, output="sigmoid")
    assert dataset.scales.noisy == Scale(0, 2)
    assert dataset.scales.clean == Scale(0, 1)
    assert as_array(dataset.val.clean).max() == 1
    assert as_array(dataset.val.noisy).max() == 4.5
    assert sum("clipped" in warning for warning in dataset.warnings) == 1
    assert sum("X in bright do not match" in warning for warning in dataset.warnings) == 1


def test_a_sum_on_ys_scale_is_said():
    """Where X takes y's scale against what the values say, a warning tells; where they agree, none does."""
    dataset = split_pairs(numbered(40), output="residual")
    assert dataset.scales.noisy == dataset.scales.clean == Scale(0, 1)
    assert sum("lies nearer to y on its own, 0..2" in warning for warning in dataset.warnings) == 1
    assert not any("scale" in warning for warning in split_pairs(numbered(40, 0.5), output="residual").warnings)


def test_a_models_scales_are_used_on_its_values_only():
    """Dim images keep the model's scales; images on others get their own, with a warning."""
    scales = Scales(Scale(0, 2), Scale(0, 1), Scale(0, 2))
    dim = split_pairs(numbered(40, 0.49), scales=scales, output="sigmoid")
    assert dim.scales.noisy == Scale(0, 2)
    assert not any("scale" in warning for warning in dim.warnings)
    bright = split_pairs(numbered(40, 255), scales=scales, output="sigmoid")
    assert bright.scales.noisy == Scale(0, 510)
    assert any("X on 0..510" in warning for warning in bright.warnings)


def test_noise_beyond_the_scale_suits_a_model_that_saw_it(generator: np.random.Generator):
    """Pairs with the noise that a model was trained on keep its scales, however far the noise leaves them."""
    clean = generator.random((20, 6, 6))
    raw = make_raw_pairs(clean + 0.5 * generator.standard_normal(clean.shape), clean, None, "noise")
    scales = Scales(Scale(0, 1), Scale(0, 1), Scale(-2, 3))
    dataset = split_pairs(raw, scales=scales)
    assert (dataset.scales.noisy, dataset.scales.clean) == (Scale(0, 1), Scale(0, 1))
    assert dataset.warnings == ()


def test_test_pairs_do_not_depend_on_given_validation_pairs():
    """The test part is the same pairs whether or not validation pairs come from another file."""
    alone, beside = split_pairs(numbered(40)), split_pairs(numbered(40), val=numbered(5))
    np.testing.assert_array_equal(as_array(alone.test.clean), as_array(beside.test.clean))
    assert alone.source_fingerprint == beside.source_fingerprint
    assert alone.fingerprint != beside.fingerprint


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_scale_of_x_makes_no_difference(scale: float):
    """X of 0..2 and of 0..510 give the same training values."""
    dataset = split_pairs(numbered(40, scale), output="sigmoid")
    by_hand = split_pairs(numbered(40, 0.5), output="sigmoid")
    shown, expected = (as_array(source.train.example(40).noisy) for source in (dataset, by_hand))
    np.testing.assert_allclose(shown, expected, atol=1e-7)


def test_the_exercises_sum_errs_as_published(full_data: Path):
    """Doing nothing errs by 0.0476 on the test pairs where X is given as a sum, 0..510, and no scale is told."""
    test = load_task("digits-on-garments", full_data).test
    summed = make_raw_pairs(np.rint(test.noisy * 510), test.clean, None, "sums")
    dataset = split_pairs(summed, test=summed)
    assert (dataset.scales.noisy, dataset.scales.clean) == (Scale(0, 510), Scale(0, 1))
    assert mse(dataset.test.noisy, dataset.test.clean).mean() == pytest.approx(0.0476, abs=5e-5)
    np.testing.assert_allclose(as_array(dataset.test.noisy), test.noisy, atol=1e-6)


def test_too_few_pairs():
    """Two pairs cannot be split in three."""
    with pytest.raises(PairsError, match="at least 3"):
        split_pairs(numbered(2))


def test_parts_of_another_size_or_colour():
    """Validation images may be of another size than training's, but must have as many channels."""
    other = make_raw_pairs(np.random.rand(2, 6, 7), np.random.rand(2, 6, 7), None, "other")
    dataset = split_pairs(numbered(20), val=other)
    assert (dataset.origin.shape, dataset.origin.extent) == (None, ((5, 5), (6, 7)))
    coloured = make_raw_pairs(np.random.rand(2, 5, 5, 3), np.random.rand(2, 5, 5, 3), None, "coloured")
    with pytest.raises(PairsError, match="coloured holds images with 3 channels"):
        split_pairs(numbered(20), val=coloured)


def test_without_a_test_part_validation_stands_for_it():
    """Whoever keeps their own test pairs gives no tenth away, and is not warned that the two parts are the same."""
    generator = np.random.default_rng(5)
    values = generator.random((20, 6, 6))
    raw = make_raw_pairs(values + generator.random(values.shape), values, None, "arrays")
    dataset = split_pairs(raw, val_share=0.25, test_share=0.0)
    assert (len(dataset.train), len(dataset.val)) == (15, 5)
    assert dataset.test is dataset.val
    assert not any("in both" in warning for warning in dataset.warnings)


def test_an_epoch_shows_every_pair_once(generator: np.random.Generator):
    """Each epoch is a new order of all pairs, noisy and clean together, the last batch smaller."""
    pairs = make_pairs(10, generator)
    source = FixedSource(pairs)
    batches = [group for (group,) in source.batches(4, generator)]
    assert [len(clean) for _, clean in batches] == [4, 4, 2]
    seen = {noisy.tobytes(): clean.tobytes() for batch in batches for noisy, clean in zip(*batch, strict=True)}
    assert seen == {n.tobytes(): c.tobytes() for n, c in zip(pairs.noisy, pairs.clean, strict=True)}
    again = np.concatenate([noisy for ((noisy, _),) in source.batches(4, generator)])
    assert not np.array_equal(again, np.concatenate([noisy for noisy, _ in batches]))


def test_description_states_the_sizes(small_dataset: Dataset):
    """What is recorded of a data set tells its shape and the size of each part."""
    described = small_dataset.origin
    assert described.sizes == {"train": 40, "val": 10, "test": 10}
    assert described.shape == (8, 8, 1)
    noisy = small_dataset.train.example(40).noisy
    assert described.means["noisy"] == round(float(noisy.mean()), 4)


@given(st.integers(1, 30), st.integers(1, 30))
def test_pairs_from_all_over(n: int, most: int):
    """No more pairs than asked for, in order and none twice, from the first to the last, labels and names with them."""
    values = np.arange(n, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 3, 1), np.float32)
    pairs = Pairs(ScaledImages(list(values)), values, np.arange(n), names=tuple(map(str, range(n))))
    some = FixedSource(pairs).spread(most)
    numbers = as_array(some.noisy)[:, 0, 0, 0].astype(int).tolist()
    assert len(numbers) == min(n, most)
    assert numbers == sorted(set(numbers))
    assert most == 1 or (numbers[0], numbers[-1]) == (0, n - 1)
    assert [int(name) for name in some.names or ()] == numbers
    assert some.labels is not None
    assert some.labels.tolist() == numbers
    np.testing.assert_array_equal(as_array(some.noisy), as_array(some.clean))
    np.testing.assert_array_equal(as_array(some.first(2).noisy), as_array(some.noisy)[:2])


def test_channels_apart(generator: np.random.Generator):
    """Each channel of a colour image becomes a grey one with its image's label, all of an image in one part."""
    clean = generator.random((20, 6, 5, 3), dtype=np.float32)
    clean[..., 0] = np.arange(20)[:, None, None] / 20
    dataset = split_pairs(make_raw_pairs(clean / 2, clean, np.arange(20), "colours"), apart=True, output="sigmoid")
    assert (len(dataset.train), len(dataset.val), len(dataset.test), dataset.channels) == (48, 6, 6, 1)
    for part in (dataset.val, dataset.test):
        shown, labels = as_array(part.clean), part.labels
        for place, image in enumerate(shown):
            np.testing.assert_array_equal(image[..., 0], clean[labels[place], ..., place % 3])
    together = split_pairs(make_raw_pairs(clean / 2, clean, None, "colours"), output="sigmoid")
    assert together.channels == 3
    assert together.fingerprint != dataset.fingerprint
