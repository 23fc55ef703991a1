"""How far long work is: a bar on a terminal, elsewhere a plain line now and then; both on standard error."""

import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from tqdm import tqdm

from smidgen.errors import show_text

if TYPE_CHECKING:
    from smidgen.search.study import Standing
    from smidgen.training.loop import Progress

_SECONDS_BETWEEN_LINES = 30.0
_BAR = "{desc} {percentage:3.0f}%|{bar}| {remaining} left{postfix}"
_LINE = "{desc}: {percentage:.0f}% done, {remaining} left{postfix}"


class Display:
    """Shows one stage of the work after the other, within a `with` statement.

    Where there is no terminal it says a line every half minute and where a stage ends that had some, so that short
    work stays silent.
    """

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last_line = time.monotonic()
        self._stage = ""
        self._bar: Any = None
        self._said = False
        self._rollbacks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_stage()

    def say(self, text: str) -> None:
        """A sentence about what comes next, for people at a terminal only."""
        if self._terminal:
            self.note(text)

    def note(self, text: str) -> None:
        """A sentence that matters, terminal or not."""
        text = show_text(text)
        if self._terminal:
            tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def training(self, now: "Progress") -> None:
        """Where a training stands."""
        if self._stage != "training":
            self._rollbacks = now.rollbacks
        if now.rollbacks > self._rollbacks:
            self._rollbacks = now.rollbacks
            self.note("the loss became NaN: going back to the epoch kept so far, with a third of the learning rate")
        best = f", best val {now.best_val_loss:#.4g}" if math.isfinite(now.best_val_loss) else ""
        text = f"loss {now.loss:#.4g}{best}, {now.images_per_second:,.0f} images/s"
        self._show("training", f"epoch {now.epoch}/{now.epochs}", text, now.step, now.total_steps)

    def search(self, now: "Standing") -> None:
        """Where a search stands."""
        parts = [f"{now.counts[state]} {state}" for state in ("running", "pruned")]
        if now.counts["failed"]:
            parts.append(f"{now.counts['failed']} failed")
        if now.best is not None:
            parts.append(f"best {now.best:.5f}")
        self._show("search", f"{now.done} of {now.total} trials", ", ".join(parts), now.done, now.total)

    def epochs(self, done: int, total: int) -> None:
        """So many epochs of several trainings are done."""
        self._show("epochs", f"{done} of {total} epochs", "", done, total)

    def decoding(self, done: int, total: int) -> None:
        """So many of the pictures to learn from are read."""
        self._show("decoding", f"reading picture {done} of {total}", "", done, total)

    def making(self, done: int, total: int) -> None:
        """So many of the pages are made."""
        self._show("making", f"page {done + 1} of {total}", "", done, total)

    def judging(self, what: str, share: float = 0.0) -> None:
        """What is scored, and what share of it is done."""
        self._show("judging", f"judging {what}", "", share, 1.0)

    def denoising(self, number: int, total: int, name: str, share: float = 0.0) -> None:
        """So much of image `number`, counted from 0, is done."""
        head = f"{number + 1} of {total}, {name}" if total > 1 else name
        self._show("denoising", head, "", number + share, total)

    def blocks(self, what: str, done: int, total: int, per_second: float) -> None:
        """So many pixels of a store are done."""
        self._show("blocks " + what, what, f"{per_second / 1e6:.1f} MP/s" if per_second else "", done, total)

    def _show(self, stage: str, head: str, text: str, done: float = 0, total: float | None = None) -> None:
        """Renew what is shown; without a total, that is `head` alone."""
        head = show_text(head)
        if stage != self._stage:
            self._end_stage()
            form = (_BAR if self._terminal else _LINE) if total else "{desc}"
            self._bar = tqdm(
                desc=head, postfix=text, total=total, initial=done, bar_format=form, file=sys.stderr, smoothing=0,
                miniters=0, mininterval=0.1 if total else 0, delay=0 if self._terminal else math.inf,
                leave=stage in ("training", "search"), **_size(),
            )  # fmt: skip
            self._stage, self._said = stage, False
        new_work = stage == "judging" and self._bar.desc != head  # there is little of it, so each is shown at once
        self._bar.set_description_str(head, refresh=False)
        self._bar.set_postfix_str(text, refresh=False)
        if self._terminal:
            self._bar.update(done - self._bar.n)
            if new_work:
                self._bar.refresh()
            return
        self._bar.n = done
        if time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._say_line()

    def _say_line(self) -> None:
        self.note(str(self._bar))
        self._last_line, self._said = time.monotonic(), True

    def _end_stage(self) -> None:
        if self._said and self._bar.total and self._stage != "judging":
            self._say_line()
        if self._bar is not None:
            self._bar.close()
        self._bar, self._stage, self._said = None, "", False


def _size() -> dict[str, Any]:
    """That of the terminal, which some do not tell."""
    told = not sys.stderr.isatty() or os.get_terminal_size(sys.stderr.fileno()).columns > 0
    return {"dynamic_ncols": True} if told else {"ncols": 79, "nrows": 23}
