"""Draw how the network works, with a digit of the sample going in and coming out.

python tools/draw_network.py [--out docs/pictures/network.png]
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import smidgen

ROOT = Path(__file__).parents[1]
DIGIT = 1  # of the sample's test part
DOWN, UP, LINE, TEXT = "#cfe3f7", "#fde0c1", "#6b7885", "#26323d"
SIZES = ("28 × 28", "14 × 14", "7 × 7", "4 × 4")
BOX, STEP, DROP = (1.7, 0.66), 1.85, 0.95  # a box's size, and how far the next one lies to the right and below


def box(axes: Axes, x: float, y: float, colour: str, text: str) -> None:
    width, height = BOX
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.1", facecolor=colour,
        edgecolor=LINE, linewidth=0.8,
    )  # fmt: skip
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", color=TEXT, fontsize=8.5)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], *, dashed: bool = False) -> None:
    style = {"arrowstyle": "-|>", "color": LINE, "linewidth": 0.9, "linestyle": (0, (3, 3)) if dashed else "-"}
    axes.annotate("", end, start, arrowprops=style)


def picture(axes: Axes, x: float, y: float, image: np.ndarray, text: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, extent=(x - 0.6, x + 0.6, y - 0.6, y + 0.6), zorder=2)
    axes.text(x, y - 0.85, text, ha="center", va="center", color=TEXT, fontsize=8.5)


def draw(noisy: np.ndarray, denoised: np.ndarray) -> Figure:
    """Down through the sizes and up again."""
    figure = Figure(figsize=(9.6, 2.75), dpi=150, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    coarsest, width, height = len(SIZES) - 1, *BOX
    ends = 2 * STEP * coarsest - STEP  # where the last box stands
    down = [(STEP * scale, -DROP * scale) for scale in range(coarsest + 1)]
    up = {scale: (ends + STEP - STEP * scale, -DROP * scale) for scale in range(coarsest)}
    for scale, (x, y) in enumerate(down):
        box(axes, x, y, DOWN, f"down, {SIZES[scale]}")
        if scale < coarsest:
            arrow(axes, (x + width / 4, y - height / 2), (x + STEP - width / 4, y - DROP + height / 2))
            arrow(axes, (x + width / 2, y), (up[scale][0] - width / 2, y), dashed=True)
    for scale, (x, y) in up.items():
        box(axes, x, y, UP, f"up, {SIZES[scale]}")
        below = down[coarsest] if scale == coarsest - 1 else up[scale + 1]
        arrow(axes, (below[0] + width / 4, below[1] + height / 2), (x - width / 4, y - height / 2))
    picture(axes, -2.2, 0, noisy, "noisy")
    picture(axes, ends + STEP + 2.2, 0, denoised, "denoised")
    arrow(axes, (-1.5, 0), (-width / 2, 0))
    arrow(axes, (ends + STEP + width / 2, 0), (ends + STEP + 1.5, 0))
    for x, y, colour, text in (
        (-2.5, -2.2, DOWN, "one small cell, used 4 times"),
        (-2.5, -2.55, UP, "another, used 3 times"),
    ):
        axes.add_patch(FancyBboxPatch((x, y), 0.28, 0.2, boxstyle="square,pad=0", facecolor=colour, edgecolor=LINE))
        axes.text(x + 0.42, y + 0.1, text, va="center", color=TEXT, fontsize=9)
    arrow(axes, (-2.55, -2.83), (-2.15, -2.83), dashed=True)
    axes.text(-2.08, -2.83, "what was seen is added", va="center", color=TEXT, fontsize=9)
    axes.set_xlim(-2.9, ends + STEP + 2.9)
    axes.set_ylim(-DROP * coarsest - 0.5, 0.75)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures" / "network.png")
    args = parser.parse_args()
    noisy = smidgen.open_pairs("digits-on-garments-sample").test.noisy[DIGIT, ..., 0]
    draw(noisy, smidgen.load("digits-on-garments").denoise(noisy)).savefig(args.out)
    print(args.out)


if __name__ == "__main__":
    main()
