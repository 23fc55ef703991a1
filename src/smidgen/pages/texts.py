"""The texts that pages are set from, each of one part alone."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np

from smidgen.errors import FileError
from smidgen.files import read_file

_MOST_BYTES = 256 * 2**20
_SHORTEST = 20  # characters of a file that pages can be set from


def load_texts(part: str) -> list[str]:
    """The paragraphs of "train", "val" or "test"; `texts/LICENCES.md` tells whose they are."""
    return _paragraphs((resources.files("smidgen.pages") / "texts" / f"{part}.txt").read_text(encoding="utf-8"))


def read_texts(path: Path) -> list[str]:
    """The user's: a text file, a paragraph a line.

    Raises:
        FileError: it cannot be read, is not UTF-8, or holds next to nothing.
    """
    try:
        paragraphs = _paragraphs(read_file(path, _MOST_BYTES).decode())
    except UnicodeDecodeError:
        raise FileError(f"{path} is not UTF-8") from None
    if sum(map(len, paragraphs)) < _SHORTEST:
        raise FileError(f"{path} holds no text", expected="paragraphs, each on a line of its own")
    return paragraphs


def read_on(paragraphs: list[str], generator: np.random.Generator) -> Iterator[list[str]]:
    """The words of one paragraph after the other, without end, from one that is drawn."""
    start = int(generator.integers(len(paragraphs)))
    while True:
        yield paragraphs[start % len(paragraphs)].split()
        start += 1


def _paragraphs(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
