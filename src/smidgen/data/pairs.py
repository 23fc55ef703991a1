"""Noisy and clean images that belong together, and the sources a training draws them from."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smidgen.data.origin import Corrupted, Found, Origin
from smidgen.data.scale import UNIT_SCALES, Scales

Images = NDArray[np.float32]  # (N, H, W, C), 0 is black and 1 is white
Labels = NDArray[np.int64]  # (N,)
_EXAMPLES = 1000


@dataclass(frozen=True)
class Pairs:
    """Images `(N, H, W, C)`, float32.

    Attributes:
        noisy: the images as given; noise may leave [0, 1].
        clean: what they should be, in [0, 1].
        labels: (N,), what the clean images show, where that is known.
        partners: (N,), labels of what was laid over them, where that is known.
    """

    noisy: Images
    clean: Images
    labels: Labels | None = None
    partners: Labels | None = None

    def __len__(self) -> int:
        return len(self.clean)

    def first(self, n: int) -> "Pairs":
        """The first `n` pairs."""
        labels, partners = (None if part is None else part[:n] for part in (self.labels, self.partners))
        return Pairs(self.noisy[:n], self.clean[:n], labels, partners)


class PairSource(Protocol):
    """Where a training gets its pairs from."""

    def __len__(self) -> int:
        """Pairs in one epoch."""

    def batches(self, batch_size: int, generator: np.random.Generator) -> Iterator[tuple[Images, Images]]:
        """One epoch of (noisy, clean) batches `(B, H, W, C)` in an order drawn from `generator`."""

    def example(self, n: int) -> Pairs:
        """`n` fixed pairs as training sees them, the same at each call."""

    @property
    def labels(self) -> Labels | None:
        """Of all pairs, where they are known."""


@dataclass(frozen=True)
class FixedSource:
    """Pairs given once and shown in a new order each epoch."""

    pairs: Pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def batches(self, batch_size: int, generator: np.random.Generator) -> Iterator[tuple[Images, Images]]:
        """One epoch; the last batch holds what is left."""
        order = generator.permutation(len(self.pairs))
        for start in range(0, len(order), batch_size):
            index = order[start : start + batch_size]
            yield self.pairs.noisy[index], self.pairs.clean[index]

    def example(self, n: int) -> Pairs:
        """The first `n` pairs."""
        return self.pairs.first(n)

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
        label_names, partner_names: what labels and partners 0, 1, … mean, where they are not digits.
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
    label_names: tuple[str, ...] = ()
    partner_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def part(self, split: str) -> Pairs:
        """The pairs to score on: "val" or "test"."""
        return self.test if split == "test" else self.val

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        height, width, channels = self.val.clean.shape[1:]
        return height, width, channels

    @property
    def pixels(self) -> int:
        """H·W of every image."""
        height, width, _ = self.shape
        return height * width

    @functools.cached_property
    def origin(self) -> Origin:
        """What a model and a report record of this data set."""
        example = self.train.example(_EXAMPLES)
        return Origin(
            name=self.name,
            fingerprint=self.fingerprint,
            source_fingerprint=self.source_fingerprint,
            found=self.found,
            licence=self.licence,
            shape=self.shape,
            sizes={"train": len(self.train), "val": len(self.val), "test": len(self.test)},
            means={name: round(float(getattr(example, name).mean()), 4) for name in ("noisy", "clean")},
            fresh=self.fresh,
            corrupted=self.corrupted,
        )
