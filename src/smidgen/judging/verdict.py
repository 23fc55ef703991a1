"""What the history of a training says: underfit, overfit, converged or still improving.

The rule, in this order, on the history's losses less the floor no model can pass:

1. Overfit: the validation loss ended more than 3 % above its best while the training loss went on
   falling by more than 1 % since that epoch.
2. Still improving: over the last fifth of the epochs the best validation loss fell by more than 2 %.
   A training that was cut short while its best epoch was its last, or that has fewer than 5 epochs,
   is still improving too.
3. Underfit: more than 30 % of the loss of a blank output is left: the network, or the way it was
   trained, hardly learned.
4. Converged: none of these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_RISE = 0.03
_FALL = 0.01
_PROGRESS = 0.02
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

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"fit": str(self.fit), "reasons": list(self.reasons)}


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
    train = [record["loss"] - floor for record in history]
    best = min(range(len(val)), key=val.__getitem__)
    reasons = [
        f"best validation loss {history[best]['val_loss']:.4f} in epoch {best + 1} of {len(val)} (floor {floor:.4f})"
    ]

    rise = _change(val[best], val[-1])
    fall = -_change(train[best], train[-1])
    if rise > _RISE and fall > _FALL:
        reasons.append(f"since then validation rose by {rise:.0%} above the floor while training fell by {fall:.0%}")
        return Verdict(Fit.OVERFIT, tuple(reasons))

    tail = max(1, round(len(val) * _TAIL))
    before = min(val[:-tail], default=math.inf)
    gain = -_change(before, min(val)) if math.isfinite(before) else 1.0
    if len(val) < _FEWEST_EPOCHS and best == len(val) - 1:
        reasons.append(f"the last of only {len(val)} epochs was the best")
        return Verdict(Fit.STILL_IMPROVING, tuple(reasons))
    if ending == "interrupted" and best == len(val) - 1:
        reasons.append("it was interrupted while the last epoch was the best")
        return Verdict(Fit.STILL_IMPROVING, tuple(reasons))
    learned = val[best] / (start - floor) if start > floor else 0.0
    if gain > _PROGRESS:
        reasons.append(f"the last {tail} epochs still lowered it by {gain:.1%} of what lies above the floor")
        return Verdict(Fit.STILL_IMPROVING, tuple(reasons))
    if learned > _LEARNED:
        reasons.append(f"{learned:.0%} of the loss of a blank output is left, above the floor")
        return Verdict(Fit.UNDERFIT, tuple(reasons))
    reasons.append(f"the last {tail} epochs lowered it by {max(gain, 0):.1%} of what lies above the floor")
    return Verdict(Fit.CONVERGED, tuple(reasons))


def _change(before: float, after: float) -> float:
    """Relative change; 0 where there was nothing."""
    return (after - before) / before if before > 0 else 0.0
