"""The task `pages`: made scans, drawn afresh to train on, the same ones at each call to validate and test on."""

import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import overload

import numpy as np

from smidgen.data.collection import ImageCollection, Images, ScaledImages, Shapes, Window, shapes_of, spread_places
from smidgen.data.pairs import Batch, Dataset, FixedSource, Pairs
from smidgen.data.sample_pictures import load_pictures
from smidgen.data.scale import Scale
from smidgen.network.spec import OUTPUTS
from smidgen.pages.maker import DPI, PARTS, Page, PageMaker, make_maker

# Pages of each part, and their height and width: to train on, parts of pages; else whole ones.
_COUNTS = {"train": 96, "val": 24, "test": 100}
_SIZES = {"train": (512, 512), "val": (768, 576), "test": (1120, 800)}
_BYTE = Scale(0, 255)
_EDITION = 4  # to be raised with every change in what is made
LICENCE = "texts: public domain and MIT (spaCy); faces: Bitstream Vera, STIX, OFL, Apache 2.0, Ubuntu"


@dataclass(frozen=True, eq=False)
class _Shelf:
    """The pages of a part, each made when it is first asked for; page i is drawn by a generator of its own."""

    maker: PageMaker
    made: dict[int, Page] = field(default_factory=dict)

    def page(self, number: int) -> Page:
        if number not in self.made:
            part = self.maker.part
            generator = np.random.default_rng([PARTS.index(part), 2, number])
            self.made[number] = self.maker.make(*_SIZES[part], generator, whole=part != PARTS[0])
        return self.made[number]


@dataclass(frozen=True, eq=False)
class _Side(ImageCollection):
    """The noisy or the clean images of some pages."""

    shelf: _Shelf
    places: Sequence[int]
    side: str

    def __post_init__(self) -> None:
        shape = (*_SIZES[self.shelf.maker.part], 1)
        object.__setattr__(self, "shapes", np.broadcast_to(np.array(shape, np.int64), (len(self.places), 3)))

    def read(self, windows: Sequence[Window]) -> Images:
        """Parts of images, all of one size."""
        pages = (getattr(self.shelf.page(self.places[number]), self.side) for number, _, _ in windows)
        parts = [page[rows, columns, None] for page, (_, rows, columns) in zip(pages, windows, strict=True)]
        return _BYTE.normalise(np.stack(parts))

    def first(self, n: int) -> "_Side":
        """The first `n`."""
        return _Side(self.shelf, self.places[:n], self.side)


@dataclass(frozen=True, eq=False)
class Texts(Sequence[str]):
    """What pages say."""

    shelf: _Shelf
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[str]: ...
    def __getitem__(self, number: int | slice) -> str | Sequence[str]:
        if isinstance(number, slice):
            return Texts(self.shelf, self.places[number])
        return self.shelf.page(self.places[number]).text


@dataclass(frozen=True)
class PageSource:
    """Pages made anew each epoch."""

    maker: PageMaker

    def __len__(self) -> int:
        return _COUNTS[self.maker.part]

    @property
    def shapes(self) -> Shapes:
        """Of all images."""
        return shapes_of(self._fixed.clean)

    @property
    def labels(self) -> None:
        """There are none."""
        return

    def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0) -> Iterator[Batch]:
        """One epoch of new pages; the last batch holds what is left."""
        height, width = _SIZES[self.maker.part]
        pages = [self.maker.make(height, width, generator, whole=False) for _ in range(len(self))]
        noisy, clean = (
            ScaledImages([getattr(page, side)[..., None] for page in pages], _BYTE) for side in ("noisy", "clean")
        )
        yield from FixedSource(Pairs(noisy, clean)).batches(batch_size, generator, crop)

    def example(self, n: int) -> Pairs:
        """The first `n` of the pages that stay the same."""
        return self._fixed.first(n)

    def spread(self, n: int) -> Pairs:
        """At most `n` of the pages that stay the same."""
        return self._fixed.pick(spread_places(len(self), n))

    @functools.cached_property
    def _fixed(self) -> Pairs:
        return _fixed_pairs(self.maker)


@dataclass(frozen=True)
class PageTask:
    """Made scans of pages.

    Attributes:
        fonts, texts: the user's, see `make_maker`; to train on, while validation and test stay as they are.
    """

    fonts: Path | None = None
    texts: Path | None = None

    def open(self, name: str, data: Path | None) -> Dataset:
        """The pairs under this name, for a sigmoid: ink on white is unlike what scanners see.

        Args:
            name: of the task.
            data: not needed.

        Raises:
            MissingPartError: a package that brings fonts is not installed.
            FileError: the fonts or texts cannot be read.
        """
        makers = {part: open_maker(part) for part in PARTS}
        makers["train"] = open_maker("train", fonts=self.fonts, texts=self.texts)
        own = "" if self == PageTask() else f" {_digest(makers['train'])}"
        return Dataset(
            name=name,
            train=PageSource(makers["train"]),
            val=_fixed_pairs(makers["val"]),
            test=_fixed_pairs(makers["test"]),
            fingerprint=f"{name} edition {_EDITION}{own}",
            licence=LICENCE,
            fresh=True,
            output=OUTPUTS[0],
            resolution=DPI,
        )

    def examples(self, n: int) -> Pairs:
        """At most `n` parts of test pages that ship with the package."""
        with np.load(io.BytesIO((resources.files("smidgen.data") / "sample" / "pages.npz").read_bytes())) as sample:
            noisy, clean = (_BYTE.normalise(sample[side][:n, ..., None]) for side in ("noisy", "clean"))
        return Pairs(noisy, clean)


def open_maker(part: str, *, fonts: Path | None = None, texts: Path | None = None) -> PageMaker:
    """The maker of a part, which prints the pictures that ship; see `make_maker`."""
    pictures = [picture[0, ..., 0] for picture in load_pictures().values()]
    return make_maker(part, pictures, fonts=fonts, texts=texts)


def _fixed_pairs(maker: PageMaker) -> Pairs:
    shelf = _Shelf(maker)
    places = range(_COUNTS[maker.part])
    names = tuple(f"page {place + 1}" for place in places)
    return Pairs(_Side(shelf, places, "noisy"), _Side(shelf, places, "clean"), names=names, texts=Texts(shelf, places))


def _digest(maker: PageMaker) -> str:
    """A short hash of what pages are set from."""
    digest = hashlib.sha256()
    for face in maker.stock.faces:
        digest.update(face.read())
    digest.update("\n".join(maker.stock.paragraphs).encode())
    return digest.hexdigest()[:16]
