"""Which reader is asked: by name, a function, or the one that suits the images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from smidgen.data.collection import Collection, Image, stacks
from smidgen.data.pairs import Pairs
from smidgen.errors import InputError
from smidgen.judging.digits import Digits
from smidgen.judging.legibility import Reader, Reading, Truth, find_text
from smidgen.judging.tesseract import INSTALL, Tesseract, is_installed, require
from smidgen.judging.text import can_compare, require_comparing

READERS = ("digits", "tesseract")
LANGUAGE = "eng"
# Reads an image (H, W, C) in [0, 1] as a label or as a text.
ReadOne = Callable[[Image], int | str]


@dataclass(frozen=True)
class Function:
    """A function of the user's as a reader."""

    read_one: ReadOne
    name: str = ""
    reads_text: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or getattr(self.read_one, "__name__", "a function"))

    def refuse(self, pairs: Pairs) -> str:
        """It reads any images."""
        return ""

    def read(self, images: Collection) -> Reading:
        """Its answers, one after the other.

        Raises:
            InputError: some are texts and some numbers, or something else.
        """
        answers = [self.read_one(np.clip(image, 0, 1)) for _, (some,) in stacks(images) for image in some]
        if not any(all(isinstance(answer, kind) for answer in answers) for kind in (str, int | np.integer)):
            kinds = ", ".join(sorted({type(answer).__name__ for answer in answers}))
            raise InputError(f"the reader {self.name} gave {kinds}", expected="only texts, or only whole numbers")
        return Reading.of(answers)

    def find_truth(self, pairs: Pairs, clean: Reading) -> Truth | str:
        """The texts or labels; without them what it reads in the clean images."""
        if clean.is_text:
            return find_text(pairs, clean)
        labels, by = (clean.answers, "reader") if pairs.labels is None else (pairs.labels, "labels")
        return Truth(labels, np.ones(len(pairs), bool), by)


def choose_reader(
    pairs: Pairs, wanted: "str | Reader | ReadOne | None" = None, language: str = LANGUAGE
) -> Reader | str:
    """The reader for some pairs.

    Args:
        pairs: to be read.
        wanted: one of `READERS`, a reader, or a function; None takes Tesseract where the pairs have texts, and else the
            digit reader.
        language: for Tesseract.

    Returns:
        The reader, or a sentence that says why there is none.

    Raises:
        InputError: there is no such reader, or the one that was asked for cannot read.
    """
    if wanted is None:
        if pairs.texts is None:
            return Digits()
        if not is_installed():
            return f"the pages have texts, and Tesseract is not installed. {INSTALL}"
        if not can_compare():
            return "the pages have texts; pip install 'smidgen[ocr]' brings what compares them with what is read"
        wanted = READERS[1]
    if wanted == READERS[0]:
        return Digits()
    if wanted == READERS[1]:
        require(language)
        require_comparing()
        return Tesseract(language)
    if isinstance(wanted, str):
        raise InputError(f"there is no reader {wanted!r}", expected=f"one of {', '.join(READERS)}")
    return wanted if isinstance(wanted, Reader) else Function(wanted)
