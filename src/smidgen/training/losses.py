"""What a training makes small, and what is left where it cannot be smaller; all values in [0, 1]."""

import numpy as np
from numpy.typing import NDArray

from smidgen.data.pairs import Images
from smidgen.data.scale import chunks
from smidgen.errors import PairsError

PerImage = NDArray[np.float64]  # (N,)

_CLIP = 1e-7


def bce(denoised: Images, clean: Images) -> float:
    """Mean binary cross-entropy over all pixels, in nats.

    In float64, outputs clipped to [1e-7, 1 - 1e-7]. Grey targets keep it above `bce_floor`.

    Args:
        denoised, clean: (N, H, W, C), same shape.

    Raises:
        PairsError: the shapes differ.
    """
    require_same_shape(denoised, clean)
    total = 0.0
    for part in chunks(clean):
        p = np.clip(denoised[part].astype(np.float64), _CLIP, 1 - _CLIP)
        t = clean[part].astype(np.float64)
        total -= float((t * np.log(p) + (1 - t) * np.log1p(-p)).sum())
    return total / clean.size


def bce_floor(clean: Images) -> float:
    """The lowest BCE any output can reach: the mean entropy of the targets, in nats."""
    return bce(clean, clean)


def mse(denoised: Images, clean: Images) -> PerImage:
    """Mean squared error of each image.

    Args:
        denoised, clean: (N, H, W, C), same shape.

    Returns:
        (N,).

    Raises:
        PairsError: the shapes differ.
    """
    require_same_shape(denoised, clean)
    errors = np.empty(len(clean))
    for part in chunks(clean):
        difference = denoised[part].astype(np.float64) - clean[part]
        errors[part] = (difference**2).reshape(len(difference), -1).mean(1)
    return errors


def require_same_shape(denoised: Images, clean: Images) -> None:
    """Refuse images that are not scored against others of their shape.

    Raises:
        PairsError: the shapes differ.
    """
    if denoised.shape != clean.shape:
        raise PairsError(
            f"images of shape {denoised.shape} are scored against {clean.shape}", expected="the same shape"
        )
