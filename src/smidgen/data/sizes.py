"""How many images of a data set are how large, and what they take."""

from dataclasses import dataclass

import numpy as np

from smidgen.data.collection import shapes_of
from smidgen.data.pairs import Dataset


@dataclass(frozen=True, kw_only=True)
class SizeCount:
    """So many pairs of one size."""

    height: int
    width: int
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What all pairs of a data set amount to.

    Attributes:
        counts: pairs of each size, the most frequent first, of those the largest.
        others: sizes beyond these.
        channels: of every image.
        types: of the values of X and y as they were read, as numpy names them; noisy images made here have none.
        megapixels: of y; X has as many.
        unpacked_bytes: of X and y in these types, or in float32 where nothing was read.
    """

    counts: tuple[SizeCount, ...]
    others: int
    channels: int
    types: dict[str, str]
    megapixels: float
    unpacked_bytes: int


def count_sizes(dataset: Dataset, most: int = 8) -> Sizes:
    """Of all parts of a data set; `most` sizes are counted one by one."""
    fixed = [dataset.val] if dataset.test is dataset.val else [dataset.val, dataset.test]
    shapes = np.concatenate([dataset.train.shapes, *(shapes_of(part.clean) for part in fixed)])
    widest = int(shapes[:, 1].max()) + 1
    sizes, counts = np.unique(shapes[:, 0] * widest + shapes[:, 1], return_counts=True)
    order = np.lexsort((-(sizes // widest) * (sizes % widest), -counts))
    found = [(int(sizes[place]) // widest, int(sizes[place]) % widest, int(counts[place])) for place in order[:most]]
    types = {name: facts.type for name, facts in dataset.found.items() if not (name == "X" and dataset.corrupted)}
    values = int(shapes.prod(1).sum())
    return Sizes(
        counts=tuple(SizeCount(height=height, width=width, pairs=pairs) for height, width, pairs in found),
        others=max(0, len(sizes) - most),
        channels=dataset.channels,
        types=types,
        megapixels=values / dataset.channels / 1e6,
        unpacked_bytes=values * sum(np.dtype(kind).itemsize for kind in types.values() or ("float32", "float32")),
    )
