"""Loss curves as lines of an SVG drawing, for the page to show and its script to point at."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 400.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 10.0, 20.0, 34.0
_TICKS = 5
_FLATTENS = 2.5  # a loss so many times as high as the others, above the lowest, is left beyond the frame
_FAR = 9.0  # heights of the frame: how far beyond it a line is drawn, and cut off


def make_chart(history: Sequence[dict[str, float]], *, floor: float, best_epoch: int = 0) -> dict[str, Any]:
    """What the template draws, in the drawing's units.

    Args:
        history: `epoch`, `loss` and `val_loss` of each epoch.
        floor: the lowest loss there can be, or 0.
        best_epoch: the one that was kept, if any.

    Returns:
        `lines` (name -> points of a polyline, values that are no numbers left out; what is beyond the frame is to be
        cut off there), `beyond` (a sentence on it, or ""), `points` (epoch, both losses and where they are, for the
        script), `x_ticks`, `y_ticks`, `floor` (its height or None), `kept` (where the kept epoch is, or None) and the
        `frame`.
    """
    shown = [record for record in history if math.isfinite(record["loss"]) or math.isfinite(record["val_loss"])]
    if not shown:
        return {}
    first, last = shown[0]["epoch"], shown[-1]["epoch"]
    low, high = loss_limits(shown, floor)

    def x(epoch: float) -> float:
        share = (epoch - first) / (last - first) if last > first else 0.5
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(loss: float) -> float:
        share = min((loss - low) / (high - low), _FAR)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    lines = {
        name: " ".join(f"{x(r['epoch'])},{y(r[key])}" for r in shown if math.isfinite(r[key]))
        for name, key in (("training", "loss"), ("validation", "val_loss"))
    }
    points = [
        {"epoch": int(r["epoch"]), "x": x(r["epoch"]), **{key: _number(r[key]) for key in ("loss", "val_loss")}}
        for r in shown
    ]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "frame": {"left": _LEFT, "right": WIDTH - _RIGHT, "top": _TOP, "bottom": HEIGHT - _BOTTOM},
        "lines": lines,
        "points": points,
        "x_ticks": [(x(epoch), int(epoch)) for epoch in _round_steps(first, last, whole=True)],
        "y_ticks": [(y(loss), f"{loss:.12g}") for loss in _round_steps(low, high)],
        "floor": y(floor) if floor > 0 else None,
        "kept": next(
            (
                (x(r["epoch"]), y(r["val_loss"]))
                for r in shown
                if r["epoch"] == best_epoch and math.isfinite(r["val_loss"])
            ),
            None,
        ),
        "beyond": tell_beyond(shown, high),
    }


def tell_beyond(shown: Sequence[dict[str, float]], high: float) -> str:
    """Which epochs' losses lie above the frame, and how far."""
    above = [(r["epoch"], r[key]) for r in shown for key in ("loss", "val_loss") if high < r[key] < math.inf]
    if not above:
        return ""
    epochs = sorted({int(epoch) for epoch, _ in above})
    which = f"Epoch {epochs[0]}" if len(epochs) == 1 else f"{len(epochs)} epochs, the last of them {epochs[-1]},"
    return (
        f"{which} {'lies' if len(epochs) == 1 else 'lie'} above the drawing, at up to {max(v for _, v in above):.4g}."
    )


def loss_limits(history: Sequence[dict[str, float]], floor: float) -> tuple[float, float]:
    """From the floor to the highest loss, but for a first epoch or a fiftieth that would flatten all others."""
    losses = [r[key] for r in history for key in ("loss", "val_loss") if math.isfinite(r[key])]
    if not losses:
        return 0.0, 1.0
    later = [r[key] for r in history[1:] for key in ("loss", "val_loss") if math.isfinite(r[key])] or losses
    low = min([*losses, floor]) if floor > 0 else min(losses)
    high = max(sorted(later)[math.ceil(0.98 * (len(later) - 1))], low + 1e-9)
    if max(losses) <= low + _FLATTENS * (high - low):
        high = max(*losses, high)
    return low - 0.03 * (high - low), high + 0.05 * (high - low)


def _round_steps(low: float, high: float, *, whole: bool = False) -> list[float]:
    """About five values at even steps of 1, 2 or 5 times a power of ten."""
    steps = MaxNLocator(_TICKS, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)
    return [float(step) for step in steps if low <= step <= high]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
