import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from smidgen.data.pairs import Pairs
from smidgen.errors import FileError, InputError, SmidgenError
from smidgen.judging.lines import Line
from smidgen.judging.tesseract import Tesseract
from smidgen.web.reading_plan import (
    COMPARE,
    CONDITIONS,
    READ,
    TYPE,
    Questions,
    draw_lines,
    draw_order,
    expect_intervals,
    load_questions,
)
from smidgen.web.reading_test import ReadingTest


def make_questions(n: int = 9, kind: str = READ) -> Questions:
    sources, conditions = draw_order(50, n, kind, 1)
    labels = tuple(source % 10 for source in sources) if kind == READ else ()
    machine = tuple((label + place % 3) % 10 for place, label in enumerate(labels))
    return Questions(kind=kind, sources=sources, conditions=conditions, labels=labels, machine=machine,
                about={"kind": kind, "seed": 1})  # fmt: skip


@given(n=st.integers(3, 60), total=st.integers(60, 200), seed=st.integers(0, 2**32 - 1))
def test_every_image_is_shown_once_and_conditions_are_balanced(n: int, total: int, seed: int):
    """No source image comes twice; no condition comes more than once oftener than another; the seed decides."""
    sources, conditions = draw_order(total, n, READ, seed)
    assert len(set(sources)) == n
    assert set(sources) <= set(range(total))
    counts = [conditions.count(name) for name in CONDITIONS[READ]]
    assert max(counts) - min(counts) <= 1
    assert (sources, conditions) == draw_order(total, n, READ, seed)


def test_more_images_than_there_are():
    """Asking for more than there are, or for too few, says how many there are."""
    with pytest.raises(InputError, match="from 3 to 50"):
        draw_order(50, 51, READ, 0)
    with pytest.raises(InputError, match="from 3 to 50"):
        draw_order(50, 2, READ, 0)


def test_answers_outlive_the_process(tmp_path: Path):
    """What was answered is there for the next process, the last answer to an image counts, a torn line does not."""
    study = ReadingTest(tmp_path, make_questions())
    study.put(0, "1", 0.5)
    study.put(1, "2", 0.5)
    study.put(0, "?", 2.25)
    with (tmp_path / "answers.jsonl").open("ab") as file:
        for line in ('{"position": -1, "answer": "1", "seconds": 1}', '{"position": 2, "answer": "x", "seconds": 1}',
                     '{"position": 2, "answer": "1"}', "[]"):  # fmt: skip
            file.write(line.encode() + b"\n")
        file.write(b'{"position": 2, "answer": "\xff')
    again = ReadingTest(tmp_path, load_questions(tmp_path, {"seed": 1}, 50))
    assert again.plan == study.plan
    assert [answer and answer.answer for answer in again.answers[:3]] == ["?", "2", None]
    assert again.done == 2
    again.put(2, "3", 1.0)
    assert ReadingTest(tmp_path, make_questions()).done == 3


def test_another_study_is_not_gone_on_with(tmp_path: Path):
    """A folder with another study, or with a damaged plan, is refused and left alone."""
    ReadingTest(tmp_path, make_questions())
    with pytest.raises(FileError, match="seed"):
        load_questions(tmp_path, {"seed": 2}, 50)
    with pytest.raises(FileError, match="not there"):
        load_questions(tmp_path, {"seed": 1}, 40)
    labels = '{"kind": "read", "sources": [4, 2], "conditions": ["noisy", "clean"], "labels": %s, "about": {"seed": 1}}'
    (tmp_path / "study.json").write_text(labels % [1, 2])
    assert load_questions(tmp_path, {"seed": 1}, 50)
    for text in (
        labels % [1],
        labels % '[1, "2"]',
        labels % "[]",
        '{"kind": "read"}',
        "[]",
        "[" * 100_000,
        '{"kind": "x", "sources": [], "conditions": []}',
        "\0",
    ):
        (tmp_path / "study.json").write_text(text)
        with pytest.raises(FileError, match="cannot be read"):
            load_questions(tmp_path, {"seed": 1}, 50)
    assert load_questions(tmp_path / "none", {}, 50) is None


