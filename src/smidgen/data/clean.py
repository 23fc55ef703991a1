"""Clean images alone: corrupted afresh each epoch to train on, once and for all to validate and test on."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from smidgen.data.collection import (
    ImageCollection,
    Images,
    MadeImages,
    PickedImages,
    ScaledImages,
    Shapes,
    Window,
    as_array,
    group_by_size,
    spread_places,
    stacks,
)
from smidgen.data.corruptions import SEED, Corruption
from smidgen.data.crops import draw_batches
from smidgen.data.draw import draw_parts, keep_all
from smidgen.data.oddities import different, dim, odd_clean_images
from smidgen.data.origin import Corrupted
from smidgen.data.output import choose_output
from smidgen.data.pairs import Batch, Dataset, Labels, Pairs
from smidgen.data.raw_pairs import RawPairs, count_outside
from smidgen.data.scale import Scale, Scales, fit_scale
from smidgen.errors import plural

_MOST_VALUES_HELD = 16_000_000


@dataclass(frozen=True)
class CorruptedSource:
    """Clean images in [0, 1], corrupted anew each time they are shown."""

    clean: ScaledImages
    labels: Labels | None
    corruption: Corruption
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def shapes(self) -> Shapes:
        """Of all images."""
        return self.clean.shapes

    def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0) -> Iterator[Batch]:
        """One epoch; the last batch holds what is left."""
        for windows in draw_batches(self.shapes, crop, batch_size, generator):
            groups = group_by_size(windows)
            yield [(self._corrupt(group, generator), self.clean.read(group)) for group in groups]

    def _corrupt(self, windows: list[Window], generator: np.random.Generator) -> Images:
        """Noisy windows of one size; where neighbours count, those beyond the window do, too."""
        reach = self.corruption.reach
        if reach == 0:
            return self.corruption.apply(self.clean.read(windows), generator)
        noisy = []
        for number, rows, columns in windows:
            top, left = max(0, rows.start - reach), max(0, columns.start - reach)
            height, width, _ = self.shapes[number].tolist()
            wider = slice(top, min(height, rows.stop + reach)), slice(left, min(width, columns.stop + reach))
            (made,) = self.corruption.apply(self.clean.read([(number, *wider)]), generator)
            noisy.append(made[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left])
        return np.stack(noisy)

    def example(self, n: int) -> Pairs:
        """The first `n` images with a corruption that stays the same."""
        return _fixed_pairs(self.clean.first(n), None if self.labels is None else self.labels[:n], self.corruption)

    def spread(self, n: int) -> Pairs:
        """At most `n` images from all over with a corruption that stays the same."""
        places = spread_places(len(self), n)
        names = None if self.names is None else tuple(self.names[place] for place in places.tolist())
        return replace(_fixed_pairs(PickedImages(self.clean, places), None, self.corruption), names=names)


def split_clean(
    raw: RawPairs,
    corruption: Corruption,
    *,
    val: RawPairs | None = None,
    test: RawPairs | None = None,
    scales: Scales | None = None,
    output: str | None = None,
    whole: bool = False,
    apart: bool = False,
    **draw: Any,
) -> Dataset:
    """Split as `split_pairs` does, and corrupt: X is on y's scale, and its noise is not clipped.

    Args:
        raw: clean images alone.
        corruption: makes the noisy ones.
        val, test: clean images, used whole instead of a tenth of `raw`.
        scales: a model's, whose rule for y is used as long as the values are on it.
        output: of the network; None chooses it by `choose_output`.
        whole: all images in every part, for a model that saw none of them.
        apart: take each channel of a colour image as an image of its own.
        draw: `group`, `seed`, `val_share` and `test_share`, as of `draw_parts`.

    Raises:
        PairsError: too few images, or parts whose images differ in their number of channels.
        InputError: the pattern of groups is of no use.
    """
    drawn = keep_all(raw, apart=apart) if whole else draw_parts(raw, val, test, apart=apart, **draw)
    parts = drawn.parts
    chosen, reason = choose_output(parts[0]) if output is None else (output, "")
    scale, warnings = _choose_scale(parts[0], scales)
    outside = sum(count_outside(scale, part) for part in different(parts))
    if outside:
        warnings.append(f"clipped {plural(outside, 'value')} of y to {scale}")
    clean = [ScaledImages(part.clean, scale, clipped=True) for part in parts]
    fixed = [
        replace(_fixed_pairs(images, part.labels, corruption), texts=part.texts)
        for images, part in zip(clean[1:], parts[1:], strict=True)
    ]
    corrupted = Corrupted(corruption.steps, SEED)
    return Dataset(
        name=raw.source,
        train=CorruptedSource(clean[0], parts[0].labels, corruption, parts[0].names),
        val=fixed[0],
        test=fixed[1],
        scales=Scales(scale, scale, _seen(scale, fixed), f"X is made from y, on y's scale, {scale}"),
        fingerprint=f"{drawn.fingerprint} {_fingerprint(corrupted, fixed if corruption.has_own else [])}",
        source_fingerprint=drawn.source_fingerprint,
        found=raw.found,
        fresh=True,
        corrupted=corrupted,
        output=chosen,
        output_reason=reason,
        whole=whole,
        warnings=(*drawn.warnings, *warnings, *odd_clean_images(*parts), *dim(scale, parts[0].surveys[1].extent)),
    )


def _fixed_pairs(clean: ImageCollection, labels: Labels | None, corruption: Corruption) -> Pairs:
    """Image i corrupted by a source of chance of its own: made once where there are few, else when it is asked for."""

    def corrupt(images: Images, places: Sequence[int]) -> Images:
        made = [
            corruption.apply(image[None], np.random.default_rng(SEED + place))
            for image, place in zip(images, places, strict=True)
        ]
        return np.concatenate(made)

    made = MadeImages(clean, corrupt)
    one_size = (made.shapes == made.shapes[0]).all()
    if one_size and int(made.shapes.prod(1).sum()) <= _MOST_VALUES_HELD:
        return Pairs(as_array(made), as_array(clean), labels)
    return Pairs(made, clean, labels)


def _choose_scale(train: RawPairs, given: Scales | None) -> tuple[Scale, list[str]]:
    """The model's rule for y where it suits the values, else their own; said where the model takes X otherwise."""
    values = train.surveys[1].extent
    if given is None:
        return fit_scale(values, "the clean images"), []
    scale = given.clean if given.clean.suits(values) else fit_scale(values, "the clean images")
    if given.noisy == given.clean == scale or (given.are_full and scale.is_full):
        return scale, []
    return scale, [
        f"the model expects X on the scale {given.noisy} and y on {given.clean}; these images are on {scale}, and so "
        "are the noisy ones made from them"
    ]


def _seen(scale: Scale, fixed: list[Pairs]) -> Scale:
    """The scale, widened to what the noise reaches."""
    parts = list(_first_noisy(fixed))
    ends = np.array([min(part.min() for part in parts), max(part.max() for part in parts)])
    low, high = scale.restore(ends, np.float64)
    return scale.widen(float(low), float(high))


def _fingerprint(corrupted: Corrupted, made: list[Pairs]) -> str:
    """A short hash of the steps, and of what they made where their names do not tell all."""
    digest = hashlib.sha256(repr(corrupted).encode())
    for part in _first_noisy(made):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:16]


def _first_noisy(fixed: list[Pairs]) -> Iterator[Images]:
    """Noisy images of each part, as many as are soon made."""
    for pairs in fixed:
        count = 0
        for _, (noisy,) in stacks(pairs.noisy):
            yield noisy
            count += noisy.size
            if count > _MOST_VALUES_HELD:
                break
