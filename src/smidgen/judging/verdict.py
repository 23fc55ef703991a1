"""What the history of a training says: underfit, overfit, converged or still improving.

The rule, in this order, on the losses less the floor that no model can pass:

1. Still improving: fewer than 5 epochs.
2. The validation loss ended more than 3 % above its best. Overfit, if it crept up while the training
   loss went on falling. Otherwise, or where it leapt by 10 % at once, or where the loss became NaN,
   the training was unstable and, with a smaller rate, is still improving.
3. Still improving: stopped by hand in its best epoch; or the last two thirds of the epochs lowered
   the best validation loss by more than 12 %, the second half by more than 4 %. A shorter stretch
   says little: where the rate falls to nothing, every training is calm at its end.
4. Underfit: more than 30 % of the loss of a blank output is left: the network, or the way it was
   trained, hardly learned.
5. Converged: none of these.

How often it is right was measured against trainings that really were longer: 168 comparisons from 130
trainings of six tasks, most of them short (`benchmarks/verdict.py`). Twice the training took at least
5 % off the loss above the floor of 107 of the 118 that are called still improving, and less off 25 of
the 31 called converged (at most 8.7 %) and 6 of the 7 called underfit; 9 of the 12 called overfit got
no better and ended worse. So it is right in 147 of 168, 88 %. With the 12 % chosen anew on five tasks
and tried on the sixth it is 144; the form of the rule and its other figures were chosen on all. It is
weakest where patience ended a training whose rate was still to fall: 22 of 31.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_RISE = 0.03
_LEAP = 0.1
_FALL = 0.01
_PROGRESS = 0.12
_STILL = 0.04
_LEARNED = 0.3
_FEWEST_EPOCHS = 5


class Fit(StrEnum):
    """The four verdicts."""

    UNDERFIT = "underfit"
    OVERFIT = "overfit"
    CONVERGED = "converged"
    STILL_IMPROVING = "still improving"


# Of the trainings of benchmarks/verdict.py that are called so, those that a longer one confirmed.
CONFIRMED = {Fit.STILL_IMPROVING: "107 of 118", Fit.CONVERGED: "25 of 31"}


@dataclass(frozen=True)
class Verdict:
    """A verdict and the figures it rests on."""

    fit: Fit
    reasons: tuple[str, ...]


def judge_history(history: Sequence[dict[str, float]], *, floor: float, start: float, ending: str) -> Verdict:
    """The verdict on a training.

    Args:
        history: one record an epoch with `loss` and `val_loss`.
        floor: the loss of a perfect output (`bce_floor`, or 0 for MSE).
        start: the loss of an output that says nothing: the mean of the targets everywhere.
        ending: as `Trained.ending` tells.
    """
    if not history:
        return Verdict(Fit.STILL_IMPROVING, ("no epoch was finished",))
    val = [record["val_loss"] - floor for record in history]
    best = min(range(len(val)), key=val.__getitem__)
    lowest = history[best]["val_loss"]
    least = f" (floor {floor:#.4g})" if floor > 0 else ""
    reasons = [f"best validation loss {lowest:#.4g} in epoch {best + 1} of {len(val)}{least}"]

    def verdict(fit: Fit, reason: str) -> Verdict:
        return Verdict(fit, (*reasons, reason))

    above = max(val[best], 1e-12)
    rise = val[-1] / above - 1
    leapt = rise > _RISE and min(val[best + 1 :]) / above - 1 > _LEAP
    fall = (history[best]["loss"] - history[-1]["loss"]) / above
    if len(val) < _FEWEST_EPOCHS:
        few = "one epoch is too little" if len(val) == 1 else f"{len(val)} epochs are too few"
        return verdict(Fit.STILL_IMPROVING, f"{few} to tell more")
    if ending == "diverged":
        return verdict(Fit.STILL_IMPROVING, "then the loss became NaN: the learning rate is too high")
    if rise > _RISE and (leapt or fall <= _FALL):
        return verdict(
            Fit.STILL_IMPROVING, f"it was unstable and ended {rise:.0%} higher above the floor: try a smaller rate"
        )
    if rise > _RISE:
        return verdict(Fit.OVERFIT, f"since then validation rose by {rise:.0%} above the floor while training fell")
    if ending == "interrupted" and best == len(val) - 1:
        return verdict(Fit.STILL_IMPROVING, "it was interrupted while the last epoch was the best")

    two_thirds, half = (1 - above / max(min(val[: len(val) // part]), above) for part in (3, 2))
    progress = f"the last two thirds of the epochs lowered it by {two_thirds:.1%} above the floor"
    if two_thirds > _PROGRESS and half > _STILL:
        more = f"twice the training should gain 5 % or more, as it did in {CONFIRMED[Fit.STILL_IMPROVING]} like it"
        return verdict(Fit.STILL_IMPROVING, f"{progress}; {more}")
    left = val[best] / (start - floor) if start > floor else 0.0
    if left > _LEARNED:
        return verdict(Fit.UNDERFIT, f"{left:.0%} of the loss of a blank output is left, above the floor")
    little = f"twice the training should gain less than 5 %, as it did in {CONFIRMED[Fit.CONVERGED]} like it"
    return verdict(Fit.CONVERGED, f"{progress}; {little}")
