"""Clean images alone: corrupted afresh each epoch to train on, once and for all to validate and test on."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from smidgen.data.checks import RawPairs, odd_clean_images
from smidgen.data.corruptions import Corruption
from smidgen.data.origin import Corrupted
from smidgen.data.pairs import Dataset, Images, Labels, Pairs
from smidgen.data.scale import Scale, Scales, fit_scale
from smidgen.data.split import draw_parts, fingerprints
from smidgen.data.tasks import SEED
from smidgen.errors import plural


@dataclass(frozen=True)
class CorruptedSource:
    """Clean images `(N, H, W, C)` in [0, 1], corrupted anew each time they are shown."""

    clean: Images
    labels: Labels | None
    corruption: Corruption

    def __len__(self) -> int:
        return len(self.clean)

    def batches(self, batch_size: int, generator: np.random.Generator) -> Iterator[tuple[Images, Images]]:
        """One epoch; the last batch holds what is left."""
        order = generator.permutation(len(self.clean))
        for start in range(0, len(order), batch_size):
            clean = self.clean[order[start : start + batch_size]]
            yield self.corruption.apply(clean, generator), clean

    def example(self, n: int) -> Pairs:
        """The first `n` images with a corruption that stays the same."""
        return _fixed_pairs(self.clean[:n], None if self.labels is None else self.labels[:n], self.corruption)


def split_clean(
    raw: RawPairs,
    corruption: Corruption,
    *,
    val: RawPairs | None = None,
    test: RawPairs | None = None,
    scales: Scales | None = None,
) -> Dataset:
    """Split as `split_pairs` does, and corrupt: X is on y's scale, and its noise is not clipped.

    Args:
        raw: clean images alone.
        corruption: makes the noisy ones.
        val, test: clean images, used whole instead of a tenth of `raw`.
        scales: a model's, whose rule for y is used as long as the values are on it.

    Raises:
        PairsError: too few images, or parts whose images differ in shape.
    """
    whole, source = fingerprints(raw, val, test)
    parts = draw_parts(raw, val, test)
    scale, warnings = _choose_scale(parts[0], scales)
    outside = sum(scale.outside(part.clean) for part in parts)
    if outside:
        warnings.append(f"clipped {plural(outside, 'value')} of y to {scale}")
    clean = [np.clip(scale.normalise(part.clean), 0, 1) for part in parts]
    fixed = [_fixed_pairs(clean[place], parts[place].labels, corruption) for place in (1, 2)]
    corrupted = Corrupted(corruption.steps, SEED)
    return Dataset(
        name=raw.source,
        train=CorruptedSource(clean[0], parts[0].labels, corruption),
        val=fixed[0],
        test=fixed[1],
        scales=Scales(scale, scale, _seen(scale, fixed), f"X is made from y, on y's scale, {scale}"),
        fingerprint=f"{whole} {_fingerprint(corrupted, fixed if corruption.has_own else [])}",
        source_fingerprint=source,
        found=raw.found,
        fresh=True,
        corrupted=corrupted,
        warnings=(*warnings, *odd_clean_images(*clean)),
    )


def _fixed_pairs(clean: Images, labels: Labels | None, corruption: Corruption) -> Pairs:
    return Pairs(corruption.apply(clean, np.random.default_rng(SEED)), clean, labels)


def _choose_scale(train: RawPairs, given: Scales | None) -> tuple[Scale, list[str]]:
    """The model's rule for y where it suits the values, else their own; said where the model takes X otherwise."""
    if given is None:
        return fit_scale(train.clean, "the clean images"), []
    scale = given.clean if given.clean.suits(train.clean) else fit_scale(train.clean, "the clean images")
    if given.noisy == given.clean == scale:
        return scale, []
    return scale, [
        f"the model expects X on the scale {given.noisy} and y on {given.clean}; these images are on {scale}, and so "
        "are the noisy ones made from them"
    ]


def _seen(scale: Scale, fixed: list[Pairs]) -> Scale:
    """The scale, widened to what the noise reaches."""
    ends = [value for pairs in fixed for value in (pairs.noisy.min(), pairs.noisy.max())]
    low, high = scale.restore(np.array([min(ends), max(ends)]), np.float64)
    return scale.widen(float(low), float(high))


def _fingerprint(corrupted: Corrupted, made: list[Pairs]) -> str:
    """A short hash of the steps, and of what they made where their names do not tell all."""
    digest = hashlib.sha256(repr(corrupted).encode())
    for pairs in made:
        digest.update(np.ascontiguousarray(pairs.noisy).data)
    return digest.hexdigest()[:16]
