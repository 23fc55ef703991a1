"""Whether an exported model answers as the model file does."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Images, as_array
from smidgen.data.tasks import SAMPLE_TASK, example_pairs
from smidgen.errors import SmidgenError

TOLERANCE = 1e-5  # of full scale
_FEW_PIXELS = 2**16


def make_check_images(size: tuple[int, int], channels: int) -> Images:
    """Four real and as many random images `(8, H, W, channels)` in [0, 1], one of each where they are large.

    Real ones are repeated or cut to the size.
    """
    height, width = size
    n = 4 if height * width <= _FEW_PIXELS else 1
    real = as_array(example_pairs(SAMPLE_TASK, n).noisy)
    real = np.tile(real, (1, -(-height // 28), -(-width // 28), channels))[:, :height, :width]
    random = np.random.default_rng(0).random((n, height, width, channels), dtype=np.float32)
    return np.concatenate([real, random])


def verify(
    exported: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    original: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    noisy: NDArray[np.float32],
    name: str,
    full_scale: float = 1.0,
) -> float:
    """The largest difference between what two functions of `(N, H, W, C)` make of the same images.

    Args:
        exported, original: the functions.
        noisy: the images, on the scale that both take.
        name: of the exported form, for the error.
        full_scale: how far the values go that both give; the difference is a share of it.

    Raises:
        SmidgenError: it is more than `TOLERANCE`.
    """
    difference = float(np.abs(exported(noisy) - original(noisy)).max()) / full_scale
    if not difference <= TOLERANCE:
        raise SmidgenError(
            f"The exported {name} differs from the model by {difference:.2g} of full scale, more than "
            f"{TOLERANCE:.0e}; not kept."
        )
    return difference
