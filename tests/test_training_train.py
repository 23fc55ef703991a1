import itertools
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.data.tasks import load_task
from smidgen.engine.native import Engine
from smidgen.errors import FileError, SmidgenError
from smidgen.network.spec import PyramidSpec
from smidgen.training.checkpoint import CHECKPOINT, HISTORY
from smidgen.training.loop import Progress
from smidgen.training.losses import bce
from smidgen.training.recipe import Recipe
from smidgen.training.train import Trained, train
from tests.conftest import TINY

SETTINGS = Recipe(epochs=8, batch_size=8, threads=1)


def assert_same(first: Trained, second: Trained) -> None:
    assert first.weights.keys() == second.weights.keys()
    for name in first.weights:
        np.testing.assert_array_equal(first.weights[name], second.weights[name])


def test_learns_and_keeps_the_best_epoch(small_dataset: Dataset):
    """Training lowers the validation loss, and the weights kept are those of the best epoch."""
    trained = train(small_dataset, TINY, SETTINGS)
    losses = [record["val_loss"] for record in trained.history]
    assert losses[-1] < losses[0]
    assert trained.best_epoch == 1 + losses.index(min(losses))
    denoised = Engine(TINY, trained.weights).denoise_batch(small_dataset.val.noisy)
    assert bce(denoised, small_dataset.val.clean) == pytest.approx(min(losses), abs=1e-6)


def test_same_seed_same_weights(small_dataset: Dataset):
    """Two trainings with one seed are equal to the bit, with another they differ."""
    first, second = (train(small_dataset, TINY, SETTINGS) for _ in range(2))
    assert_same(first, second)
    other = train(small_dataset, TINY, replace(SETTINGS, seed=1))
    assert not np.array_equal(first.weights["stem"], other.weights["stem"])


@pytest.mark.parametrize(
    ("optimizer", "threads", "output"),
    [*itertools.product(["soap", "adam", "adamw", "sgd"], [1, 2], ["sigmoid"]), ("soap", 2, "residual")],
)
def test_resumed_equals_uninterrupted(
    small_dataset: Dataset, tmp_path: Path, optimizer: str, threads: int, output: str, monkeypatch: pytest.MonkeyPatch
):
    """A training stopped in an epoch and resumed ends with the same weights bit for bit, but not as another kind."""
    loss, spec = "mse" if output == "residual" else "bce", replace(TINY, output=output)
    settings = replace(SETTINGS, optimizer=optimizer, threads=threads, loss=loss)
    whole = train(small_dataset, spec, settings)
    calls = 0

    class StopError(Exception):
        pass

    def stop_in_epoch_four(progress: Progress) -> None:
        nonlocal calls
        calls += 1
        if progress.epoch == 4 and calls > 1:
            raise StopError

    monkeypatch.setattr("smidgen.training.checkpoint._SECONDS_BETWEEN_CHECKPOINTS", 0)
    with pytest.raises(StopError):
        train(small_dataset, spec, settings, folder=tmp_path, watch=stop_in_epoch_four)
    other = replace(spec, output="sigmoid" if output == "residual" else "residual")
    with pytest.raises(FileError, match="another training: spec was"):
        train(small_dataset, other, settings, folder=tmp_path, resume=True)
    resumed = train(small_dataset, spec, settings, folder=tmp_path, resume=True)
    assert_same(whole, resumed)
    keep = ("epoch", "loss", "val_loss", "learning_rate")
    written = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [[r[k] for k in keep] for r in written] == [[r[k] for k in keep] for r in whole.history]


def train_on_the_sample(folder: Path) -> Trained:
    """Some seconds of training, from its checkpoint where there is one."""
    whole = load_task("digits-on-garments-sample")
    few = replace(whole.train, clean=whole.train.clean[:512], other=whole.train.other[:512])
    settings = Recipe(epochs=5, batch_size=64, threads=1)
    dataset = replace(whole, val=whole.val.first(100), train=few)
    return train(dataset, PyramidSpec(width=6, hidden=6), settings, folder=folder, resume=True)


