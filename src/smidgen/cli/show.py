"""What the terminal shows: tables, progress, small pictures."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from smidgen.model.records import Interval
    from smidgen.training.loop import Progress

_SHADES = " ░▒▓█"
_WIDEST = 36


def table(rows: Sequence[Sequence[str]], *, header: bool = True) -> str:
    """Rows as aligned columns, the first to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if header:
        lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def text_picture(image: NDArray[np.float32]) -> list[str]:
    """An image `(H, W, C)` in [0, 1] as lines of shaded blocks, two characters a pixel."""
    grey = np.clip(image.mean(2), 0, 1)
    step = max(1, -(-max(grey.shape) // _WIDEST))
    grey = grey[::step, ::step]
    shades = np.rint(grey * (len(_SHADES) - 1)).astype(int)
    return ["".join(_SHADES[shade] * 2 for shade in row) for row in shades]


def share(interval: "Interval") -> str:
    """A rate with its interval, in per cent."""
    return f"{interval.rate:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def duration(seconds: float) -> str:
    """Seconds as `1:02:03` or `2:03`."""
    if not np.isfinite(seconds):
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress_line(stream: TextIO | None = None) -> Callable[["Progress"], None]:
    """Something to watch a training with: one line that renews itself, silent off a terminal."""
    out = stream or sys.stderr
    rollbacks = 0

    def watch(progress: "Progress") -> None:
        nonlocal rollbacks
        if progress.rollbacks > rollbacks:
            rollbacks = progress.rollbacks
            renew_line("the loss became NaN: back to the best epoch, with a third of the learning rate",
                       last=True, stream=out)  # fmt: skip
        val = (
            "" if np.isnan(progress.val_loss) else f"  val {progress.val_loss:.4f} (best {progress.best_val_loss:.4f})"
        )
        line = (
            f"epoch {progress.epoch}/{progress.epochs}  step {progress.step}/{progress.total_steps}  "
            f"loss {progress.loss:.4f}{val}  {progress.images_per_second:.0f} images/s  "
            f"{duration(progress.seconds_left)} left"
        )
        renew_line(line, last=progress.step >= progress.total_steps, stream=out)

    return watch


def renew_line(text: str, *, last: bool = False, stream: TextIO | None = None) -> None:
    """Write over the line that stands on a terminal, and stay on it unless it is the last; silent elsewhere."""
    out = stream or sys.stderr
    if out.isatty():
        print(f"\r\033[K{text}", end="\n" if last else "", file=out, flush=True)


def say(text: str) -> None:
    """A sentence about what goes on, on standard error; silent off a terminal."""
    renew_line(text, last=True)
