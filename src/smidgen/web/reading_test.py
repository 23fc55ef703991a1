"""A reading test: which images people are shown, in which condition, and what they answered, kept in a folder."""

import csv
import io
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from smidgen.errors import FileError, InputError, SmidgenError
from smidgen.files import read_file, write_whole
from smidgen.judging.scores import cohen_kappa
from smidgen.model.records import Interval, from_plain, to_plain

READ, COMPARE = "read", "compare"
CONDITIONS = {READ: ("noisy", "denoised", "clean"), COMPARE: ("left", "right")}
CANNOT_TELL = "?"
PLAN_FILE = "study.json"
ANSWERS_FILE = "answers.jsonl"
CSV_FILE = "answers.csv"
RESULTS_FILE = "results.json"
MOST_IMAGES, MOST_SECONDS = 10_000, 1e9
_MOST_BYTES = 4 * 2**20
_LIKELY, _WORST = 0.95, 0.5


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What is asked, in order.

    Attributes:
        kind: `READ`: what is in one image; `COMPARE`: which of two is closer to the clean one.
        sources: places of the images in their part of the pairs, each only once.
        conditions: what is shown of each: a name of `CONDITIONS`; of two images, the side the model's is on.
        labels: of each, or empty.
        machine: what the machine reader reads in what is shown, or empty.
        about: model, pairs, split and seed, as they were given.
    """

    kind: str
    sources: tuple[int, ...]
    conditions: tuple[str, ...]
    labels: tuple[int, ...] = ()
    machine: tuple[int, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)

    def answers_allowed(self) -> tuple[str, ...]:
        """What can be answered, "cannot tell" last."""
        known = map(str, sorted(set(self.labels))) if self.kind == READ else CONDITIONS[COMPARE]
        if self.kind == READ and set(self.labels) <= set(range(10)):
            known = map(str, range(10))  # a digit that does not occur can be read into an image
        return (*known, CANNOT_TELL)


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
    names = CONDITIONS[kind]
    most = min(total, MOST_IMAGES)
    if not len(names) <= n <= most:
        raise InputError(f"{n} images are asked for", expected=f"from {len(names)} to {most}, of {total} there are")
    generator = np.random.default_rng(seed)
    sources = generator.permutation(total)[:n]
    conditions = generator.permutation([names[place % len(names)] for place in range(n)])
    return tuple(int(source) for source in sources), tuple(str(name) for name in conditions)


def expect_intervals(n: int, kind: str) -> dict[str, Any]:
    """How wide the 95 % intervals will be: at a rate of 95 % and, the worst case, of one half."""
    each = n // len(CONDITIONS[READ]) if kind == READ else n
    likely, worst = (Interval.of(rate * each, each) for rate in (_LIKELY, _WORST))
    return {"each": each, "likely": vars(likely), "worst": vars(worst)}


class ReadingTest:
    """A plan and its answers in a folder; every answer is on the disk before it is confirmed."""

    def __init__(self, folder: Path, plan: Questions) -> None:
        """Begin in a folder, or go on with the same plan where it stopped.

        Raises:
            FileError: the folder holds another study, a damaged one, or cannot be written to.
        """
        self.folder, self.plan = folder, plan
        content = json.dumps(to_plain(plan), indent=1) + "\n"
        place = folder / PLAN_FILE
        if not place.exists():
            write_whole(place, content)
        self.answers: list[Answer | None] = [None] * len(plan)
        self._file = folder / ANSWERS_FILE
        kept = read_file(self._file, _MOST_BYTES) if self._file.exists() else b""
        for line in kept.decode(errors="replace").splitlines():
            self._recall(line)
        self.ended = any(self.answers) and (folder / RESULTS_FILE).exists()

    def _recall(self, line: str) -> None:
        try:
            record = json.loads(line)
            position, answer = int(record["position"]), Answer(str(record["answer"]), float(record["seconds"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return  # a crash tore the line; that image is asked again
        if not 0 <= answer.seconds <= MOST_SECONDS:  # which what is no number is not either
            return
        if 0 <= position < len(self.plan) and answer.answer in self.plan.answers_allowed():
            self.answers[position] = answer

    @property
    def done(self) -> int:
        """How many are answered: the place of the next."""
        return next((place for place, answer in enumerate(self.answers) if answer is None), len(self.plan))

    def put(self, position: int, answer: str, seconds: float) -> None:
        """Keep an answer to the next image, or another one to an earlier.

        Raises:
            InputError: the study has ended, the image was not shown yet, or there is no such answer.
            SmidgenError: the answer cannot be kept.
        """
        if self.ended:
            raise InputError("the study has ended", expected="no more answers")
        if not 0 <= position <= min(self.done, len(self.plan) - 1):
            raise InputError(f"image {position + 1} was not shown yet", expected=f"an answer to image {self.done + 1}")
        if answer not in self.plan.answers_allowed():
            raise InputError(f"{answer!r} is no answer", expected=", ".join(self.plan.answers_allowed()))
        record = {"position": position, "answer": answer, "seconds": round(seconds, 3)}
        try:
            with open(self._file, "ab", opener=_open_own) as file:
                if file.tell() and not self._ends_with_newline():
                    file.write(b"\n")  # after a line that a crash tore
                file.write(json.dumps(record).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SmidgenError(f"{self._file} cannot be written ({error.strerror})") from error
        self.answers[position] = Answer(answer, seconds)

    def _ends_with_newline(self) -> bool:
        with self._file.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def end(self) -> dict[str, Any]:
        """Work out the results of what was answered, keep them, and take no more answers.

        Raises:
            InputError: nothing was answered yet.
            SmidgenError: the folder cannot be written to.
        """
        if not any(self.answers):
            raise InputError("nothing was answered yet", expected="at least one answer")
        results = work_out(self.plan, self.answers)
        try:
            write_whole(self.folder / CSV_FILE, to_csv(self.plan, self.answers))
            write_whole(self.folder / RESULTS_FILE, json.dumps(results, indent=1) + "\n")
        except FileError as error:  # nothing the page did
            raise SmidgenError(str(error)) from error
        self.ended = True
        return results


def _open_own(path: str, flags: int) -> int:
    """Open a file that is no link: who hands over a folder must not choose what is written to elsewhere."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


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
        plan = from_plain(Questions, json.loads(read_file(place, _MOST_BYTES)))
        kept = plan.about
        if plan.kind not in CONDITIONS or not set(plan.conditions) <= set(CONDITIONS[plan.kind]):
            raise ValueError("it asks what no reading test asks")
        there = all(0 <= source < total for source in plan.sources)
        if not there or len(plan.sources) != len(plan.conditions):
            raise ValueError("it shows images that are not there")
        if len(plan) > MOST_IMAGES or len(set(plan.sources)) < len(plan):
            raise ValueError(f"it shows more than {MOST_IMAGES:,} images, or one twice")
        for numbers, needed in ((plan.labels, plan.kind == READ), (plan.machine, False)):
            if len(numbers) != len(plan) and (needed or len(numbers) > 0):
                raise ValueError("it has labels for other images than it shows")
    except (ValueError, RecursionError) as error:
        raise FileError(f"{place} cannot be read ({error})", expected="what a reading test left") from None
    other = [name for name, value in about.items() if kept.get(name) != value]
    if other:
        raise FileError(
            f"{folder} holds a study of another kind ({', '.join(other)} differ: {[kept.get(name) for name in other]})",
            expected="the same command, to go on with it",
            remedy="Choose another --out",
        )
    return plan


