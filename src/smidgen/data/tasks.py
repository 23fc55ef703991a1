"""The named tasks: clean set, corruption, split and seed, exact enough to compare figures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Images, Shapes, shapes_of, spread_places
from smidgen.data.corruptions import Overlay, add_noise, average, maximum
from smidgen.data.mnist import LABEL_NAMES, LICENCE, Archive, load_full, load_sample
from smidgen.data.pairs import Batch, Dataset, Labels, Pairs
from smidgen.errors import InputError
from smidgen.network.spec import OUTPUTS

SEED = 0
DEFAULT_TASK = "digits-on-garments"
SAMPLE_TASK = "digits-on-garments-sample"


@dataclass(frozen=True)
class Task:
    """How a named task makes its pairs.

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


TASKS = {
    DEFAULT_TASK: Task("mnist", "fashion-mnist", average),
    "digits-under-garments": Task("mnist", "fashion-mnist", maximum),
    "digits-in-noise": Task("mnist", None, add_noise),
    "garments-in-noise": Task("fashion-mnist", None, add_noise),
    SAMPLE_TASK: Task("mnist", "fashion-mnist", average, sample=True),
}


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


def load_task(name: str, data: Path | None = None, output: str | None = None) -> Dataset:
    """A named task as a data set.

    Args:
        name: one of `TASKS`.
        data: the folder with the original files; see `load_full`.
        output: of the network, in place of the sigmoid that was measured to suit these tasks.

    Raises:
        InputError: no task has that name.
        FileError: the files of the full sets are not to be had.
    """
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}", expected=f"one of {', '.join(TASKS)}")
    return replace(_open(name, TASKS[name], data), output=output or OUTPUTS[0])


def example_pairs(name: str, n: int) -> Pairs:
    """A task's first `n` test pairs, of the embedded sample; none for other names."""
    task = TASKS.get(name)
    return _open(name, replace(task or TASKS[SAMPLE_TASK], sample=True), None).test.first(n if task else 0)


def _open(name: str, task: Task, data: Path | None) -> Dataset:
    def load(archive: str) -> Archive:
        return load_sample(archive) if task.sample else load_full(archive, data)

    clean = load(task.clean)
    other = load(task.other) if task.other else None

    def fixed(part: str) -> Pairs:
        laid_over = (None, None) if other is None else (getattr(other, part), getattr(other, f"{part}_labels"))
        return _fixed_pairs(
            getattr(clean, part), laid_over[0], getattr(clean, f"{part}_labels"), task.corruption, laid_over[1]
        )

    return Dataset(
        name=name,
        train=FreshSource(clean.train, other.train if other else None, clean.train_labels, task.corruption),
        val=fixed("val"),
        test=fixed("test"),
        fingerprint=f"{name} seed {SEED}",
        licence=LICENCE,
        fresh=True,
        label_names=LABEL_NAMES[task.clean],
        partner_names=LABEL_NAMES[task.other] if task.other else (),
    )


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
