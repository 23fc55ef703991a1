"""The maker of pages: noisy and clean ones, for each part from faces, texts and damage of its own."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smidgen.pages.faces import find_faces, find_files
from smidgen.pages.layout import Stock, set_page
from smidgen.pages.texts import load_texts, read_texts

if TYPE_CHECKING:
    from smidgen.pages.fields import Fields

PARTS = ("train", "val", "test")
DPI = (100, 300)
A4 = (11.69, 8.27)  # inches
_BACKS, _BACK_SIDE = 6, 1024


@dataclass(frozen=True)
class Page:
    """A made page.

    Attributes:
        noisy, clean: `(H, W)`, 0 is black and 255 is white; nothing lies elsewhere in one than in the other.
        text: what it says, line by line.
        pictures: how many are printed on it.
    """

    noisy: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    text: str
    pictures: int


@dataclass(frozen=True)
class PageMaker:
    """Makes the pages of one part.

    Attributes:
        part: "train", "val" or "test".
        stock: faces, texts and pictures.
    """

    part: str
    stock: Stock

    @functools.cached_property
    def fields(self) -> "Fields":
        """What its damage is taken from; the same for all makers of a part."""
        from smidgen.pages.fields import make_fields  # scipy, which not every installation has

        generator = np.random.default_rng([PARTS.index(self.part), 1])
        own = Stock(find_faces(self.part), load_texts(self.part))
        backs = [
            set_page(own, _BACK_SIDE, _BACK_SIDE, generator, dpi=generator.uniform(*DPI), whole=False).image
            for _ in range(_BACKS)
        ]
        return make_fields(backs, generator)

    def make(
        self, height: int, width: int, generator: np.random.Generator, *, dpi: float = 0, whole: bool = True
    ) -> Page:
        """Make a page.

        Args:
            height, width: in pixels.
            generator: draws everything; the same draws the same page.
            dpi: pixels an inch; 0 draws it from `DPI`.
            whole: whether the text keeps within margins; else it is a part of a larger page.
        """
        from smidgen.pages.damage import spoil

        dpi = dpi or generator.uniform(*DPI)
        sheet = set_page(self.stock, height, width, generator, dpi=dpi, whole=whole)
        return Page(spoil(sheet, self.fields, generator, self.part), sheet.image, sheet.text, sheet.pictures)


def make_maker(
    part: str,
    pictures: Sequence[NDArray[np.float32]] = (),
    *,
    fonts: Path | None = None,
    texts: Path | None = None,
) -> PageMaker:
    """The maker of a part.

    Args:
        part: "train", "val" or "test".
        pictures: `(H, W)` in [0, 1], to print among the text.
        fonts: a folder of font files, to set pages in these, too.
        texts: a text file, to set pages from this alone.

    Raises:
        MissingPartError: a package that brings fonts is not installed.
        FileError: the fonts or texts cannot be read.
    """
    faces = find_faces(part) + (find_files(fonts) if fonts else [])
    return PageMaker(part, Stock(faces, read_texts(texts) if texts else load_texts(part), pictures))