def work_out(plan: Questions, answers: Sequence[Answer | None]) -> dict[str, Any]:
    """The results: rates with intervals by condition and label, times, agreement, what was misread."""
    given = [(place, answer) for place, answer in enumerate(answers) if answer is not None]
    common = {
        "kind": plan.kind,
        "about": plan.about,
        "asked": len(plan),
        "answered": len(given),
        "cannot_tell": sum(answer.answer == CANNOT_TELL for _, answer in given),
        "median_seconds": statistics.median(answer.seconds for _, answer in given),
    }
    return common | (_work_out_reading(plan, given) if plan.kind == READ else _work_out_comparing(plan, given))


def _work_out_reading(plan: Questions, given: Sequence[tuple[int, Answer]]) -> dict[str, Any]:
    read = {place: answer.answer for place, answer in given}

    def rates(places: Sequence[int], read: Mapping[int, str] | tuple[int, ...]) -> dict[str, Any] | None:
        right = sum(str(read[place]) == str(plan.labels[place]) for place in places)
        return vars(Interval.of(right, len(places))) if places else None

    def of(condition: str) -> dict[str, Any]:
        mine = [(place, answer) for place, answer in given if plan.conditions[place] == condition]
        places = [place for place, _ in mine]
        return {
            "read": rates(places, read),
            "cannot_tell": sum(answer.answer == CANNOT_TELL for _, answer in mine),
            "median_seconds": statistics.median(answer.seconds for _, answer in mine) if mine else None,
            "by_label": {
                str(label): rates([place for place in places if plan.labels[place] == label], read)
                for label in sorted({plan.labels[place] for place in places})
            },
            "machine": rates(places, plan.machine) if plan.machine else None,
            "kappa": kappa(mine),
        }

    def kappa(mine: Sequence[tuple[int, Answer]]) -> float | None:
        if not plan.machine:
            return None
        found = cohen_kappa([answer.answer for _, answer in mine], [str(plan.machine[place]) for place, _ in mine])
        return found if np.isfinite(found) else None

    return {
        "conditions": {condition: of(condition) for condition in CONDITIONS[READ]},
        "kappa": kappa(given),
        "misread": [place for place in read if read[place] != str(plan.labels[place])],
    }


def _work_out_comparing(plan: Questions, given: Sequence[tuple[int, Answer]]) -> dict[str, Any]:
    decided = [(place, answer) for place, answer in given if answer.answer != CANNOT_TELL]
    preferred = sum(answer.answer == plan.conditions[place] for place, answer in decided)
    return {"preferred": vars(Interval.of(preferred, len(decided))) if decided else None}


def to_csv(plan: Questions, answers: Sequence[Answer | None]) -> str:
    """One row for each answered image, in the order they were shown."""
    rows = [_row(plan, place, answer) for place, answer in enumerate(answers) if answer is not None]
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0] if rows else (), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _row(plan: Questions, place: int, answer: Answer) -> dict[str, Any]:
    given, condition = answer.answer, plan.conditions[place]
    row: dict[str, Any] = {"position": place + 1, "image": plan.sources[place]}
    if plan.kind == READ:
        label = plan.labels[place]
        row |= {"condition": condition, "label": label, "answer": given, "right": int(given == str(label))}
    else:
        preferred = "" if given == CANNOT_TELL else "model" if given == condition else "other"
        row |= {"model_side": condition, "answer": given, "preferred": preferred}
    if plan.machine:
        row["machine"] = plan.machine[place]
    return row | {"seconds": f"{answer.seconds:.3f}"}
