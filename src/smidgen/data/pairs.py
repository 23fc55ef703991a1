"""Noisy and clean images that belong together, and the sources a training draws them from."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import (
    Collection,
    Images,
    Shapes,
    first,
    first_pieces,
    group_by_size,
    pick,
    read,
    shapes_of,
    spread_places,
)
from smidgen.data.crops import draw_batches, measure_epoch
from smidgen.data.origin import Corrupted, Found, Origin, WithoutClean
from smidgen.data.scale import UNIT_SCALES, Scales
from smidgen.network.spec import OUTPUTS

Labels = NDArray[np.int64]  # (N,)
# Noisy and clean images side by side, (N, H, W, C) for each size there is.
Batch = list[tuple[Images, Images]]
_EXAMPLES, _EXAMPLE_VALUES = 1000, 16_000_000


@dataclass(frozen=True)
class Pairs:
    """Noisy and clean images of the same sizes, float32.

    Attributes:
        noisy: the images as given; noise may leave [0, 1].
        clean: what they should be, in [0, 1].
        labels: (N,), what the clean images show, where that is known.
        partners: (N,), labels of what was laid over them, where that is known.
        names: (N,), what the images are called, where they have names.
        texts: (N,), what the clean images say, where that is known.
    """

    noisy: Collection
    clean: Collection
    labels: Labels | None = None
    partners: Labels | None = None
    names: tuple[str, ...] | None = None
    texts: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.clean)

    def first(self, n: int) -> "Pairs":
        """The first `n` pairs."""
        labels, partners = (None if part is None else part[:n] for part in (self.labels, self.partners))
        names = None if self.names is None else self.names[:n]
        texts = None if self.texts is None else self.texts[:n]
        return Pairs(first(self.noisy, n), first(self.clean, n), labels, partners, names, texts)

    def pick(self, places: NDArray[np.int64]) -> "Pairs":
        """The pairs at some places."""
        labels, partners = (None if part is None else part[places] for part in (self.labels, self.partners))
        names = None if self.names is None else tuple(self.names[place] for place in places.tolist())
        texts = None if self.texts is None else [self.texts[place] for place in places.tolist()]
        return Pairs(pick(self.noisy, places), pick(self.clean, places), labels, partners, names, texts)


class PairSource(Protocol):
    """Where a training gets its pairs from."""

    def __len__(self) -> int:
        """Images there are."""

    @property
    def shapes(self) -> Shapes:
        """Of all images."""

    def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0) -> Iterator[Batch]:
        """One epoch in an order drawn from `generator`; see `draw_batches`."""

    def example(self, n: int) -> Pairs:
        """`n` fixed pairs as training sees them, the same at each call; whole images."""

    def spread(self, n: int) -> Pairs:
        """The same of pairs from all over."""

    @property
    def labels(self) -> Labels | None:
        """Of all pairs, where they are known."""


@dataclass(frozen=True)
class FixedSource:
    """Pairs given once and shown in a new order each epoch, large images in cells."""

    pairs: Pairs

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def shapes(self) -> Shapes:
        """Of all images."""
        return shapes_of(self.pairs.clean)

    def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0) -> Iterator[Batch]:
        """One epoch; the last batch holds what is left."""
        for windows in draw_batches(self.shapes, crop, batch_size, generator):
            groups = group_by_size(windows)
            yield [(read(self.pairs.noisy, group), read(self.pairs.clean, group)) for group in groups]

    def example(self, n: int) -> Pairs:
        """The first `n` pairs."""
        return self.pairs.first(n)

    def spread(self, n: int) -> Pairs:
        """At most `n` pairs from all over."""
        return self.pairs.pick(spread_places(len(self), n))

    @property
    def labels(self) -> Labels | None:
        """Of all pairs, where they are known."""
        return self.pairs.labels


@dataclass(frozen=True)
class Dataset:
    """Pairs split for training, choosing and publishing, and what must be recorded about them.

    Attributes:
        name: a task's name, or what the pairs were read from.
        train: what training draws from.
        val, test: fixed pairs; everything is chosen on `val`, `test` is for published figures.
        scales: the rules by which X and y were normalised.
        fingerprint, source_fingerprint, found: see `Origin`.
        licence: of the images, where known.
        fresh: whether pairing and noise are drawn afresh each epoch.
        corrupted: how the noisy images were made, where that was asked for.
        resolution: the lowest and the highest, in pixels an inch, of pages that were made.
        label_names, partner_names: what labels and partners 0, 1, … mean, where they are not digits.
        output, output_reason: the kind of output that networks are to have, and a sentence that says why, if it was
            chosen here.
        flips: whether images mirrored and turned by quarters are like these, so that training shows them so by itself.
        whole: whether every part is all of the pairs, to score a model that saw none of them.
        without_clean: how to learn where there are noisy images alone: then "clean" ones are second shots, or the same.
        chosen_on: what the epoch is chosen on, where that is not `val`.
        floor: without clean images, the error of a perfect output against the targets there.
        warnings: what looked odd and was let through.
    """

    name: str
    train: PairSource
    val: Pairs
    test: Pairs
    scales: Scales = UNIT_SCALES
    fingerprint: str = ""
    source_fingerprint: str = ""
    found: dict[str, Found] = field(default_factory=dict)
    licence: str = ""
    fresh: bool = False
    corrupted: Corrupted | None = None
    resolution: tuple[float, float] | None = None
    label_names: tuple[str, ...] = ()
    partner_names: tuple[str, ...] = ()
    output: str = OUTPUTS[0]
    output_reason: str = ""
    flips: bool = False
    whole: bool = False
    without_clean: WithoutClean | None = None
    chosen_on: Pairs | None = None
    floor: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def choosing(self) -> Pairs:
        """What the epoch is chosen on."""
        return self.chosen_on or self.val

    def part(self, split: str) -> Pairs:
        """The pairs to score on: "val" or "test"."""
        return self.test if split == "test" else self.val

    def to_score(self, split: str | None) -> tuple[str, Pairs]:
        """The pairs to score a model on and what to call them: those asked for, or all of what it never saw, or val."""
        return ("all", self.val) if self.whole else (split or "val", self.part(split or "val"))

    @property
    def channels(self) -> int:
        """Of every image."""
        return int(shapes_of(self.val.clean)[0, 2])

    def measure(self, crop: int) -> tuple[int, int]:
        """How much one epoch shows: so many examples of so many pixels, about where they differ."""
        return measure_epoch(self.train.shapes, crop)

    @functools.cached_property
    def extent(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The smallest and the largest height and width of the images."""
        shapes = np.concatenate([self.train.shapes, shapes_of(self.val.clean), shapes_of(self.test.clean)])
        low, high = (tuple(ends.tolist()) for ends in (shapes.min(0), shapes.max(0)))
        return low[:2], high[:2]

    @functools.cached_property
    def origin(self) -> Origin:
        """What a model and a report record of this data set."""
        example = self.train.example(_EXAMPLES)
        low, high = self.extent
        return Origin(
            name=self.name,
            fingerprint=self.fingerprint,
            source_fingerprint=self.source_fingerprint,
            found=self.found,
            licence=self.licence,
            shape=(*low, self.channels) if low == high else None,
            extent=None if low == high else (low, high),
            sizes={"train": len(self.train), "val": len(self.val), "test": len(self.test)},
            means={name: round(_mean(getattr(example, name)), 4) for name in ("noisy", "clean")},
            fresh=self.fresh,
            corrupted=self.corrupted,
            resolution=self.resolution,
            without_clean=self.without_clean,
        )


def _mean(images: Collection) -> float:
    """Of the first images, as far as they are soon read."""
    total, count = 0.0, 0
    for windows in first_pieces(shapes_of(images), _EXAMPLE_VALUES):
        part = read(images, windows)
        total, count = total + float(part.sum(dtype=np.float64)), count + part.size
    return total / max(1, count)
