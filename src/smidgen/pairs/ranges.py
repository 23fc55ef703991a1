"""The affine rule that brings values to [0, 1] and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import PairsError

# What full scale usually is: unit floats, a sum of two of them, 8 bits, a sum of two 8-bit
# images, 10, 12, 14 and 16 bits. Data whose largest value lies in the upper half of one of these
# is taken to be on that scale, so that a dim training set is not stretched.
_FULL_SCALES = (1.0, 2.0, 255.0, 510.0, 1023.0, 4095.0, 16383.0, 65535.0)
_CHUNK = 4096


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high` become 0 to 1."""

    low: float = 0.0
    high: float = 1.0

    def normalise(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values on their own scale, any shape and type, as float32 with low at 0 and high at 1.

        Computed in float64, so that integers and floats of the same picture give the same result.
        """
        if self == Range() and values.dtype == np.float32:
            return values
        result = np.empty(values.shape, np.float32)
        for start in range(0, len(values), _CHUNK):
            part = values[start : start + _CHUNK].astype(np.float64)
            result[start : start + _CHUNK] = (part - self.low) / (self.high - self.low)
        return result

    def restore(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `normalise`."""
        if self == Range():
            return values
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
    if low < 0:
        return Range(-1.0, 1.0) if low >= -1 and high <= 1 else Range(low, high)
    if values.dtype == np.uint8 and high > 2:
        return Range(0.0, 255.0)
    for full_scale in _FULL_SCALES:
        if high <= full_scale and (high > full_scale / 2 or full_scale == 1.0):
            return Range(0.0, full_scale)
    return Range(0.0, high)
