"""What the history of a training says: underfit, overfit, converged or still improving.

The rule, in this order, on the losses less the floor that no model can pass:

1. Still improving: fewer than 5 epochs.
2. The validation loss ended more than 3 % above its best. Overfit, if the training loss went on
   falling since that epoch; otherwise, or where the loss became NaN, the training was unstable and,
   with a smaller rate, is still improving.
3. Still improving: stopped by hand in its best epoch; or the last fifth of the epochs lowered the
   best validation loss by more than 2 %. A rate that falls to nothing always gains in its last
   fifth, so there it takes 5 %, and what would gain is a longer schedule.
4. Underfit: more than 30 % of the loss of a blank output is left: the network, or the way it was
   trained, hardly learned.
5. Converged: none of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_RISE = 0.03
_FALL = 0.01
_PROGRESS = 0.02
_PROGRESS_ANNEALED = 0.05
_TAIL = 0.2
_LEARNED = 0.3
_FEWEST_EPOCHS = 5


class Fit(StrEnum):
    """The four verdicts."""

    UNDERFIT = "underfit"
    OVERFIT = "overfit"
    CONVERGED = "converged"
    STILL_IMPROVING = "still improving"


@dataclass(frozen=True)
class Verdict:
    """A verdict and the figures it rests on."""

    fit: Fit
    reasons: tuple[str, ...]


def judge_history(
    history: Sequence[dict[str, float]], *, floor: float, start: float, ending: str, annealed: bool = False
) -> Verdict:
    """The verdict on a training.

    Args:
        history: one record an epoch with `loss` and `val_loss`.
        floor: the loss of a perfect output (`bce_floor`, or 0 for MSE).
        start: the loss of an output that says nothing: the mean of the targets everywhere.
        ending: as `Trained.ending` tells.
        annealed: whether the rate fell to nothing at the end.
    """
    if not history:
        return Verdict(Fit.STILL_IMPROVING, ("no epoch was finished",))
    val = [record["val_loss"] - floor for record in history]
    best = min(range(len(val)), key=val.__getitem__)
    lowest = history[best]["val_loss"]
    reasons = [f"best validation loss {lowest:.4f} in epoch {best + 1} of {len(val)} (floor {floor:.4f})"]

    def verdict(fit: Fit, reason: str) -> Verdict:
        return Verdict(fit, (*reasons, reason))

    above = max(val[best], 1e-12)
    rise = val[-1] / above - 1
    fall = (history[best]["loss"] - history[-1]["loss"]) / above
    if len(val) < _FEWEST_EPOCHS:
        return verdict(Fit.STILL_IMPROVING, f"{len(val)} epochs are too few to tell more")
    if ending == "diverged":
        return verdict(Fit.STILL_IMPROVING, "then the loss became NaN: the learning rate is too high")
    if rise > _RISE and fall > _FALL:
        return verdict(Fit.OVERFIT, f"since then validation rose by {rise:.0%} above the floor while training fell")
    if rise > _RISE:
        return verdict(
            Fit.STILL_IMPROVING, f"since then both losses rose, validation by {rise:.0%}: try a smaller rate"
        )
    if ending == "interrupted" and best == len(val) - 1:
        return verdict(Fit.STILL_IMPROVING, "it was interrupted while the last epoch was the best")

    tail = max(1, round(len(val) * _TAIL))
    gain = 1 - above / max(min(val[:-tail]), above)
    schedule_ended = annealed and ending == "finished"
    if gain > (_PROGRESS_ANNEALED if schedule_ended else _PROGRESS):
        more = "; a longer schedule would gain more" if schedule_ended else ""
        return verdict(
            Fit.STILL_IMPROVING, f"the last {tail} epochs still lowered it by {gain:.1%} above the floor{more}"
        )
    left = val[best] / (start - floor) if start > floor else 0.0
    if left > _LEARNED:
        return verdict(Fit.UNDERFIT, f"{left:.0%} of the loss of a blank output is left, above the floor")
    return verdict(Fit.CONVERGED, f"the last {tail} epochs lowered it by {gain:.1%} above the floor")
