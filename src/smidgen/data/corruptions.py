"""Corruptions: functions that make a noisy image from a clean one, values in [0, 1]."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from smidgen.data.pairs import Images

SIGMA = 0.4

Corruption = Callable[[Images, Images], Images]
Damage = Callable[[Images, float, np.random.Generator], Images]


def average(clean: Images, other: Images) -> Images:
    """The mean of two pictures, as of two slides in one projector at half brightness each."""
    return (clean + other) * np.float32(0.5)


def maximum(clean: Images, other: Images) -> Images:
    """The brighter of two pictures at each pixel."""
    return np.maximum(clean, other)


def add_noise(clean: Images, normal: Images, sigma: float = SIGMA) -> Images:
    """Gaussian noise of this standard deviation, clipped to [0, 1]; `normal` is N(0, 1)."""
    return np.clip(clean + np.float32(sigma) * normal, 0, 1)


def gaussian_noise(clean: Images, strength: float, generator: np.random.Generator) -> Images:
    """Gaussian noise of this standard deviation, clipped to [0, 1]."""
    return add_noise(clean, generator.standard_normal(clean.shape, dtype=np.float32), strength)


def salt_and_pepper(clean: Images, strength: float, generator: np.random.Generator) -> Images:
    """So large a share of the values black or white, either as often."""
    draw = generator.random(clean.shape, dtype=np.float32)
    return np.where(draw < strength / 2, 0, np.where(draw > 1 - strength / 2, 1, clean)).astype(np.float32)


def blur(clean: Images, strength: float, generator: np.random.Generator) -> Images:
    """A Gaussian blur with this standard deviation in pixels; the edge goes on beyond itself."""
    if strength <= 0:
        return clean
    radius = int(np.ceil(3 * strength))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / strength) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    blurred = clean
    for axis in (1, 2):
        width = [(0, 0)] * clean.ndim
        width[axis] = (radius, radius)
        padded = np.pad(blurred, width, mode="edge")
        size = clean.shape[axis]
        blurred = sum(
            (tap * padded.take(range(start, start + size), axis) for start, tap in enumerate(taps)),
            np.zeros_like(clean),
        )
    return blurred


def jpeg(clean: Images, strength: float, generator: np.random.Generator) -> Images:
    """Packed as JPEG of quality 100 less this strength, and unpacked."""
    noisy = np.empty_like(clean)
    for image, result in zip(clean, noisy, strict=True):
        for channel in range(image.shape[2]):
            file = io.BytesIO()
            grey = np.rint(np.clip(image[..., channel], 0, 1) * 255).astype(np.uint8)
            Image.fromarray(grey).save(file, "jpeg", quality=max(1, round(100 - strength)))
            result[..., channel] = np.asarray(Image.open(file), np.float32) / 255
    return noisy


@dataclass(frozen=True)
class NamedCorruption:
    """A corruption of any image, for people to choose.

    Attributes:
        title: for people.
        unit: what its strength is.
        most: the greatest strength; 0 is none.
        usual: to begin with.
        damage: the function.
    """

    title: str
    unit: str
    most: float
    usual: float
    damage: Damage


CORRUPTIONS = {
    "gaussian-noise": NamedCorruption("Gaussian noise", "standard deviation", 1.0, SIGMA, gaussian_noise),
    "salt-and-pepper": NamedCorruption("salt and pepper", "share of the pixels", 0.8, 0.25, salt_and_pepper),
    "blur": NamedCorruption("blur", "standard deviation in pixels", 4.0, 1.0, blur),
    "jpeg": NamedCorruption("JPEG", "100 less the quality", 99.0, 90.0, jpeg),
}
