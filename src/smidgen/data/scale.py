"""The affine rules that bring values to [0, 1] and back."""

import math
from collections.abc import Callable, Iterator
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
# Values that fill no more of a range than this are on another scale.
_LEAST_FILLED = 1 / 16
# So much is worked on at a time: what a core keeps near itself, as float64.
_CHUNK_VALUES = 16_000


@dataclass(frozen=True)
class Extent:
    """The smallest and the largest of some values, and their type."""

    low: float
    high: float
    dtype: np.dtype[Any]

    @staticmethod
    def of(values: NDArray[Any]) -> "Extent":
        """Of an array."""
        return Extent(float(values.min()), float(values.max()), values.dtype)


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` become 0 to 1."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"values from {self.low:g} to {self.high:g}")

    def normalise(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values on their own scale, any shape and type, as float32; what lies outside the range leaves [0, 1].

        Computed in float64, so that integers and floats of the same picture give the same result.
        """
        result = np.empty(values.shape, np.float32)
        for part in chunks(values):
            risen = values[part] if self.low == 0 else np.subtract(values[part], self.low, dtype=np.float64)
            np.divide(risen, self.high - self.low, out=result[part], dtype=np.float64, casting="same_kind")
        return result

    def outside(self, values: NDArray[Any]) -> int:
        """How many values lie beyond the range by more than rounding."""
        low, high = self.limits
        if values.size and low <= values.min() and values.max() <= high:  # which is quickly asked
            return 0
        return sum(int(((values[part] < low) | (values[part] > high)).sum()) for part in chunks(values))

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of the range, widened by rounding."""
        dust = _DUST * (self.high - self.low)
        return self.low - dust, self.high + dust

    @property
    def is_full(self) -> bool:
        """Whether black is 0 and white the end of one of the usual units."""
        return self.low == 0 and self.high in FULL_SCALES

    def widen(self, low: float, high: float) -> "Scale":
        """The range that reaches from `low` or lower to `high` or higher."""
        return Scale(min(self.low, low), max(self.high, high))

    def suits(self, values: Extent) -> bool:
        """Whether these values are on this scale: none stands out by half the range, nor do all lie near its foot."""
        span = self.high - self.low
        return (
            values.low >= self.low - span / 2 and values.high <= self.high + span / 2 and self.is_filled_to(values.high)
        )

    def is_filled_to(self, value: float) -> bool:
        """Whether this value is no longer near the foot of the range."""
        return value >= self.low + _LEAST_FILLED * (self.high - self.low)

    def restore(self, values: NDArray[np.floating[Any]], dtype: Any = np.float32) -> NDArray[Any]:
        """The inverse of `normalise`, as numbers of a type: whole ones are rounded and kept within it."""
        result = np.empty(values.shape, dtype)
        factor, offset = self.from_unit
        limits = np.iinfo(result.dtype) if result.dtype.kind in "ui" else None
        for part in chunks(values):
            restored = np.multiply(values[part], factor, dtype=np.float64)
            restored += offset
            if limits:
                np.rint(restored, out=restored)
                np.maximum(restored, limits.min, out=restored)
                np.minimum(restored, limits.max, out=restored)
            result[part] = restored
        return result

    @property
    def to_unit(self) -> tuple[float, float]:
        """The factor and the offset that bring values to [0, 1], as `normalise` does."""
        span = self.high - self.low
        return 1 / span, (0 - self.low) / span

    @property
    def from_unit(self) -> tuple[float, float]:
        """The factor and the offset that bring values in [0, 1] to this scale, as `restore` does."""
        return self.high - self.low, self.low

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Scales:
    """How a model takes the values of pairs.

    Attributes:
        noisy, clean: the rules for X and for y.
        seen: `noisy`, widened to hold all of X that training saw: noise may leave it.
        reason: a sentence that says why X has the rule it has, or nothing.
    """

    noisy: Scale
    clean: Scale
    seen: Scale
    reason: str = ""

    def suit(self, noisy: Extent, clean: Extent) -> bool:
        """Whether X and y are on these scales."""
        return self.seen.suits(noisy) and self.clean.suits(clean)

    @property
    def are_full(self) -> bool:
        """Whether black is 0 and white 1 in X and in y, in whatever units."""
        return self.noisy == self.clean and self.clean.is_full


UNIT = Scale()
UNIT_SCALES = Scales(UNIT, UNIT, UNIT)


def fit_scales(
    noisy: Extent, clean: Extent, error: Callable[[Scale, Scale], float], *, one_scale: bool = False
) -> Scales:
    """The rules for X and y of the training part.

    X is taken on its own scale or on y's, whichever brings it nearer to y in mean squared error: the
    average of two images lies nearer on its own, noise added in y's units lies nearer on y's.

    Args:
        noisy, clean: of X and y.
        error: the mean squared error between X and y on these scales.
        one_scale: take X on y's scale in any case.

    Raises:
        PairsError: all values of X or all of y are the same.
    """
    own, shared = fit_scale(noisy, "X (noisy)"), fit_scale(clean, "y (clean)")
    if own == shared:
        return Scales(own, shared, own.widen(noisy.low, noisy.high), f"X and y are both on the scale {shared}")
    on_shared = shared.widen(noisy.low, noisy.high)
    if one_scale:
        return Scales(shared, shared, on_shared, f"X is read on y's scale, {shared}, as a residual network must")
    apart, together = error(own, shared), error(shared, shared)
    # Where X hardly leaves the foot of y's scale, the error there is that of a blank image and says nothing.
    if shared.is_filled_to(noisy.high) and together < apart:
        reason = f"X is read on y's scale, {shared}, which brings it closer to y (MSE {together:.4g}) "
        reason += f"than its own, {own} ({apart:.4g})"
        return Scales(shared, shared, on_shared, reason)
    reason = f"X is read on its own scale, {own}, which brings it closer to y (MSE {apart:.4g}) "
    reason += f"than y's, {shared} ({together:.4g})"
    return Scales(own, shared, own.widen(noisy.low, noisy.high), reason)


def fit_scale(values: Extent, what: str) -> Scale:
    """The rule for these values, the training part of X or of y.

    Nothing below zero: 0 to the usual full scale just above the largest value, or to the largest
    value where none is near. Within -1..1: -1 to 1. Otherwise: smallest to largest value.

    Raises:
        PairsError: all values are the same, so that nothing can be learned from them.
    """
    low, high = values.low, values.high
    if low == high:
        raise PairsError(
            f"every value of {what} is {low:g}",
            expected="images with some content",
            remedy="Check that the right array was saved",
        )
    if low < -_DUST * (high - low):
        within_one = low >= -1 - _DUST and high <= 1 + _DUST
        return Scale(-1.0, 1.0) if within_one else Scale(low, high)
    if values.dtype == np.uint8 and high > 2:
        return Scale(0.0, 255.0)
    for full_scale in FULL_SCALES:
        if high <= full_scale * (1 + _DUST) and (high > full_scale / 2 or full_scale == 1.0):
            return Scale(0.0, full_scale)
    return Scale(0.0, high)


def chunks(values: NDArray[Any]) -> Iterator[slice]:
    """Slices of as many rows as are worth computing at once in float64."""
    at_once = max(1, _CHUNK_VALUES // max(1, values[:1].size))
    return (slice(start, start + at_once) for start in range(0, len(values), at_once))