@pytest.mark.parametrize(("position", "answer"), [(1, "1"), (-1, "1"), (0, "x"), (0, ""), (9, "1"), (0, "left")])
def test_impossible_answers_are_refused(tmp_path: Path, position: int, answer: str):
    """No answer to an image that was not shown, and none that is no answer."""
    with pytest.raises(InputError):
        ReadingTest(tmp_path, make_questions()).put(position, answer, 1.0)
    assert not (tmp_path / "answers.jsonl").exists()


def test_results(tmp_path: Path):
    """Rates, undecided, kappa and the list of the misread are those of the answers; the CSV holds each of them."""
    plan = make_questions(30)
    study = ReadingTest(tmp_path, plan)
    answers = [str(label) if place % 4 else "?" for place, label in enumerate(plan.labels)]
    for place, answer in enumerate(answers):
        study.put(place, answer, 1 + place)
    results = study.end()
    wrong = [place for place in range(30) if place % 4 == 0]
    assert results["misread"] == wrong
    assert results["cannot_tell"] == len(wrong)
    assert results["median_seconds"] == 15.5
    for name in CONDITIONS[READ]:
        mine = [place for place in range(30) if plan.conditions[place] == name]
        found = results["conditions"][name]
        assert found["read"]["n"] == len(mine) == sum(one["n"] for one in found["by_label"].values())
        assert found["read"]["rate"] == pytest.approx(sum(place % 4 != 0 for place in mine) / len(mine))
        assert found["machine"]["rate"] == pytest.approx(sum(place % 3 == 0 for place in mine) / len(mine))
    assert results["kappa"] == pytest.approx(cohen_kappa_score(answers, list(map(str, plan.machine))))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "answers.csv").read_text())))
    assert [row["answer"] for row in rows] == answers
    assert [int(row["image"]) for row in rows] == list(plan.sources)
    assert [int(row["right"]) for row in rows] == [int(place % 4 != 0) for place in range(30)]
    assert json.loads((tmp_path / "results.json").read_text()) == results
    with pytest.raises(InputError, match="ended"):
        study.put(0, "1", 1.0)


