"""Legibility: how much of images a reader reads as what it is; and what a reader is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Collection
from smidgen.data.pairs import Pairs
from smidgen.judging.text import find_mistakes, normalise, sum_up
from smidgen.model.records import Interval, TextErrors

# (N,): int64 labels, or texts as objects.
Answers = NDArray[Any]


@dataclass(frozen=True)
class Reading:
    """What a reader made of each image: its answers `(N,)`, and how sure it is of each `(N,)`; 1 if it does not say."""

    answers: Answers
    sureness: NDArray[np.float32]

    @staticmethod
    def of(answers: Sequence[int | str]) -> "Reading":
        """Answers of a reader that does not say how sure it is."""
        kind = object if any(isinstance(answer, str) for answer in answers) else np.int64
        return Reading(np.array(answers, kind), np.ones(len(answers), np.float32))

    @staticmethod
    def join(parts: "Sequence[Reading]") -> "Reading":
        """Of several lots of images, one after the other."""
        return Reading(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("answers", "sureness")))

    @property
    def is_text(self) -> bool:
        """Whether the answers are texts."""
        return self.answers.dtype == object


@dataclass(frozen=True)
class Truth:
    """What the images are.

    Attributes:
        answers: (N,).
        counted: (N,), whether the image counts.
        by: "labels", "texts", or "reader" where the truth is what it reads in the clean image, counted only where it
            is sure.
    """

    answers: Answers
    counted: NDArray[np.bool_]
    by: str

    @property
    def is_text(self) -> bool:
        """Whether the answers are texts."""
        return self.answers.dtype == object


@runtime_checkable
class Reader(Protocol):
    """Who or what reads images: the digit reader that ships, Tesseract, a function of the user's."""

    @property
    def name(self) -> str:
        """For tables and reports."""

    @property
    def reads_text(self) -> bool:
        """Whether its answers are texts, as far as that is known before it reads."""

    def refuse(self, pairs: Pairs) -> str:
        """A sentence that says why it cannot be asked of such images, or nothing."""

    def read(self, images: Collection) -> Reading:
        """Read images `(H, W, C)`; what leaves [0, 1] is clipped."""

    def find_truth(self, pairs: Pairs, clean: Reading) -> Truth | str:
        """What the images are, from what it read in the clean ones, or a sentence that says why that is not known."""


def find_truth(reader: Reader, pairs: Pairs) -> tuple[Truth, Reading] | str:
    """What the images are, and what the reader made of the clean ones; or a sentence that says why it is not asked."""
    if refusal := reader.refuse(pairs):
        return refusal
    clean = reader.read(pairs.clean)
    truth = reader.find_truth(pairs, clean)
    return truth if isinstance(truth, str) else (truth, clean)


def find_text(pairs: Pairs, clean: Reading) -> Truth | str:
    """What pages say: their texts, or what was read in the clean ones. Those that say nothing do not count."""
    said = clean.answers if pairs.texts is None else np.array(list(pairs.texts), object)
    counted = np.array([bool(normalise(text)) for text in said.tolist()], bool)
    if not counted.any():
        return "no text was found in the clean images" if pairs.texts is None else "the transcripts are empty"
    return Truth(said, counted, "reader" if pairs.texts is None else "texts")


def legibility(read: Reading, truth: Truth) -> Interval:
    """The share read right, with its 95 % interval: of images, Wilson's; of text 1 − CER, by the bootstrap."""
    if truth.is_text:
        return text_errors(read, truth).legibility
    right = (read.answers == truth.answers) & truth.counted
    return Interval.of(int(right.sum()), int(truth.counted.sum()))


def text_errors(read: Reading, truth: Truth) -> TextErrors:
    """What is read wrong of text.

    Raises:
        MissingPartError: rapidfuzz is not installed.
    """
    return sum_up(find_mistakes(*(part.answers[truth.counted].tolist() for part in (read, truth))))


def are_digits(read: Reading, truth: Truth) -> bool:
    """Whether all answers are digits."""
    every = read.answers, truth.answers
    return not truth.is_text and all(((part >= 0) & (part <= 9)).all() for part in every)


def legibility_by_digit(read: Reading, truth: Truth) -> dict[str, Interval]:
    """The share of each digit that is read right, of those that occur."""
    table = {}
    for digit in range(10):
        mine = truth.counted & (truth.answers == digit)
        if mine.any():
            table[str(digit)] = Interval.of(int((read.answers[mine] == digit).sum()), int(mine.sum()))
    return table


def confusion(read: Reading, truth: Truth) -> NDArray[np.int64]:
    """(10, 10): how often each digit, by row, was read as which."""
    table = np.zeros((10, 10), np.int64)
    np.add.at(table, (truth.answers[truth.counted], read.answers[truth.counted]), 1)
    return table
