import math
from dataclasses import replace

import numpy as np
import pytest

from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.network.spec import PyramidSpec
from smidgen.training.loop import Progress
from smidgen.training.losses import mse
from smidgen.training.recipe import Recipe
from smidgen.training.train import train
from tests.conftest import TINY, runtime_of

SETTINGS = Recipe(epochs=8, batch_size=8, threads=1)


def test_divergence_keeps_the_best_epoch(small_dataset: Dataset):
    """A loss that is NaN whatever the rate ends the training, after three more tries, with the best epoch's weights."""

    class TurnsBad(FixedSource):
        epochs = 0

        def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0):
            type(self).epochs += 1
            for ((noisy, clean),) in super().batches(batch_size, generator, crop):
                yield [(noisy * np.float32(np.nan if self.epochs > 2 else 1), clean)]

    source = TurnsBad(small_dataset.train.example(40))
    trained = train(replace(small_dataset, train=source), TINY, SETTINGS)
    assert (trained.ending, trained.rollbacks) == ("diverged", 3)
    assert len(trained.history) == 2
    assert all(np.isfinite(weight).all() for weight in trained.weights.values())


def test_progress_counts_up(small_dataset: Dataset):
    """Whoever watches sees every step, the last validation loss and the speed."""
    seen: list[Progress] = []
    train(small_dataset, TINY, replace(SETTINGS, epochs=2), watch=seen.append)
    assert [p.step for p in seen] == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10]
    assert math.isnan(seen[0].val_loss)
    assert seen[-1].val_loss < 1
    assert all(p.images_per_second > 0 for p in seen)


def test_mse_is_trained_and_validated(small_dataset: Dataset):
    """With `--loss mse` the history holds mean squared errors."""
    trained = train(small_dataset, TINY, replace(SETTINGS, loss="mse"))
    assert trained.history[-1]["val_loss"] < 0.2


def test_a_residual_is_trained_whole_and_validated_clipped(small_dataset: Dataset):
    """Its validation loss is that of the images that the model file gives; training lowers it below doing nothing's."""
    spec = replace(TINY, output="residual")
    trained = train(small_dataset, spec, replace(SETTINGS, loss="mse"))
    val = small_dataset.val
    best = mse(runtime_of(spec, trained.weights).denoise(val.noisy), val.clean).mean()
    assert best == pytest.approx(min(record["val_loss"] for record in trained.history), rel=1e-4)
    assert best < mse(val.noisy, val.clean).mean()


def test_clipped_values_are_trained_too(small_dataset: Dataset):
    """Where an output lies beyond [0, 1] everywhere, its loss falls all the same: gradients do not stop at the clip."""
    pairs = small_dataset.train.example(40)
    source = FixedSource(Pairs(pairs.noisy + np.float32(3), pairs.clean))
    trained = train(
        replace(small_dataset, train=source), replace(TINY, output="residual"), replace(SETTINGS, loss="mse")
    )
    assert trained.history[-1]["loss"] < 0.5 * trained.history[0]["loss"]


def test_colour_images(generator: np.random.Generator):
    """Three channels train like one."""
    clean = generator.random((16, 6, 5, 3), dtype=np.float32)
    pairs = Pairs(clean[:, ::-1].copy(), clean)
    dataset = Dataset(name="rgb", train=FixedSource(pairs), val=pairs, test=pairs)
    trained = train(dataset, PyramidSpec(channels=3, width=2, hidden=2, scales=2), replace(SETTINGS, epochs=1))
    assert trained.ending == "finished"