@pytest.mark.parametrize("spec", [TINY, replace(TINY, output="residual")], ids=["sigmoid", "residual"])
def test_threads_change_nothing(small_dataset: Dataset, tmp_path: Path, spec: PyramidSpec):
    """On one, two or five cores, and resumed on another number of them, a training ends with the same bits."""
    settings = replace(SETTINGS, loss="mse" if spec.output == "residual" else "bce")
    first, *others = (train(small_dataset, spec, replace(settings, threads=number)) for number in (1, 2, 5))
    for other in others:
        assert_same(first, other)

    def stop(progress: Progress) -> None:
        if progress.epochs_done == 3:
            raise KeyboardInterrupt

    train(small_dataset, spec, replace(settings, threads=2), folder=tmp_path, watch=stop)
    assert_same(first, train(small_dataset, spec, replace(settings, threads=3), folder=tmp_path, resume=True))


@pytest.mark.slow(5)
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path):
    """A process killed in the middle of training on the sample leaves what another one goes on from."""
    script = "import sys; from tests.test_training_train import *; train_on_the_sample(Path(sys.argv[1]))"
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "broken")]
    broken = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    deadline = time.monotonic() + 120
    while not (tmp_path / "broken" / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    broken.send_signal(signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    assert_same(train_on_the_sample(tmp_path / "broken"), train_on_the_sample(tmp_path / "whole"))


def test_a_folder_is_not_overwritten(small_dataset: Dataset, tmp_path: Path):
    """A second training into the same folder is refused unless it resumes."""
    settings = replace(SETTINGS, epochs=1)
    train(small_dataset, TINY, settings, folder=tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(FileError, match="already holds"):
        train(small_dataset, TINY, settings, folder=tmp_path)
    with pytest.raises(FileError, match="another training"):
        train(small_dataset, TINY, replace(settings, seed=9), folder=tmp_path, resume=True)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_early_stopping_waits_for_its_patience(small_dataset: Dataset):
    """A rate too small to learn anything stops after `patience` epochs without a better one."""
    settings = Recipe(epochs=50, batch_size=8, learning_rate=1e-12, optimizer="sgd", annealed=False,
                                patience=3, threads=1)  # fmt: skip
    trained = train(small_dataset, TINY, settings)
    assert trained.ending == "stopped early"
    assert len(trained.history) == trained.best_epoch + 3


def test_the_last_epoch_is_kept_where_that_is_asked_for(small_dataset: Dataset):
    """`keep="last"` trains the same way, but ends with the last epoch's weights; patience waits as ever."""
    hasty = Recipe(epochs=6, batch_size=8, learning_rate=0.3, optimizer="adam", annealed=False, threads=1)
    best, last = (train(small_dataset, TINY, replace(hasty, keep=kept)) for kept in ("best", "last"))
    assert [one["val_loss"] for one in best.history] == [one["val_loss"] for one in last.history]
    assert best.best_epoch < last.best_epoch == len(last.history)
    assert any((last.weights[name] != weight).any() for name, weight in best.weights.items())
    stopped = train(small_dataset, TINY, replace(hasty, keep="last", patience=1))
    assert stopped.ending == "stopped early"
    assert stopped.best_epoch == len(stopped.history) < len(last.history)


@pytest.mark.parametrize("epoch", [1, 3])
def test_interrupt_keeps_the_best_so_far(small_dataset: Dataset, epoch: int, tmp_path: Path):
    """Ctrl-C ends the training with usable weights, even in the first epoch, and it can be resumed exactly."""

    def interrupt(progress: Progress) -> None:
        if progress.epoch == epoch and progress.step % 5 == 3:
            raise KeyboardInterrupt

    trained = train(small_dataset, TINY, SETTINGS, watch=interrupt, folder=tmp_path)
    assert trained.ending == "interrupted"
    assert (tmp_path / CHECKPOINT).exists() == (epoch > 1)
    train(small_dataset, TINY, SETTINGS, watch=interrupt, folder=tmp_path, resume=True)
    assert_same(
        train(small_dataset, TINY, SETTINGS, folder=tmp_path, resume=True), train(small_dataset, TINY, SETTINGS)
    )
    assert len(trained.history) == epoch - 1
    assert all(np.isfinite(weight).all() for weight in trained.weights.values())


def test_divergence_at_once_is_said(small_dataset: Dataset):
    """A loss that is NaN from the start ends the training with advice instead of a broken model."""
    broken = Pairs(small_dataset.val.noisy * np.float32(np.nan), small_dataset.val.clean)
    with pytest.raises(SmidgenError, match="learning-rate"):
        train(replace(small_dataset, train=FixedSource(broken)), TINY, SETTINGS)


def test_divergence_goes_back_and_on(small_dataset: Dataset, tmp_path: Path):
    """After one NaN the training goes back to its best epoch and on with a smaller rate; resumed, it does the same."""

    class TurnsBadOnce(FixedSource):
        bad = True

        def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0):
            for number, ((noisy, clean),) in enumerate(super().batches(batch_size, generator, crop)):
                broken = number == 2 and self.bad and sum(1 for _ in tmp_path.glob("go")) > 0
                type(self).bad = self.bad and not broken
                yield [(noisy * np.float32(np.nan if broken else 1), clean)]

    def watch(progress: Progress) -> None:
        if progress.epochs_done == 3:
            (tmp_path / "go").touch()

    dataset = replace(small_dataset, train=TurnsBadOnce(small_dataset.train.example(40)))
    trained = train(dataset, TINY, SETTINGS, watch=watch)
    assert (trained.ending, trained.rollbacks, len(trained.history)) == ("finished", 1, 8)
    rates = [record["learning_rate"] for record in trained.history]
    usual = [record["learning_rate"] for record in train(small_dataset, TINY, SETTINGS).history]
    np.testing.assert_allclose(rates[:3], usual[:3])
    np.testing.assert_allclose(rates[3:], np.array(usual[3:]) / 3)

    def stop(progress: Progress) -> None:
        watch(progress)
        if progress.epochs_done == 5:
            raise KeyboardInterrupt

    TurnsBadOnce.bad = True
    (tmp_path / "go").unlink()
    train(dataset, TINY, SETTINGS, watch=stop, folder=tmp_path / "run")
    resumed = train(dataset, TINY, SETTINGS, folder=tmp_path / "run", resume=True)
    assert resumed.rollbacks == 1
    assert_same(resumed, trained)


def test_the_best_so_far_is_told_as_it_is_kept(small_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each time a better epoch is written to the folder, its weights are handed out."""
    monkeypatch.setattr("smidgen.training.checkpoint._SECONDS_BETWEEN_CHECKPOINTS", 0)
    told: list[tuple[dict[str, np.ndarray], int]] = []
    trained = train(small_dataset, TINY, SETTINGS, folder=tmp_path, on_best=lambda *best: told.append(best))
    losses = [record["val_loss"] for record in trained.history]
    assert [epoch for _, epoch in told] == [n + 1 for n in range(8) if losses[n] == min(losses[: n + 1])]
    for name, weights in told[-1][0].items():
        np.testing.assert_array_equal(weights, trained.weights[name])


def test_a_training_gives_its_memory_back():
    """A process that has trained, a notebook for instance, holds little more than before, and has loaded no torch."""
    script = """
import dataclasses, sys
from smidgen.network.spec import PyramidSpec, default_spec
from smidgen.data.tasks import load_task
from smidgen.training.recipe import Recipe
from smidgen.training.train import train

def held_mebibytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))

whole = load_task("digits-on-garments-sample")
few = dataclasses.replace(whole.train, clean=whole.train.clean[:256], other=whole.train.other[:256])
dataset = dataclasses.replace(whole, val=whole.val.first(100), train=few)
settings = Recipe(epochs=1, batch_size=256, threads=1)
train(dataset, PyramidSpec(width=2, hidden=2, scales=2, kernel=3), settings)  # loads what is loaded late
before = held_mebibytes()
train(dataset, default_spec(), settings)
print(held_mebibytes() - before, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    more, torch = done.stdout.split()
    assert int(more) < 40
    assert torch == "False"
