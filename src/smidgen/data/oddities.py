"""What looks odd in pairs and is let through with a warning."""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Kept, ScaledImages, shapes_of, whole
from smidgen.data.likeness import find_likenesses
from smidgen.data.raw_pairs import RawPairs, Survey
from smidgen.data.scale import Extent, Scale, Scales
from smidgen.errors import plural

_PIXELS_LOOKED_AT = 500_000
_MOST_NAMED = 3
_INK_ON_WHITE = 0.6  # of the values at the ends of their range


def dim(scale: Scale, values: Extent) -> list[str]:
    """A warning about clean images whose scale, which is never below 0..1, they hardly fill."""
    if scale.is_filled_to(values.high):
        return []
    return [
        f"y (clean) reaches {values.high:.3g} only, and is taken on the scale {scale}: all of it is nearly black; "
        "multiply X and y where that is not meant"
    ]


def odd_things(train: RawPairs, val: RawPairs, test: RawPairs, scales: Scales) -> list[str]:
    """Warnings about constant images, swapped X and y, pairs that occur again, and images that are in two splits."""
    warnings = _constant("noisy", [part.surveys[0] for part in different((train, val, test))])
    warnings += odd_clean_images(train, val, test)
    warnings += dim(scales.clean, train.surveys[1].extent)
    if _look_swapped(train, scales):
        warnings.append("X looks cleaner than y: are X (noisy) and y (clean) swapped?")
    return warnings


def different(parts: Iterable[RawPairs]) -> list[RawPairs]:
    """Each of several parts once."""
    return list({id(part): part for part in parts}.values())


def odd_clean_images(train: RawPairs, val: RawPairs, test: RawPairs) -> list[str]:
    """Warnings about constant clean images, pairs that occur again, and clean images in two splits, or nearly so."""
    warnings = _constant("clean", [part.surveys[1] for part in different((train, val, test))])
    parts = dict(zip(("train", "val", "test"), different((train, val, test)), strict=False))
    shown = {name: _shown(part) for name, part in parts.items()}
    both = np.stack([seen.digest for seen in train.surveys], 1)[shown["train"]].view(
        f"S{2 * train.surveys[0].digest.itemsize}"
    )
    _, first_places = np.unique(both, return_index=True)
    again = np.setdiff1d(np.arange(len(both)), first_places)
    if len(again):
        pairs = "clean image" if train.noisy is train.clean else "pair"
        some = _name_some(train, shown["train"][again])
        warnings.append(f"{plural(len(again), pairs)} of train like an earlier one{some}")
    for first, second in itertools.combinations(parts, 2):
        mine, others = (parts[name].surveys[1].digest[shown[name]] for name in (first, second))
        common, places, _ = np.intersect1d(mine, others, return_indices=True)
        if len(common):
            some = _name_some(parts[first], shown[first][np.sort(places)])
            remedy = "--group keeps images together by their names" if parts[first].names else ""
            said = f"{plural(len(common), 'clean image')} in both {first} and {second}{some}"
            warnings.append("; ".join(filter(None, (said, remedy))))
    return warnings + find_likenesses(parts)


def _shown(part: RawPairs) -> NDArray[np.int64]:
    """Places of the clean images that show anything."""
    seen = part.surveys[1]
    return np.flatnonzero(seen.low < seen.high)


def _name_some(part: RawPairs, places: NDArray[np.int64]) -> str:
    """The first few of these, where they have names."""
    if part.names is None:
        return ""
    return ", such as " + ", ".join(part.names[int(place)] for place in places[:_MOST_NAMED])


def _constant(what: str, surveys: list[Survey]) -> list[str]:
    constant = sum(int((seen.low == seen.high).sum()) for seen in surveys)
    return [f"{plural(constant, f'{what} image')} with a single value everywhere"] if constant else []


def _look_swapped(train: RawPairs, scales: Scales) -> bool:
    """Whether X is plainly smoother than y: noise makes neighbours differ, cleaning makes them alike.

    Not where y is ink on white: scans of that are smoother, be they blurred or of one bit.
    """
    shapes = np.minimum(shapes_of(train.clean), (700, 700, 4))
    n = max(1, int((np.cumsum(shapes[:, 0] * shapes[:, 1]) <= _PIXELS_LOOKED_AT).sum()))
    windows = [whole(number, shapes[number]) for number in range(n)]

    def look(kept: Kept, scale: Scale) -> tuple[float, float]:
        """The shares of neighbours that differ, and of values at the ends of their range."""
        images = ScaledImages(kept, scale)
        parts = [images.read([window])[0] for window in windows]
        low, high = min(float(part.min()) for part in parts), max(float(part.max()) for part in parts)
        near = 0.02 * (high - low)
        steps = [np.abs(np.diff(part, axis=1)) <= near for part in parts]
        flat, count = sum(int(step.sum()) for step in steps), sum(int(step.size) for step in steps)
        ends = sum(int(((part <= low + near) | (part >= high - near)).sum()) for part in parts)
        return 1.0 - flat / max(1, count), ends / sum(part.size for part in parts)

    if not (shapes[:n, 1] > 1).any():
        return False
    rough, _ = look(train.noisy, scales.noisy)
    rough_clean, at_ends = look(train.clean, scales.clean)
    return rough < 0.7 * rough_clean and at_ends < _INK_ON_WHITE
