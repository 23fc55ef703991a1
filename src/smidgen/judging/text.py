"""How much of a text is read wrong: CER and WER, the shares of characters and of words to be mended."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import MissingPartError
from smidgen.model.records import TextErrors

_DRAWS = 2000


@dataclass(frozen=True)
class Mistakes:
    """Of each page that says anything, the edits between what was read and what it says.

    An edit puts in, takes out or changes one character (Levenshtein's distance), or one word.

    Attributes:
        edits, characters: (N,), edits and what the page says; no page has more edits than characters, so one that was
            read as nothing, or as endless rubbish, counts as wholly wrong and no more.
        word_edits, words: the same of words.
    """

    edits: NDArray[np.int64]
    characters: NDArray[np.int64]
    word_edits: NDArray[np.int64]
    words: NDArray[np.int64]

    def pool(self, groups: Sequence[int]) -> "Mistakes":
        """Of several parts of the same page those of the page: parts of one group are added up.

        Args:
            groups: (N,), the page that each is of.
        """
        _, group = np.unique(groups, return_inverse=True)
        return Mistakes(*(np.bincount(group, part).astype(np.int64) for part in vars(self).values()))

    @property
    def rates(self) -> NDArray[np.float64]:
        """CER of each page, (N,)."""
        return np.asarray(self.edits / self.characters)


def normalise(text: str) -> str:
    """Unicode's NFC, with one space for whitespace of any length and none at the ends; nothing else is forgiven."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def can_compare() -> bool:
    """Whether what compares texts is installed."""
    return find_spec("rapidfuzz") is not None


def require_comparing() -> None:
    """Make sure of it.

    Raises:
        MissingPartError: rapidfuzz is not installed.
    """
    if not can_compare():
        raise MissingPartError("rapidfuzz", "Comparing texts", "ocr")


def find_mistakes(read: Sequence[str], said: Sequence[str]) -> Mistakes:
    """Compare what was read with what the pages say, both normalised; pages that say nothing are passed over.

    Raises:
        MissingPartError: rapidfuzz is not installed.
    """
    require_comparing()
    from rapidfuzz.distance import Levenshtein

    table = []
    for one, other in zip(read, said, strict=True):
        mine, truth = normalise(one), normalise(other)
        if truth:
            row = []
            for answer, right in ((mine, truth), (mine.split(), truth.split())):
                row += [min(Levenshtein.distance(answer, right), len(right)), len(right)]
            table.append(row)
    return Mistakes(*np.array(table, np.int64).reshape(-1, 4).T)


def sum_up(mistakes: Mistakes) -> TextErrors:
    """The scores of some pages, at least one; see `TextErrors`."""
    n = len(mistakes.edits)
    drawn = np.random.default_rng(0).integers(n, size=(_DRAWS, n))
    pooled = mistakes.edits[drawn].sum(1) / mistakes.characters[drawn].sum(1)
    low, high = np.quantile(pooled, (0.025, 0.975)).tolist()
    rates = np.sort(mistakes.rates)
    cer = float(mistakes.edits.sum() / mistakes.characters.sum())
    return TextErrors(
        cer=cer,
        low=min(low, cer),
        high=max(high, cer),
        mean=float(rates.mean()),
        worst_tenth=float(rates[-max(1, round(n / 10)) :].mean()),
        wer=float(mistakes.word_edits.sum() / mistakes.words.sum()),
        n=n,
        characters=int(mistakes.characters.sum()),
    )
