"""The tasks on stamps of 28 x 28: digits and garments, spoiled by garments or by noise."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Images, Shapes, shapes_of, spread_places
from smidgen.data.corruptions import SEED, Overlay
from smidgen.data.mnist import LABEL_NAMES, LICENCE, Archive, load_full, load_sample
from smidgen.data.pairs import Batch, Dataset, Labels, Pairs


@dataclass(frozen=True)
class StampTask:
    """How a task makes its pairs of two archives, or of one and noise.

    Attributes:
        clean: the archive whose images are to be recovered.
        other: the archive of the garments laid over them, or None for Gaussian noise.
        corruption: of a clean image and a garment, or of a clean image and N(0, 1).
        sample: whether only the embedded sample is used.
    """

    clean: str
    other: str | None
    corruption: Overlay
    sample: bool = False

    def open(self, name: str, data: Path | None) -> Dataset:
        """The pairs under this name, for a sigmoid, which was measured to suit them; `data` as of `load_full`.

        Raises:
            FileError: the files of the full sets are not to be had.
        """
        clean = self._load(self.clean, data)
        other = self._load(self.other, data) if self.other else None

        def fixed(part: str) -> Pairs:
            laid_over = (None, None) if other is None else (getattr(other, part), getattr(other, f"{part}_labels"))
            return _fixed_pairs(
                getattr(clean, part), laid_over[0], getattr(clean, f"{part}_labels"), self.corruption, laid_over[1]
            )

        return Dataset(
            name=name,
            train=FreshSource(clean.train, other.train if other else None, clean.train_labels, self.corruption),
            val=fixed("val"),
            test=fixed("test"),
            fingerprint=f"{name} seed {SEED}",
            licence=LICENCE,
            fresh=True,
            label_names=LABEL_NAMES[self.clean],
            partner_names=LABEL_NAMES[self.other] if self.other else (),
        )

    def examples(self, n: int) -> Pairs:
        """The first `n` test pairs of the embedded sample."""
        return replace(self, sample=True).open("", None).test.first(n)

    def _load(self, archive: str, data: Path | None) -> Archive:
        return load_sample(archive) if self.sample else load_full(archive, data)


@dataclass(frozen=True)
class FreshSource:
    """Clean images corrupted anew each epoch: paired afresh with others, or with fresh noise."""

    clean: NDArray[np.uint8]  # (N, 28, 28)
    other: NDArray[np.uint8] | None  # (N, 28, 28)
    labels: Labels
    corruption: Overlay

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def shapes(self) -> Shapes:
        """Of all images."""
        return shapes_of(self.clean[..., None])

    def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0) -> Iterator[Batch]:
        """One epoch of whole images; the last batch holds what is left."""
        order = generator.permutation(len(self.clean))
        partners = None if self.other is None else generator.permutation(len(self.other))
        for start in range(0, len(order), batch_size):
            clean = _unit(self.clean[order[start : start + batch_size]])
            if self.other is None or partners is None:
                other = generator.standard_normal(clean.shape, dtype=np.float32)
            else:
                other = _unit(self.other[partners[start : start + len(clean)]])
            yield [(self.corruption(clean, other), clean)]

    def example(self, n: int) -> Pairs:
        """The first `n` clean images, each with a fixed partner or fixed noise."""
        other = None if self.other is None else self.other[:n]
        return _fixed_pairs(self.clean[:n], other, self.labels[:n], self.corruption)

    def spread(self, n: int) -> Pairs:
        """At most `n` clean images from all over, each with a fixed partner or fixed noise."""
        places = spread_places(len(self), n)
        other = None if self.other is None else self.other[places]
        return _fixed_pairs(self.clean[places], other, self.labels[places], self.corruption)


def _unit(images: NDArray[np.uint8]) -> Images:
    """(N, 28, 28) 0..255 -> (N, 28, 28, 1) 0..1."""
    return images[..., None].astype(np.float32) / np.float32(255)


def _fixed_pairs(
    clean: NDArray[np.uint8],
    other: NDArray[np.uint8] | None,
    labels: Labels,
    corruption: Overlay,
    other_labels: Labels | None = None,
) -> Pairs:
    """Image i with partner `permutation(n)[i]`, or with noise of the task's seed."""
    images = _unit(clean)
    generator = np.random.default_rng(SEED)
    partners = None
    if other is None:
        partner = generator.standard_normal((len(clean), 28, 28), dtype=np.float32)[..., None]
    else:
        order = generator.permutation(len(clean))
        partner = _unit(other[order])
        partners = None if other_labels is None else other_labels[order]
    return Pairs(corruption(images, partner), images, labels, partners)
