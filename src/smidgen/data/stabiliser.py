"""Values on which noise is as strong everywhere, and the way back."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.noise import Noise

_Values = NDArray[np.float64]

_LEVEL = 0.1  # of the variance at black; a slope below it changes nothing that could be seen
_ROOT = math.sqrt(1.5)
_NONE = 2 * math.sqrt(3 / 8)  # what no photons become; below it the inverse is wild


@dataclass(frozen=True)
class Stabiliser:
    """The generalised Anscombe transform of noise with a line of variance over brightness; [0, 1] stays [0, 1].

    Where the variance hardly grows with brightness, it does nothing. Back leads the closed form of the exact unbiased
    inverse: Mäkitalo and Foi 2013, "Optimal inversion of the generalized Anscombe transformation".
    """

    noise: Noise

    def apply(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Noisy values in [0, 1], noise beyond that included, of any shape."""
        if self._level:
            return np.asarray(values, np.float32)
        low, high = self._ends
        return np.asarray((self._root(np.asarray(values, np.float64)) - low) / (high - low), np.float32)

    def invert(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """What denoised values were before: what the noisy ones scattered about."""
        if self._level:
            return np.asarray(values, np.float32)
        low, high = self._ends
        root = np.maximum(np.asarray(values, np.float64) * (high - low) + low, _NONE)
        lifted = _ROOT / 4 / root - 11 / 8 / root**2 + 5 / 8 * _ROOT / root**3
        return np.asarray(self.noise.slope * (root**2 / 4 + lifted - 1 / 8 - self._read), np.float32)

    @property
    def deviation(self) -> float:
        """The standard deviation of the noise on the values that `apply` gives."""
        if self._level:
            return float(np.sqrt(self.noise.variance(np.array([0.5]))[0]))
        low, high = self._ends
        return 1 / (high - low)

    @property
    def _level(self) -> bool:
        return self.noise.slope <= _LEVEL * self.noise.base

    @property
    def _read(self) -> float:
        """The variance at black, in photons."""
        return self.noise.base / self.noise.slope**2

    @property
    def _ends(self) -> tuple[float, float]:
        low, high = self._root(np.array([0.0, 1.0])).tolist()
        return low, high

    def _root(self, values: _Values) -> _Values:
        """Of a standard deviation of 1."""
        return np.asarray(2 * np.sqrt(np.maximum(values / self.noise.slope + 3 / 8 + self._read, 0)))
