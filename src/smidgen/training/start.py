"""The weights that a training begins with."""

import numpy as np
from numpy.typing import NDArray

from smidgen.network.layers import Network


def draw_weights(network: Network, seed: int) -> dict[str, NDArray[np.float32]]:
    """Learned tensors by name, normal with the mean, the spread and the peak that the network gives for each."""
    generator = np.random.default_rng(seed)
    drawn = {}
    for weight in network.weights:
        values = generator.standard_normal(weight.shape, dtype=np.float32) * weight.std + weight.mean
        if weight.peak:
            centre = weight.shape[-1] // 2
            values[..., centre, centre] += weight.peak
        drawn[weight.name] = values.astype(np.float32)
    return drawn
