"""What a training makes small, and what is left where it cannot be smaller; all values in [0, 1]."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Collection, pieces, read, shapes_of, stacks
from smidgen.errors import PairsError

PerImage = NDArray[np.float64]  # (N,)
_Values = NDArray[np.float64]

_CLIP = 1e-7
_AT_ONCE = 500_000  # values worth computing at once in float64


def bce(denoised: Collection, clean: Collection) -> float:
    """Mean over images of their mean binary cross-entropy, in nats.

    In float64, outputs clipped to [1e-7, 1 - 1e-7]. Grey targets keep it above `bce_floor`.

    Args:
        denoised, clean: images of the same sizes.

    Raises:
        PairsError: the sizes differ.
    """
    return float(bce_of_each(denoised, clean).mean())


def bce_of_each(denoised: Collection, clean: Collection) -> PerImage:
    """Binary cross-entropy of each image, (N,); see `bce`."""
    return _mean_of_each(_cross_entropy, denoised, clean)


def bce_floor(clean: Collection) -> float:
    """The lowest BCE any output can reach: the mean entropy of the targets, in nats."""
    return bce(clean, clean)


def mse(denoised: Collection, clean: Collection) -> PerImage:
    """Mean squared error of each image.

    Args:
        denoised, clean: images of the same sizes.

    Returns:
        (N,).

    Raises:
        PairsError: the sizes differ.
    """
    return _mean_of_each(_squared_error, denoised, clean)


def require_same_shapes(denoised: Collection, clean: Collection) -> None:
    """Refuse images that are not scored against others of their sizes.

    Raises:
        PairsError: the sizes differ.
    """
    one, other = shapes_of(denoised), shapes_of(clean)
    if len(one) != len(other):
        raise PairsError(f"{len(one):,} images are scored against {len(other):,}", expected="as many")
    for place in np.flatnonzero((one != other).any(1)).tolist():
        raise PairsError(
            f"an image of shape {tuple(one[place].tolist())} is scored against {tuple(other[place].tolist())}",
            expected="the same shape",
        )


def _mean_of_each(loss: Callable[[_Values, _Values], _Values], denoised: Collection, clean: Collection) -> PerImage:
    require_same_shapes(denoised, clean)
    shapes = shapes_of(clean)
    totals = np.zeros(len(shapes))
    for span, (some, others) in stacks(denoised, clean):
        for windows in pieces(shapes[span], _AT_ONCE):
            values = loss(read(some, windows).astype(np.float64), read(others, windows).astype(np.float64))
            numbers = [span.start + number for number, _, _ in windows]
            totals[numbers] += values.reshape(len(values), -1).sum(1)
    means: PerImage = totals / shapes.prod(1)
    return means


def _cross_entropy(p: _Values, t: _Values) -> _Values:
    p = np.clip(p, _CLIP, 1 - _CLIP)
    return np.asarray(-(t * np.log(p) + (1 - t) * np.log1p(-p)))


def _squared_error(a: _Values, b: _Values) -> _Values:
    return np.asarray(np.square(a - b))
