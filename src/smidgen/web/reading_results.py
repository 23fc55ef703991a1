"""What came of a reading test: rates with intervals by condition, times, agreement with the machine; and a table."""

import csv
import io
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from smidgen.judging.scores import cohen_kappa
from smidgen.judging.text import find_mistakes, sum_up
from smidgen.model.records import Interval
from smidgen.web.reading_plan import CANNOT_TELL, COMPARE, CONDITIONS, READ, TYPE, Answer, Questions, plain

Given = Sequence[tuple[int, Answer]]  # places and answers to them


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
    ways = {READ: _work_out_reading, TYPE: _work_out_typing, COMPARE: _work_out_comparing}
    return common | ways[plan.kind](plan, given)


def _by_condition(plan: Questions, given: Given, of: Callable[[Given], dict[str, Any]]) -> dict[str, Any]:
    """The results of each condition, and what was not read right."""

    def work_out_one(name: str) -> dict[str, Any]:
        mine = [(place, answer) for place, answer in given if plan.conditions[place] == name]
        return of(mine) | {
            "cannot_tell": sum(answer.answer == CANNOT_TELL for _, answer in mine),
            "median_seconds": statistics.median(answer.seconds for _, answer in mine) if mine else None,
        }

    return {
        "conditions": {name: work_out_one(name) for name in CONDITIONS[plan.kind]},
        "misread": [place for place, answer in given if not plan.is_right(place, answer.answer)],
    }


def _work_out_reading(plan: Questions, given: Given) -> dict[str, Any]:
    def rates(read: Sequence[tuple[int, str]]) -> dict[str, Any] | None:
        right = sum(plan.is_right(place, answer) for place, answer in read)
        return vars(Interval.of(right, len(read))) if read else None

    def kappa(mine: Given) -> float | None:
        if not plan.machine:
            return None
        found = cohen_kappa([answer.answer for _, answer in mine], [str(plan.machine[place]) for place, _ in mine])
        return found if np.isfinite(found) else None

    def of(mine: Given) -> dict[str, Any]:
        read = [(place, answer.answer) for place, answer in mine]
        labels = sorted({plan.labels[place] for place, _ in mine})
        return {
            "read": rates(read),
            "by_label": {str(label): rates([one for one in read if plan.labels[one[0]] == label]) for label in labels},
            "machine": rates([(place, str(plan.machine[place])) for place, _ in mine]) if plan.machine else None,
            "kappa": kappa(mine),
        }

    return _by_condition(plan, given, of) | {"kappa": kappa(given)}


def _work_out_typing(plan: Questions, given: Given) -> dict[str, Any]:
    def misread(read: Sequence[tuple[int, str]]) -> dict[str, Any] | None:
        if not read:
            return None
        mistakes = find_mistakes([plain(text) for _, text in read], [plain(plan.truth(place)) for place, _ in read])
        return vars(sum_up(mistakes.pool([plan.sources[place] for place, _ in read])))

    def of(mine: Given) -> dict[str, Any]:
        typed = [(place, "" if answer.answer == CANNOT_TELL else answer.answer) for place, answer in mine]
        return {
            "lines": len(mine),
            "misread": misread(typed),
            "machine": misread([(place, str(plan.machine[place])) for place, _ in mine]) if plan.machine else None,
        }

    return _by_condition(plan, given, of)


def _work_out_comparing(plan: Questions, given: Given) -> dict[str, Any]:
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
    if plan.kind == COMPARE:
        preferred = "" if given == CANNOT_TELL else "model" if given == condition else "other"
        row |= {"model_side": condition, "answer": given, "preferred": preferred}
    else:
        row |= {"condition": condition, "label" if plan.kind == READ else "text": plan.truth(place), "answer": given}
        row["right"] = int(plan.is_right(place, given))
        if plan.kind == TYPE:
            mistakes = find_mistakes(["" if given == CANNOT_TELL else plain(given)], [plain(plan.truth(place))])
            row |= {"edits": int(mistakes.edits[0]), "characters": int(mistakes.characters[0])}
    if plan.machine:
        row["machine"] = plan.machine[place]
    return row | {"seconds": f"{answer.seconds:.3f}"}