def make_lines(*said: str) -> Questions:
    """Each line noisy, and two of each page."""
    lines = tuple(Line((10 * place, 0, 10 * place + 9, 90), text) for place, text in enumerate(said))
    sources = tuple(place // 2 for place in range(len(said)))
    return Questions(kind=TYPE, sources=sources, conditions=("noisy",) * len(said), lines=lines, about={"seed": 1})


def test_results_of_typing(tmp_path: Path):
    """Edits of the lines of a page are added up; "cannot tell" is wholly wrong; plain quotation marks are right."""
    plan = replace(
        make_lines("“Yes” – no", "ten letter", "one two", "abcd"), machine=("", "ten letter", "one two", "x")
    )
    study = ReadingTest(tmp_path, plan)
    for place, answer in enumerate(('"Yes" - no', "ten lettre", "?", "Abcd")):
        study.put(place, answer, 1.0)
    assert ReadingTest(tmp_path, load_questions(tmp_path, {"seed": 1}, 2)).plan == plan
    results = study.end()
    found = results["conditions"]["noisy"]
    assert found["misread"]["cer"] == pytest.approx((0 + 2 + 7 + 1) / (10 + 10 + 7 + 4))
    assert found["misread"]["n"] == 2
    assert found["misread"]["mean"] == pytest.approx((2 / 20 + 8 / 11) / 2)
    assert found["misread"]["wer"] == pytest.approx((0 + 1 + 2 + 1) / (3 + 2 + 2 + 1))
    assert (found["lines"], found["cannot_tell"], results["misread"]) == (4, 1, [1, 2, 3])
    assert found["machine"]["cer"] == pytest.approx((10 + 0 + 0 + 4) / 31)
    assert results["conditions"]["clean"]["misread"] is None
    rows = list(csv.DictReader(io.StringIO((tmp_path / "answers.csv").read_text())))
    assert [(row["text"], row["right"], row["edits"]) for row in rows[:2]] == [
        ("“Yes” – no", "1", "0"),
        ("ten letter", "0", "2"),
    ]


@pytest.mark.parametrize("answer", ["", "two  spaces", " a", "x" * 401, "a\nb", "\ud800", "e\u0301"])
def test_what_no_line_is_is_refused(tmp_path: Path, answer: str):
    """Answers are printable, of one line, normalised and bounded."""
    study = ReadingTest(tmp_path, make_lines("a line"))
    with pytest.raises(InputError):
        study.put(0, answer, 1.0)
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_damaged_plan_of_lines_is_refused(tmp_path: Path):
    """Lines outside of every page, without a text, shown twice or missing."""
    plan = make_lines("one", "two")
    for lines in (
        plan.lines[:1],
        (plan.lines[0], plan.lines[0]),
        (plan.lines[0], Line((9, 0, 9, 9), "two")),
        (plan.lines[0], Line((-9, 0, 9, 9), "two")),
        (plan.lines[0], Line((0, 0, 9, 9), "")),
        (plan.lines[0], Line((0, 0, 9, 9), "x" * 201)),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        ReadingTest(folder, replace(plan, lines=lines))
        with pytest.raises(FileError, match="cannot be read"):
            load_questions(folder, {"seed": 1}, 50)


def test_lines_are_of_as_many_pages_as_there_are():
    """One line of each page before a second one of any; all conditions equally often; the seed decides."""
    image = np.ones((8, 20, 9, 1), np.float32)
    pairs = Pairs(image, image, texts=[f"page {number}" if number else "" for number in range(8)])
    plan = draw_lines(pairs, 7, 1, Tesseract())
    assert sorted(plan.sources) == list(range(1, 8))
    assert all(line.text == f"page {source}" for source, line in zip(plan.sources, plan.lines, strict=True))
    assert sorted(plan.conditions.count(name) for name in CONDITIONS[TYPE]) == [2, 2, 3]
    assert plan == draw_lines(pairs, 7, 1, Tesseract()) != draw_lines(pairs, 7, 2, Tesseract())
    with pytest.raises(InputError, match="from 3 to the 7"):
        draw_lines(pairs, 8, 1, Tesseract())
    assert expect_intervals(plan)["each"] == 2


def test_results_of_comparing(tmp_path: Path):
    """The share is of those decided on; undecided ones are told apart."""
    plan = make_questions(10, COMPARE)
    study = ReadingTest(tmp_path, plan)
    for place, side in enumerate(plan.conditions):
        other = "left" if side == "right" else "right"
        study.put(place, "?" if place < 2 else other if place < 4 else side, 1.0)
    results = study.end()
    assert results["preferred"]["rate"] == pytest.approx(6 / 8)
    assert (results["preferred"]["n"], results["cannot_tell"]) == (8, 2)


def test_answers_that_cannot_be_kept_are_no_fault_of_the_page(tmp_path: Path):
    """A folder that cannot be written to is an error of the server, and the answer does not count."""
    study = ReadingTest(tmp_path, make_questions())
    (tmp_path / "answers.jsonl").mkdir()
    with pytest.raises(SmidgenError) as caught:
        study.put(0, "1", 1.0)
    assert not isinstance(caught.value, InputError)
    assert study.done == 0


def test_nothing_answered_has_no_results(tmp_path: Path):
    """A study without an answer cannot be ended, and stays open."""
    study = ReadingTest(tmp_path, make_questions())
    with pytest.raises(InputError, match="nothing was answered"):
        study.end()
    assert not study.ended


def test_the_interval_is_told_beforehand():
    """For 150 images, 50 of each condition: at 95 % about 85 to 98 %, at worst about 37 to 63 %."""
    sources, conditions = draw_order(1000, 150, READ, 1)
    expected = expect_intervals(Questions(kind=READ, sources=sources, conditions=conditions))
    assert expected["each"] == 50
    assert (round(expected["likely"]["low"], 2), round(expected["likely"]["high"], 2)) == (0.85, 0.98)
    assert (round(expected["worst"]["low"], 2), round(expected["worst"]["high"], 2)) == (0.37, 0.63)


def test_answers_are_not_written_through_a_link(tmp_path: Path):
    """A folder of a stranger with a link in the place of the answers cannot spoil another file."""
    (tmp_path / "precious.txt").write_text("precious")
    folder = tmp_path / "study"
    folder.mkdir()
    study = ReadingTest(folder, make_questions())
    (folder / "answers.jsonl").symlink_to(tmp_path / "precious.txt")
    with pytest.raises(SmidgenError, match="cannot be written"):
        study.put(0, "1", 0.5)
    assert (tmp_path / "precious.txt").read_text() == "precious"
