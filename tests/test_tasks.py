from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smidgen.data.mnist import load_full, load_sample
from smidgen.data.stamps import FreshSource
from smidgen.data.tasks import SAMPLE_TASK, STAMP_TASKS, TASKS, example_pairs, load_task
from smidgen.errors import InputError


def test_sample_task_pairs_as_designed():
    """Test digit i stands with garment permutation(n)[i] of generator 0, averaged."""
    digits, garments = load_sample("mnist"), load_sample("fashion-mnist")
    dataset = load_task(SAMPLE_TASK)
    order = np.random.default_rng(0).permutation(1000)
    expected = (digits.test / 255 + garments.test[order] / 255) / 2
    np.testing.assert_allclose(dataset.test.noisy[..., 0], expected, atol=1e-6)
    np.testing.assert_allclose(dataset.test.clean[..., 0], digits.test / 255, atol=1e-6)
    np.testing.assert_array_equal(dataset.test.labels, digits.test_labels)


def test_each_epoch_pairs_afresh_and_shows_every_digit_once():
    """In training, digits meet other garments each epoch; the same seed meets the same ones."""
    source = load_task(SAMPLE_TASK).train

    def epoch(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        batches = [group for (group,) in source.batches(500, generator)]
        return np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])

    generator = np.random.default_rng(3)
    (noisy1, clean1), (noisy2, clean2) = epoch(generator), epoch(generator)
    assert sorted(map(bytes, clean1)) == sorted(map(bytes, clean2))
    garments1 = {(2 * n - c).round(3).tobytes() for n, c in zip(noisy1[:50], clean1[:50], strict=True)}
    garments2 = {(2 * n - c).round(3).tobytes() for n, c in zip(noisy2[:50], clean2[:50], strict=True)}
    assert garments1 != garments2
    np.testing.assert_array_equal(epoch(np.random.default_rng(3))[0], noisy1)


def test_unknown_task():
    """A name that is no task lists those there are."""
    with pytest.raises(InputError, match="digits-on-garments"):
        load_task("cats")


@pytest.mark.parametrize("name", [name for name in STAMP_TASKS if name != SAMPLE_TASK])
def test_full_tasks_are_exact(full_data: Path, name: str):
    """Each full task's test pairs are the formula of the design, value for value."""
    digits, garments = load_full("mnist", full_data), load_full("fashion-mnist", full_data)
    clean = (garments if name.startswith("garments") else digits).test / 255
    order = np.random.default_rng(0).permutation(10000)
    noise = np.random.default_rng(0).standard_normal((10000, 28, 28), dtype=np.float32)
    expected = {
        "digits-on-garments": (clean + garments.test[order] / 255) / 2,
        "digits-under-garments": np.maximum(clean, garments.test[order] / 255),
        "digits-in-noise": np.clip(clean + 0.4 * noise, 0, 1),
        "garments-in-noise": np.clip(clean + 0.4 * noise, 0, 1),
    }[name]
    dataset = load_task(name, full_data)
    np.testing.assert_allclose(dataset.test.noisy[..., 0], expected, atol=1e-6)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (55000, 5000, 10000)


@pytest.mark.parametrize("name", TASKS)
def test_examples_need_nothing_downloaded(name: str):
    """Every task has noisy examples from what the package holds; other names have none."""
    side = 28 if name in STAMP_TASKS else 128
    assert example_pairs(name, 3).noisy.shape == example_pairs(name, 3).clean.shape == (3, side, side, 1)
    assert len(example_pairs("mine.pkl", 3)) == 0


def test_fewer_digits_than_garments(generator: np.random.Generator):
    """Digits and garments need not be equally many: every digit is shown once, with some garment."""
    source = load_task(SAMPLE_TASK).train
    assert isinstance(source, FreshSource)
    few = replace(source, clean=source.clean[:70], labels=source.labels[:70])
    assert sum(len(clean) for ((_, clean),) in few.batches(64, generator)) == 70


def test_partners_are_the_garments_laid_over():
    """The partner's label is that of the garment in the noisy image: noisy less clean is that garment."""
    pairs, garments = load_task(SAMPLE_TASK).val, load_sample("fashion-mnist")
    order = np.random.default_rng(0).permutation(len(pairs))
    np.testing.assert_array_equal(pairs.partners, garments.val_labels[order])
    np.testing.assert_allclose(
        2 * pairs.noisy[5, ..., 0] - pairs.clean[5, ..., 0], garments.val[order[5]] / 255, atol=1e-6
    )
