"""Whether an exported model answers as the model file does."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import SmidgenError
from smidgen.pairs.pairs import Images
from smidgen.tasks.tasks import SAMPLE_TASK, example_pairs

TOLERANCE = 1e-5


def check_images(size: tuple[int, int], channels: int) -> Images:
    """Four real and four random images `(8, H, W, channels)`; real ones are repeated or cut to the size."""
    height, width = size
    real = example_pairs(SAMPLE_TASK, 4).noisy
    real = np.tile(real, (1, -(-height // 28), -(-width // 28), channels))[:, :height, :width]
    random = np.random.default_rng(0).random((4, height, width, channels), dtype=np.float32)
    return np.concatenate([real, random])


def verify(
    exported: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    original: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    noisy: Images,
    name: str,
) -> float:
    """The largest difference between what two functions of `(N, H, W, C)` make of the same images.

    Raises:
        SmidgenError: it is more than `TOLERANCE`.
    """
    difference = float(np.abs(exported(noisy) - original(noisy)).max())
    if not difference <= TOLERANCE:
        raise SmidgenError(
            f"The exported {name} differs from the model by {difference:.2g}, more than {TOLERANCE:.0e}; not kept."
        )
    return difference
