"""An array cut into blocks, one a task, each a whole number of what a store writes at once."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smidgen.network.layers import Network

Region = tuple[slice, ...]

# Sides of a block: what lies around it is computed too, so that small ones are dear.
SIDE = 8192
# What is read and what is written of a block together.
MOST_BYTES = 256 * 2**20
# Small images are put together until a task has so many values, which a core takes a second for.
_LEAST_VALUES = 2**22


@dataclass(frozen=True)
class Blocks:
    """The blocks of an array, numbered in C order.

    Attributes:
        shape: of the array.
        unit: of what the store writes at once, a chunk or a shard.
        block: the sides of a block, multiples of the unit's; the last of an axis may be cut off.
    """

    shape: tuple[int, ...]
    unit: tuple[int, ...]
    block: tuple[int, ...]

    def __len__(self) -> int:
        return math.prod(self._counts)

    @property
    def _counts(self) -> tuple[int, ...]:
        return tuple(-(-size // side) for size, side in zip(self.shape, self.block, strict=True))

    def region(self, number: int) -> Region:
        """Where block `number` lies."""
        places = np.unravel_index(number, self._counts)
        starts = [int(place) * side for place, side in zip(places, self.block, strict=True)]
        axes = zip(starts, self.block, self.shape, strict=True)
        return tuple(slice(start, min(start + side, size)) for start, side, size in axes)

    def size(self, number: int) -> int:
        """How many values block `number` has."""
        return math.prod(part.stop - part.start for part in self.region(number))

    def done(self, units: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which blocks are whole, where these units exist; their places are `(n, axes)`, each once."""
        counts = np.zeros(len(self), np.int64)
        inside = (units * self.unit < self.shape).all(1)
        places = units[inside] * self.unit // np.array(self.block)
        np.add.at(counts, np.ravel_multi_index(tuple(places.T), self._counts), 1)
        wanted = [
            math.prod(
                -(-(part.stop - part.start) // side) for part, side in zip(self.region(n), self.unit, strict=True)
            )
            for n in range(len(self))
        ]
        found: NDArray[np.bool_] = counts == np.array(wanted)
        return found


def cut(
    shape: tuple[int, ...],
    unit: tuple[int, ...],
    bytes_a_value: int,
    *,
    side: int | None = None,
    whole: int | None = None,
) -> Blocks:
    """Cut an array (…, H, W) into blocks.

    Images grow to `SIDE` as far as memory allows; whole images that are small are put together.

    Args:
        shape: of the array.
        unit: of what its store writes at once.
        bytes_a_value: held of a value while a block is worked on.
        side: of the images' part in a block, in place of the usual one; it may take more memory.
        whole: an axis that is not cut.
    """
    block = list(unit)
    if whole is not None:
        block[whole] = -(-shape[whole] // unit[whole]) * unit[whole]
    most = MOST_BYTES // bytes_a_value if side is None else math.inf
    wanted = SIDE if side is None else side

    def values(axis: int) -> int:
        """How many there would be with one more unit along an axis."""
        sides = [side + unit[number] * (number == axis) for number, side in enumerate(block)]
        return math.prod(min(side, size) for side, size in zip(sides, shape, strict=True))

    image = [len(shape) - 2, len(shape) - 1]
    while growing := [axis for axis in image if block[axis] + unit[axis] <= wanted and block[axis] < shape[axis]]:
        axis = min(growing, key=lambda axis: block[axis])
        if values(axis) > most:
            break
        block[axis] += unit[axis]
    if all(block[axis] >= shape[axis] for axis in image):
        for axis in reversed(range(len(shape) - 2)):
            while block[axis] < shape[axis] and values(axis) <= _LEAST_VALUES:
                block[axis] += unit[axis]
    return Blocks(shape, unit, tuple(block))


def widen(region: Region, shape: tuple[int, ...], network: Network) -> Region:
    """A region of an array (…, H, W) and all around it that its denoised values can depend on.

    It begins at a whole pixel of the network's coarsest scale, so that pixels are pooled as in the whole.
    """
    reach, stride = network.reach, network.stride
    image = [
        slice(max(0, (part.start - reach) // stride * stride), min(size, part.stop + reach))
        for part, size in zip(region[-2:], shape[-2:], strict=True)
    ]
    return (*region[:-2], *image)


def parse_part(text: str) -> tuple[int, int]:
    """`3/16` as (3, 16).

    Raises:
        ValueError: it is no part.
    """
    part, parts = (int(number) for number in text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError(text)
    return part, parts


def share(count: int, part: tuple[int, int]) -> range:
    """Which of `count` tasks are those of part (k of n): a stretch of them."""
    number, parts = part
    return range(count * (number - 1) // parts, count * number // parts)
