"""The coarser resolutions of an image, made from the finer ones."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import InputError
from smidgen.scaling.blocks import Blocks
from smidgen.scaling.stores import Place, open_to_write

_Ends = NDArray[np.int64]


@dataclass(kw_only=True)
class LevelBlocks:
    """One task makes one block of a resolution from the one before: each value is the mean of those that it covers.

    Attributes:
        target: the store.
        finer, coarser: paths of the arrays in it.
        blocks: of the coarser one.
    """

    target: Place
    finer: str
    coarser: str
    blocks: Blocks

    def __getstate__(self) -> dict[str, Any]:
        """Without what was opened, which every process opens for itself."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    @cached_property
    def _opened(self) -> tuple[Any, Any]:
        return open_to_write(self.target, self.finer), open_to_write(self.target, self.coarser)

    def do(self, number: int) -> None:
        """Read, average and write a block."""
        source, target = self._opened
        region = self.blocks.region(number)
        axes = [windows(*sizes) for sizes in zip(source.shape, target.shape, strict=True)]
        parts = [(starts[part], ends[part]) for (starts, ends), part in zip(axes, region, strict=True)]
        values = np.asarray(source[tuple(slice(starts[0], ends[-1]) for starts, ends in parts)])
        target[region] = average(values, parts)


def windows(finer: int, coarser: int) -> tuple[_Ends, _Ends]:
    """Where along an axis the values begin and end that each value of a coarser resolution covers.

    By a whole factor where the sizes allow one, as in OME-Zarr: what is left over at the end is taken in if the coarser
    size was rounded up, else left out.

    Raises:
        InputError: the coarser axis is the longer one.
    """
    if coarser > finer:
        raise InputError(f"a resolution of the store has {coarser:,} pixels where the finer one has {finer:,}")
    factor = max(1, round(finer / coarser))
    if coarser in (finer // factor, -(-finer // factor)):
        starts = np.arange(coarser) * factor
        return starts, np.minimum(starts + factor, finer)
    ends = np.arange(1, coarser + 1) * finer // coarser
    return np.concatenate([[0], ends[:-1]]), ends


def average(values: NDArray[np.generic], parts: list[tuple[_Ends, _Ends]]) -> NDArray[np.generic]:
    """The means over windows that lie side by side along each axis, rounded to the values' type.

    Args:
        values: of any number of axes, from the first window's start to the last one's end.
        parts: for each axis where windows start and end, counted from any point.
    """
    means: NDArray[np.generic] = values
    for axis, (starts, ends) in enumerate(parts):
        counts = ends - starts
        if (counts > 1).any():
            sums = np.add.reduceat(means, starts - starts[0], axis, dtype=np.float64)
            means = sums / counts.reshape([-1 if number == axis else 1 for number in range(values.ndim)])
    if values.dtype.kind in "ui":
        means = np.rint(means)
    return means.astype(values.dtype)


def held_bytes(itemsize: int, finer: tuple[int, ...], coarser: tuple[int, ...]) -> int:
    """How many bytes a task holds for each value of the coarser resolution."""
    factor = math.prod(-(-n // m) for n, m in zip(finer, coarser, strict=True))
    return 2 * 8 + itemsize + factor * itemsize + 8 * factor // 2
