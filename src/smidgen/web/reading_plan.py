"""What people are asked in a reading test: which images, in which condition and order, as a folder keeps it."""

import functools
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from smidgen.data.pairs import Pairs
from smidgen.errors import FileError, InputError
from smidgen.files import read_file
from smidgen.judging.lines import Line, find_lines
from smidgen.judging.tesseract import Tesseract
from smidgen.judging.text import normalise
from smidgen.model.records import Interval, from_plain

READ, TYPE, COMPARE = "read", "type", "compare"
_ONE_OF_THREE = ("noisy", "denoised", "clean")
CONDITIONS = {READ: _ONE_OF_THREE, TYPE: _ONE_OF_THREE, COMPARE: ("left", "right")}
USUAL_IMAGES = {READ: 150, TYPE: 60, COMPARE: 150}
CANNOT_TELL = "?"
PLAN_FILE = "study.json"
MOST_IMAGES, MOST_SECONDS = 10_000, 1e9
MOST_TYPED = 400  # characters
MOST_BYTES = 2**25
_PLAIN = str.maketrans(dict.fromkeys("‘’‚‹›", "'") | dict.fromkeys("“”„«»", '"') | dict.fromkeys("‐‑–—−", "-"))
_LIKELY, _WORST = 0.95, 0.5


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What is asked, in order.

    Attributes:
        kind: `READ`: what is in one image; `TYPE`: what one line says; `COMPARE`: which of two is closer to the clean
            one.
        sources: places of the images in their part of the pairs, each only once; of lines, those of their pages.
        conditions: what is shown of each: a name of `CONDITIONS`; of two images, the side the model's is on.
        labels: of each, or empty.
        lines: where each lies and what it says, or empty.
        machine: what the machine reader reads in what is shown, or empty.
        about: model, pairs, split and seed, as they were given.
    """

    kind: str
    sources: tuple[int, ...]
    conditions: tuple[str, ...]
    labels: tuple[int, ...] = ()
    lines: tuple[Line, ...] = ()
    machine: tuple[int | str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)

    @functools.cached_property
    def answers_allowed(self) -> tuple[str, ...]:
        """What can be answered, "cannot tell" last; of lines, that alone beside whatever is typed."""
        if self.kind == COMPARE:
            return (*CONDITIONS[COMPARE], CANNOT_TELL)
        known = set(self.labels)
        if self.kind == READ and known <= set(range(10)):
            known = set(range(10))  # a digit that does not occur can be read into an image
        return (*map(str, sorted(known)), CANNOT_TELL)

    def allows(self, answer: str) -> bool:
        """Whether something is an answer."""
        if self.kind != TYPE:
            return answer in self.answers_allowed
        return 0 < len(answer) <= MOST_TYPED and answer == normalise(answer) and answer.isprintable()

    def expected(self) -> str:
        """What can be answered, in words."""
        return f"up to {MOST_TYPED} characters" if self.kind == TYPE else ", ".join(self.answers_allowed)

    def is_right(self, place: int, answer: str) -> bool:
        """Whether an answer is what the image is."""
        truth = self.truth(place)
        return plain(answer) == plain(truth) if self.kind == TYPE else answer == truth

    def truth(self, place: int) -> str:
        """What is right, as it would be answered."""
        return self.lines[place].text if self.kind == TYPE else str(self.labels[place])


def plain(text: str) -> str:
    """A text with the quotation marks and dashes that keyboards have; others cannot be typed, and tell no letter."""
    return text.translate(_PLAIN)


@dataclass(frozen=True)
class Answer:
    """One answer and the seconds it took."""

    answer: str
    seconds: float


def draw_order(total: int, n: int, kind: str, seed: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """`n` of `total` images in random order, and a condition for each, all conditions equally often.

    Raises:
        InputError: there are not so many, or too few for every condition.
    """
    fewest, most = len(CONDITIONS[kind]), min(total, MOST_IMAGES)
    if not fewest <= n <= most:
        raise InputError(f"{n} images are asked for", expected=f"from {fewest} to {most}, of {total} there are")
    generator = np.random.default_rng(seed)
    sources = generator.permutation(total)[:n]
    return tuple(int(source) for source in sources), _draw_conditions(n, kind, generator)


def _draw_conditions(n: int, kind: str, generator: np.random.Generator) -> tuple[str, ...]:
    names = CONDITIONS[kind]
    return tuple(str(name) for name in generator.permutation([names[place % len(names)] for place in range(n)]))


def draw_lines(pairs: Pairs, n: int, seed: int, reader: Tesseract) -> Questions:
    """`n` lines in random order from as many pages as there are: a second one of a page only after one of each.

    Args:
        pairs: pages with texts.
        n: how many.
        seed: of the draw.
        reader: finds the lines of a page of several.

    Returns:
        A plan, about nothing yet.

    Raises:
        InputError: there are not so many, or Tesseract is needed and not installed.
    """
    fewest = len(_ONE_OF_THREE)
    if not fewest <= n <= MOST_IMAGES:
        raise InputError(f"{n} lines are asked for", expected=f"from {fewest} to {MOST_IMAGES}")
    generator = np.random.default_rng(seed)
    drawn: list[tuple[int, int, Line]] = []  # which of its page's it is, the page, the line
    pages = generator.permutation(len(pairs)).tolist()
    for page, lines in itertools.islice(_pages_with_lines(pairs, pages, reader), n):
        order = generator.permutation(len(lines)).tolist()
        drawn += [(turn, page, lines[place]) for turn, place in enumerate(order)]
    drawn.sort(key=lambda one: one[0])
    if len(drawn) < n:
        raise InputError(
            f"{n} lines are asked for", expected=f"from {fewest} to the {len(drawn)} that were found",
            remedy="They are found where transcripts have each line of their page on a line of its own",
        )  # fmt: skip
    chosen = [drawn[place] for place in generator.permutation(n).tolist()]
    return Questions(
        kind=TYPE,
        sources=tuple(page for _, page, _ in chosen),
        conditions=_draw_conditions(n, TYPE, generator),
        lines=tuple(line for _, _, line in chosen),
    )


def _pages_with_lines(pairs: Pairs, pages: Sequence[int], reader: Tesseract) -> Iterator[tuple[int, list[Line]]]:
    """The pages that have lines, and these; several pages are read side by side."""
    together = os.cpu_count() or 1
    said = pairs.texts or ()
    with ThreadPoolExecutor(together) as pool:
        for start in range(0, len(said), together):
            some = pages[start : start + together]
            clean, texts = [pairs.clean[page] for page in some], [said[page] for page in some]
            found = zip(some, pool.map(find_lines, clean, texts, itertools.repeat(reader)), strict=True)
            yield from ((page, lines) for page, lines in found if lines)


def expect_intervals(plan: Questions) -> dict[str, Any]:
    """How wide the 95 % intervals will be: at a rate of 95 % and, the worst case, of one half.

    Of typed lines they are no wider than if each page were read wholly right or wholly wrong, which is what is given.
    """
    pages, n = len(set(plan.sources)), len(plan)
    each = n if plan.kind == COMPARE else min(n // len(_ONE_OF_THREE), pages)
    likely, worst = (Interval.of(rate * each, each) for rate in (_LIKELY, _WORST))
    return {"each": each, "likely": vars(likely), "worst": vars(worst)}


def load_questions(folder: Path, about: dict[str, Any], total: int) -> Questions | None:
    """The plan a folder holds, or None.

    Args:
        folder: of a study, perhaps.
        about: what was asked for; the plan's must hold the same.
        total: images there are.

    Raises:
        FileError: it is of something else, or cannot be read.
    """
    place = folder / PLAN_FILE
    if not place.exists():
        return None
    try:
        plan = from_plain(Questions, json.loads(read_file(place, MOST_BYTES)))
        _check(plan, total)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{place} cannot be read ({error})", expected="what a reading test left") from None
    kept = plan.about
    other = [name for name, value in about.items() if kept.get(name) != value]
    if other:
        raise FileError(
            f"{folder} holds a study of another kind ({', '.join(other)} differ: {[kept.get(name) for name in other]})",
            expected="the same command, to go on with it",
            remedy="Choose another --out",
        )
    return plan


def _check(plan: Questions, total: int) -> None:
    """Make sure that it is one that was drawn.

    Raises:
        ValueError: it is not.
    """
    if plan.kind not in CONDITIONS or not set(plan.conditions) <= set(CONDITIONS[plan.kind]):
        raise ValueError("it asks what no reading test asks")
    there = all(0 <= source < total for source in plan.sources)
    if not there or len(plan.sources) != len(plan.conditions):
        raise ValueError("it shows images that are not there")
    for parts, needed in ((plan.labels, plan.kind == READ), (plan.lines, plan.kind == TYPE), (plan.machine, False)):
        if len(parts) != len(plan) and (needed or len(parts) > 0):
            raise ValueError("it has labels or lines for other images than it shows")
    shown = [(source, *(line.box for line in plan.lines[at : at + 1])) for at, source in enumerate(plan.sources)]
    if len(plan) > MOST_IMAGES or len(set(shown)) < len(plan):
        raise ValueError(f"it shows more than {MOST_IMAGES:,} images, or one twice")
    if not all(line.is_fit() for line in plan.lines):
        raise ValueError("it shows lines that nobody can read")
