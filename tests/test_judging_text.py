import unicodedata

import numpy as np
import pytest

from smidgen.data.pairs import Pairs
from smidgen.errors import InputError, MissingPartError
from smidgen.judging import tesseract
from smidgen.judging.digits import Digits
from smidgen.judging.evaluate import judge
from smidgen.judging.legibility import find_truth, legibility
from smidgen.judging.readers import choose_reader
from smidgen.judging.text import find_mistakes, normalise, sum_up

WHITE = np.ones((3, 20, 30, 1), np.float32)


def with_texts(*texts: str) -> Pairs:
    return Pairs(WHITE[: len(texts)], WHITE[: len(texts)], texts=texts)


def test_only_space_and_composition_are_forgiven():
    """Runs of whitespace and the way accents are composed make no mistake; case and quotation marks do."""
    composed = unicodedata.normalize("NFC", "né  le\n1er\t")
    assert normalise(unicodedata.normalize("NFD", composed)) == "né le 1er"
    found = find_mistakes(["ne\n le", "A “b”"], ["né le", 'a "b"'])
    assert found.edits.tolist() == [1, 3]
    assert found.word_edits.tolist() == [1, 2]


def test_a_dropped_page_is_wholly_wrong_and_rubbish_no_more_than_that():
    """No page has more than 100 % wrong, an empty one exactly that, and one that says nothing does not count."""
    found = find_mistakes(["", "xyz" * 50, "abcd", "anything"], ["abcd", "abcd", "abcd", " "])
    assert found.rates.tolist() == [1, 1, 0]


def test_scores_are_pooled_averaged_and_of_the_worst():
    """CER is edits over characters, not the mean of pages; beside it the mean, the worst tenth and an interval."""
    read = ["a" * 100] * 19 + ["b" * 10]
    found = sum_up(find_mistakes(read, ["a" * 100] * 19 + ["a" * 10]))
    assert found.cer == pytest.approx(10 / 1910)
    assert found.mean == pytest.approx(1 / 20)
    assert found.worst_tenth == pytest.approx(1 / 2)
    assert found.wer == pytest.approx(1 / 20)
    assert 0 <= found.low < found.cer < found.high < 0.03
    assert (found.n, found.characters) == (20, 1910)
    assert found.legibility.rate == pytest.approx(1 - found.cer)
    assert found.legibility.low == pytest.approx(1 - found.high)


def test_a_function_reads_texts_or_labels():
    """A user's function is a reader: of texts where it gives these, else of labels, held against what is known."""

    def says(image: np.ndarray) -> str:
        return "ink" if image.mean() < 0.5 else "paper"

    pairs = with_texts("paper", "paper", "ink")
    truth, clean = find_truth(choose_reader(pairs, says), pairs)
    assert (truth.by, clean.answers.tolist()) == ("texts", ["paper"] * 3)
    assert legibility(clean, truth).rate == pytest.approx(10 / 13)  # of 13 characters 3 are wrong, all of "ink"
    labelled = Pairs(WHITE, WHITE, np.array([7, 7, 12]))
    truth, clean = find_truth(choose_reader(labelled, lambda image: 7), labelled)
    assert truth.by == "labels"
    assert legibility(clean, truth).rate == pytest.approx(2 / 3)
    unknown = Pairs(WHITE, WHITE)
    truth, clean = find_truth(choose_reader(unknown, lambda image: np.int64(12)), unknown)
    assert (truth.by, legibility(clean, truth).rate) == ("reader", 1)


def test_a_function_that_gives_something_else_is_refused():
    """Answers that are neither all texts nor all whole numbers end with what was given."""
    answers = iter(["one", 2, 3.5])
    with pytest.raises(InputError, match="float, int, str"):
        choose_reader(with_texts("a"), lambda image: next(answers)).read(WHITE)


def test_text_is_judged_beside_labels_and_their_tables_left_out():
    """An evaluation of texts holds what is misread as given, denoised and clean, and no table of digits."""
    ink = np.where(np.arange(3)[:, None, None, None] > 0, WHITE, 0)
    pairs = Pairs(ink, WHITE, texts=["paper"] * 3)
    reader = choose_reader(pairs, lambda image: "paper" if image.mean() > 0.5 else "")
    found = judge(WHITE, pairs, name="p", split="val", reader=reader, model="m", num_parameters=1, budget=1).evaluation
    assert found.scores.legibility.denoised.rate == found.scores.legibility.clean.rate == 1
    assert found.scores.misread.noisy.cer == pytest.approx(1 / 3)
    assert (found.truth_by, found.confusion, found.legibility_by_digit) == ("texts", None, {})


def test_pages_without_texts_count_where_something_was_read():
    """Without texts the truth is what is read in the clean image; a page on which nothing is read does not count."""
    pairs = Pairs(WHITE, WHITE)
    answers = iter(["one", "", "three"])
    truth, _ = find_truth(choose_reader(pairs, lambda image: next(answers)), pairs)
    assert (truth.by, truth.counted.tolist()) == ("reader", [True, False, True])
    assert "no text" in find_truth(choose_reader(pairs, lambda image: ""), pairs)


def test_without_tesseract_pages_are_not_read_and_it_is_said_how(monkeypatch: pytest.MonkeyPatch):
    """Its absence is a reason for no legibility, or an error where it was asked for; both say what to install."""
    monkeypatch.setattr(tesseract.shutil, "which", lambda name: None)
    assert "apt-get install tesseract-ocr" in choose_reader(with_texts("a"))
    assert isinstance(choose_reader(Pairs(WHITE, WHITE)), Digits)
    with pytest.raises(InputError, match="apt-get install tesseract-ocr"):
        choose_reader(Pairs(WHITE, WHITE), "tesseract")
    with pytest.raises(InputError, match="one of digits, tesseract"):
        choose_reader(Pairs(WHITE, WHITE), "person")


def test_without_rapidfuzz_it_is_said_how(monkeypatch: pytest.MonkeyPatch):
    """Texts cannot be compared without rapidfuzz, and the message names the extra that brings it."""
    monkeypatch.setattr("smidgen.judging.text.find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"smidgen\[ocr\]"):
        find_mistakes(["a"], ["b"])
