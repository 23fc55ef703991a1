"""Legibility: the share of images that a digit reader reads as what they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Collection, shapes_of, stacks
from smidgen.data.pairs import Labels, Pairs
from smidgen.judging.reader import digit_probabilities
from smidgen.model.records import Interval

# The reader is only asked where it can read: it must read this share of the clean images right,
# or, where there are no labels, be sure about that share of them.
_FEWEST_CLEAN_READ = 0.9
_FEWEST_CLEAN_SURE = 0.5
SURE = 0.99
_AT_ONCE = 1000


@dataclass(frozen=True)
class Reading:
    """What the reader made of each image: the digit `(N,)` and how sure it is of it `(N,)`."""

    digits: NDArray[np.int64]
    sureness: NDArray[np.float32]

    @staticmethod
    def join(parts: "Sequence[Reading]") -> "Reading":
        """Of several lots of images, one after the other."""
        return Reading(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("digits", "sureness")))


@dataclass(frozen=True)
class Truth:
    """What the images are.

    Attributes:
        digits: (N,).
        counted: (N,), whether the image counts.
        by: "labels", or "reader" where the truth is what it reads in the clean image, counted
            only where it is at least 99 % sure.
    """

    digits: Labels
    counted: NDArray[np.bool_]
    by: str


def read_digits(images: Collection) -> Reading:
    """Let the shipped reader read 28 x 28 images of one channel, white on black; what leaves [0, 1] is clipped."""
    parts = []
    for _, (some,) in stacks(images, most_values=_AT_ONCE * 28 * 28):
        probability = digit_probabilities(np.clip(some, 0, 1))
        parts.append(Reading(probability.argmax(1), probability.max(1)))
    return Reading.join(parts)


def find_truth(pairs: Pairs) -> Truth | str:
    """What the images are, or a sentence that says why the reader cannot be asked."""
    shapes = shapes_of(pairs.clean)
    other = np.flatnonzero((shapes != (28, 28, 1)).any(1))
    if len(other):
        height, width, channels = shapes[other[0]].tolist()
        which = "these are" if (shapes == shapes[0]).all() else "one is"
        return f"the digit reader takes images of 28 x 28 x 1; {which} {height} x {width} x {channels}"
    clean = read_digits(pairs.clean)
    if pairs.labels is not None:
        right = float((clean.digits == pairs.labels).mean())
        if right < _FEWEST_CLEAN_READ:
            return (
                f"the digit reader reads only {right:.0%} of the clean images as labelled; they are probably not digits"
            )
        return Truth(pairs.labels, np.ones(len(pairs), bool), "labels")
    counted = clean.sureness >= SURE
    if counted.mean() < _FEWEST_CLEAN_SURE:
        return f"there are no labels, and the digit reader is sure about only {counted.mean():.0%} of the clean images"
    return Truth(clean.digits, counted, "reader")


def legibility(read: Reading, truth: Truth) -> Interval:
    """The share read right, with its 95 % Wilson interval."""
    right = (read.digits == truth.digits) & truth.counted
    return Interval.of(int(right.sum()), int(truth.counted.sum()))


def legibility_by_digit(read: Reading, truth: Truth) -> dict[str, Interval]:
    """The same for each digit that occurs."""
    table = {}
    for digit in range(10):
        mine = truth.counted & (truth.digits == digit)
        if mine.any():
            table[str(digit)] = Interval.of(int((read.digits[mine] == digit).sum()), int(mine.sum()))
    return table


def confusion(read: Reading, truth: Truth) -> NDArray[np.int64]:
    """(10, 10): how often each digit, by row, was read as which."""
    table = np.zeros((10, 10), np.int64)
    np.add.at(table, (truth.digits[truth.counted], read.digits[truth.counted]), 1)
    return table
