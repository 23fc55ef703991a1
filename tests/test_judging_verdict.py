import numpy as np
import pytest

from smidgen.judging.verdict import Fit, judge_history

FLOOR, START = 0.06, 0.4


def history(train: np.ndarray, val: np.ndarray) -> list[dict[str, float]]:
    return [
        {"epoch": i + 1, "loss": float(t), "val_loss": float(v)}
        for i, (t, v) in enumerate(zip(train, val, strict=True))
    ]


EPOCHS = np.arange(40)
SETTLED = FLOOR + 0.02 + 0.3 * np.exp(-EPOCHS / 3)
FALLING = FLOOR + 0.3 * np.exp(-EPOCHS / 20)
STUCK = np.full(40, START - 0.05) + 0.001 * np.sin(EPOCHS)
RISING = FLOOR + 0.02 + 0.3 * np.exp(-EPOCHS / 3) + 0.0008 * np.maximum(0, EPOCHS - 15)
BLOWN_UP = SETTLED + np.where(EPOCHS > 30, 2.0, 0.0)


@pytest.mark.parametrize(
    ("train", "val", "ending", "expected"),
    [
        (SETTLED, SETTLED + 0.001, "finished", Fit.CONVERGED),
        (FALLING, FALLING + 0.001, "finished", Fit.STILL_IMPROVING),
        (STUCK, STUCK, "finished", Fit.UNDERFIT),
        (FALLING, RISING, "stopped early", Fit.OVERFIT),
        (FALLING[:3], FALLING[:3], "finished", Fit.STILL_IMPROVING),
        (SETTLED[:3], SETTLED[2::-1], "finished", Fit.STILL_IMPROVING),
        (SETTLED[:21], SETTLED[:21], "interrupted", Fit.STILL_IMPROVING),
        (SETTLED, SETTLED, "diverged", Fit.STILL_IMPROVING),
        (BLOWN_UP, BLOWN_UP, "finished", Fit.STILL_IMPROVING),
        (FALLING - 0.04, RISING, "finished", Fit.OVERFIT),
    ],
    ids=["converged", "still improving", "underfit", "overfit", "few epochs", "few epochs, first best", "interrupted",
         "diverged", "unstable", "overfit below the floor"],
)  # fmt: skip
def test_each_kind_of_history_gets_its_verdict(train: np.ndarray, val: np.ndarray, ending: str, expected: Fit):
    """Constructed histories of each kind are told apart, each with reasons."""
    verdict = judge_history(history(train, val), floor=FLOOR, start=START, ending=ending)
    assert verdict.fit == expected
    assert len(verdict.reasons) >= 2


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_change_the_verdict(seed: int):
    """A little noise on a settled history, as real validation has, leaves it converged."""
    noise = 1 + 0.004 * np.random.default_rng(seed).standard_normal(40)
    settled = (SETTLED - FLOOR) * noise + FLOOR
    assert judge_history(history(settled, settled), floor=FLOOR, start=START, ending="finished").fit == Fit.CONVERGED


def test_no_epoch():
    """A training stopped before its first epoch has nothing to judge."""
    assert judge_history([], floor=0, start=1, ending="interrupted").fit == Fit.STILL_IMPROVING


def test_annealed_trainings_gain_at_their_end():
    """The last gain of a rate falling to nothing is not taken for a promise of more, unless it is large."""

    def fit(gain: float, annealed: bool) -> Fit:
        losses = FLOOR + 0.02 * (1 - gain) ** (EPOCHS / 8)  # the last fifth, 8 epochs, gains this much
        return judge_history(
            history(losses, losses), floor=FLOOR, start=START, ending="finished", annealed=annealed
        ).fit

    assert (fit(0.03, False), fit(0.03, True)) == (Fit.STILL_IMPROVING, Fit.CONVERGED)
    assert fit(0.1, True) == Fit.STILL_IMPROVING
