"""Corruptions: functions that make a noisy image from a clean one, values in [0, 1]."""

from collections.abc import Callable

import numpy as np

from smidgen.pairs.pairs import Images

SIGMA = 0.4

Corruption = Callable[[Images, Images], Images]


def average(clean: Images, other: Images) -> Images:
    """The mean of two pictures, as of two slides in one projector at half brightness each."""
    return (clean + other) * np.float32(0.5)


def maximum(clean: Images, other: Images) -> Images:
    """The brighter of two pictures at each pixel."""
    return np.maximum(clean, other)


def add_noise(clean: Images, normal: Images) -> Images:
    """Gaussian noise of standard deviation `SIGMA`, clipped to [0, 1]; `normal` is N(0, 1)."""
    return np.clip(clean + np.float32(SIGMA) * normal, 0, 1)
