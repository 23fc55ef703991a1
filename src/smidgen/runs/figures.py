"""The pictures of a run, drawn with matplotlib; each function returns a PNG file's bytes."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from smidgen.data.collection import Collection, middle
from smidgen.data.pairs import Pairs
from smidgen.judging.legibility import Reading, Truth
from smidgen.runs.chart import loss_limits, tell_beyond

_INK = "#1b2733"
_QUIET = "#6b7785"
_TRAIN = "#7a93ac"
_VAL = "#c2410c"
_RIGHT = "#15803d"
_WRONG = "#b91c1c"
_DPI = 120
_GAP, _MARK = 0.07, 0.3  # between the images of a strip, and below them for what was read, in images
_WIDE, _MOST_SHOWN = 64, 192  # pixels: images as wide are drawn larger, and of larger ones so much is shown
# Ticks between powers of ten, for values that are up to so many times as large as others; beyond, there are none.
_TICKS = {8.0: (1, 1.5, 2, 3, 4, 6, 8), 300.0: (1, 2, 5), math.inf: (1,)}


def draw_strip(
    pairs: Pairs,
    denoised: Collection,
    reading: Reading | None,
    truth: Truth | None,
    order: NDArray[np.int64],
) -> bytes:
    """The images at the places of `order`: noisy, denoised, clean; of large ones the middle.

    Below is the label that the reader read in the denoised one: green where that is the truth, red with a cross
    where not, grey where the truth is not sure.
    """
    if truth is not None and truth.is_text:
        reading = truth = None  # a page's text is too long
    parts = pairs.noisy, denoised, pairs.clean
    columns = [
        [image[middle(image.shape, _MOST_SHOWN)] for image in (part[int(place)] for part in parts)] for place in order
    ]
    height, width = (max(column[0].shape[axis] for column in columns) for axis in (0, 1))
    across, down = width * (1 + _GAP), height * (1 + _GAP)  # from one image to the next
    room = _MARK if reading is not None and truth is not None else 0
    inches = 0.95 * len(order) * max(1, min(2, width / _WIDE))
    high = inches * (3 * down + (room - _GAP) * height) / (len(order) * across - _GAP * width)
    figure = Figure(figsize=(inches + 0.9, min(high, 3.35 * max(1, min(2, width / _WIDE)))))
    # One for all images: thirty would take matplotlib a quarter of a second.
    axes = figure.add_axes((0.85 / (inches + 0.9), 0, inches / (inches + 0.9), 1), anchor="W")
    axes.axis("off")
    for row, (name, top) in enumerate((("noisy", 0), ("denoised", down), ("clean", 2 * down + room * height))):
        axes.text(-_GAP * width, top + height / 2, name, color=_INK, fontsize=10, ha="right", va="center")
        for column, images in enumerate(columns):
            image, left = images[row], column * across
            _show(axes, image, extent=(left, left + image.shape[1], top + image.shape[0], top))
    if reading is not None and truth is not None:
        for column, place in enumerate(order):
            digit, right = int(reading.answers[place]), reading.answers[place] == truth.answers[place]
            colour = (_RIGHT if right else _WRONG) if truth.counted[place] else _QUIET
            mark = f"reads {digit}" + ("" if right or not truth.counted[place] else " ✗")
            centre, below = column * across + width / 2, 2 * down + (_MARK - _GAP) * height / 2
            axes.text(centre, below, mark, color=colour, fontsize=9, ha="center", va="center")
    axes.set_xlim(0, len(order) * across - _GAP * width)
    axes.set_ylim(3 * down + (room - _GAP) * height, 0)
    return _png(figure)


def draw_curves(history: Sequence[dict[str, float]], *, floor: float, best_epoch: int, loss_name: str) -> bytes:
    """Training and validation loss over the epochs, the floor, and the epoch that was kept."""
    figure, axes = _plot(7, 3.4, x="epoch", y=loss_name)
    epochs = [record["epoch"] for record in history]
    for name, key, colour in (("training", "loss", _TRAIN), ("validation", "val_loss", _VAL)):
        axes.plot(epochs, [record[key] for record in history], color=colour, label=name, marker="o", markersize=3)
    if floor > 0:
        axes.axhline(floor, color=_QUIET, linestyle=":", label=f"floor {floor:#.4g}")
    chosen = [record for record in history if record["epoch"] == best_epoch]
    if chosen:
        axes.plot(best_epoch, chosen[0]["val_loss"], "o", color=_VAL, markersize=9, fillstyle="none",
                  label=f"kept: epoch {best_epoch}, {chosen[0]['val_loss']:#.4g}")  # fmt: skip
    low, high = loss_limits(history, floor)
    axes.set_ylim(low, high)
    if beyond := tell_beyond(history, high):
        axes.set_title(beyond, fontsize=9, color=_QUIET, loc="right")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return _png(figure)


def draw_points(
    x_values: Sequence[float], y_values: Sequence[float], groups: Sequence[str], *, x: str, y: str
) -> bytes:
    """One point for each pair of values, coloured by group, the horizontal axis logarithmic."""
    figure, axes = _plot(6, 3.6, x=x, y=y)
    for group, colour, marker in zip(dict.fromkeys(groups), (_VAL, _TRAIN, _QUIET, _INK), "osx^", strict=False):
        mine = [place for place, name in enumerate(groups) if name == group]
        axes.plot([x_values[i] for i in mine], [y_values[i] for i in mine], linestyle="", marker=marker,
                  color=colour, alpha=0.8, label=group)  # fmt: skip
    _make_logarithmic(axes, "x", x_values)
    # One loss far off would flatten all others; those above are marked at the edge, and counted.
    most = np.sort(y_values)[: max(1, len(y_values) * 9 // 10)]
    top = float(np.quantile(y_values, 0.9, method="lower")) + 0.3 * float(np.ptp(most))
    above = [place for place, value in enumerate(y_values) if value > top > min(y_values)]
    if above:
        axes.set_ylim(top=top)
        axes.plot([x_values[i] for i in above], [top] * len(above), linestyle="", marker=6, color=_INK, clip_on=False)
        worst = max(y_values[i] for i in above)
        axes.set_title(f"{len(above)} above the drawing, up to {worst:.3g}", fontsize=9, color=_QUIET, loc="right")
    axes.legend(frameon=False)
    return _png(figure)


def draw_bars(shares: Mapping[str, float], *, x: str) -> bytes:
    """A bar for each name, the longest on top."""
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure, axes = _plot(6, 0.9 + 0.32 * len(ordered), x=x)
    bars = axes.barh([name.replace("_", " ") for name, _ in ordered], [share for _, share in ordered], color=_TRAIN)
    axes.bar_label(bars, fmt="%.2f", padding=3, color=_INK, fontsize=9)
    return _png(figure)


def draw_front(points: Sequence[tuple[str, int, float]], others: Sequence[tuple[str, int, float]] = ()) -> bytes:
    """Mean squared error against parameters, both logarithmic.

    Args:
        points: name, parameters and error of the models on the front, joined by a line.
        others: the same of what they are compared with.
    """
    figure, axes = _plot(6.4, 3.8, x="learned numbers", y="mean squared error")
    ordered = sorted(points, key=lambda point: point[1])
    axes.plot([p[1] for p in ordered], [p[2] for p in ordered], color=_VAL, marker="o")
    axes.plot([p[1] for p in others], [p[2] for p in others], color=_QUIET, marker="s", linestyle="")
    for (name, parameters, error), colour, up in [(p, _VAL, 5) for p in ordered] + [(p, _QUIET, -10) for p in others]:
        axes.annotate(name, (parameters, error), xytext=(6, up), textcoords="offset points", color=colour, fontsize=9)
    both = [*points, *others]
    _make_logarithmic(axes, "x", [point[1] for point in both])
    _make_logarithmic(axes, "y", [point[2] for point in both])
    axes.grid(True, alpha=0.15)
    return _png(figure)


def _plot(width: float, height: float, *, x: str, y: str = "") -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _make_logarithmic(axes: Axes, side: Literal["x", "y"], values: Sequence[float]) -> None:
    """Ticks in plain numbers, and room beyond the values, however close they are."""
    low, high = min(values) / 1.6, max(values) * 1.6
    axes.set(**{f"{side}scale": "log", f"{side}lim": (low, high)})
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=next(ticks for most, ticks in _TICKS.items() if high / low < most)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _show(axes: Axes, image: NDArray[np.float32], extent: tuple[float, float, float, float] | None = None) -> None:
    """One image `(H, W, C)`; two and four channels are shown as their mean."""
    shown = np.clip(image, 0, 1)
    if shown.shape[2] != 3:
        shown = shown.mean(2)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=extent)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
