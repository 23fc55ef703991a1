"""The affine rule that brings values to [0, 1] and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import PairsError

# What full scale usually is: unit floats, a sum of two of them, 8 bits, a sum of two 8-bit
# images, 10, 12, 14 and 16 bits. Data whose largest value lies in the upper half of one of these
# is taken to be on that scale, so that a dim training set is not stretched.
FULL_SCALES = (1.0, 2.0, 255.0, 510.0, 1023.0, 4095.0, 16383.0, 65535.0)
# A little beyond full scale is what interpolation and float32 sums leave, not another scale.
_DUST = 1e-3
# So much is worked on at a time.
_ROWS = 256
_CHUNK_VALUES = 500_000


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high` become 0 to 1."""

    low: float = 0.0
    high: float = 1.0

    def normalise(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values on their own scale, any shape and type, as float32 clipped to [0, 1].

        Computed in float64, so that integers and floats of the same picture give the same result.
        """
        result = np.empty(values.shape, np.float32)
        at_once = max(1, _CHUNK_VALUES // max(1, values[:1].size))
        for start in range(0, len(values), at_once):
            part = values[start : start + at_once].astype(np.float64)
            result[start : start + at_once] = np.clip((part - self.low) / (self.high - self.low), 0, 1)
        return result

    def outside(self, values: NDArray[Any]) -> int:
        """How many values lie beyond the range by more than rounding, and are clipped."""
        dust = _DUST * (self.high - self.low)
        parts = (values[start : start + _ROWS] for start in range(0, len(values), _ROWS))
        return sum(int(((part < self.low - dust) | (part > self.high + dust)).sum()) for part in parts)

    def suits(self, values: NDArray[Any]) -> bool:
        """Whether these values are on this scale: none stands out by more than half the range."""
        slack = 0.5 * (self.high - self.low)
        return bool(values.min() >= self.low - slack and values.max() <= self.high + slack)

    def restore(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `normalise`."""
        return (values.astype(np.float64) * (self.high - self.low) + self.low).astype(np.float32)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


def fit_range(values: NDArray[Any], what: str) -> Range:
    """The rule for these values, the training part of X or of y.

    Nothing below zero: 0 to the usual full scale just above the largest value, or to the largest
    value where none is near. Within -1..1: -1 to 1. Otherwise: smallest to largest value.

    Raises:
        PairsError: all values are the same, so that nothing can be learned from them.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise PairsError(
            f"every value of {what} is {low:g}",
            expected="images with some content",
            remedy="Check that the right array was saved",
        )
    if low < -_DUST * (high - low):
        within_one = low >= -1 - _DUST and high <= 1 + _DUST
        return Range(-1.0, 1.0) if within_one else Range(low, high)
    if values.dtype == np.uint8 and high > 2:
        return Range(0.0, 255.0)
    for full_scale in FULL_SCALES:
        if high <= full_scale * (1 + _DUST) and (high > full_scale / 2 or full_scale == 1.0):
            return Range(0.0, full_scale)
    return Range(0.0, high)
