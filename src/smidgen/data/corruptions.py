"""Corruptions: functions that make a noisy image from a clean one in [0, 1]; noise may leave that."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import numpy as np
from PIL import Image

from smidgen.data.camera import develop, expose
from smidgen.data.collection import Images
from smidgen.data.origin import Step
from smidgen.errors import InputError, PairsError

SIGMA = 0.4
SEED = 0  # of what is drawn once: validation and test

# Fainter noise is lost in float32, and needs more photons than can be counted.
_FAINTEST = 1e-7
_READ = 0.1  # of a sensor's variance at white, what reading it adds
_BLOCK = 8  # pixels, of JPEG

Overlay = Callable[[Images, Images], Images]
Damage = Callable[[Images, float, np.random.Generator], Images]
# A function of the user's own: clean images (N, H, W, C) and the source of chance -> noisy ones.
Own = Callable[[Images, np.random.Generator], object]
# What people say: a kind, a kind with a strength or with the least and the greatest, a function.
Wish = str | tuple[str] | tuple[str, float] | tuple[str, float, float] | Own


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
    """Gaussian noise of this standard deviation, not clipped."""
    return clean + np.float32(strength) * generator.standard_normal(clean.shape, dtype=np.float32)


def poisson_noise(clean: Images, strength: float, generator: np.random.Generator) -> Images:
    """The noise of counted photons, as many as give white this standard deviation; not clipped.

    A value v becomes Poisson(v / s²)·s², of mean v and variance v·s².
    """
    if strength < _FAINTEST:
        return clean
    photons = np.maximum(clean, 0).astype(np.float64) / strength**2
    return (generator.poisson(photons) * strength**2).astype(np.float32)


def poisson_gaussian(clean: Images, strength: float, generator: np.random.Generator) -> Images:
    """The noise of a sensor in little light: counted photons, and a tenth of the variance at white wherever it is read.

    A value v has variance s²·(0.9·v + 0.1); see Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling".
    """
    counted = poisson_noise(clean, math.sqrt(1 - _READ) * strength, generator)
    return gaussian_noise(counted, math.sqrt(_READ) * strength, generator)


def camera_noise(clean: Images, strength: float, generator: np.random.Generator) -> Images:
    """A sensor's noise as it looks in the picture that a camera makes of it; not clipped.

    `poisson_gaussian` in the light behind a Bayer filter, of this strength at white in green; red and blue get more by
    white balance.
    """
    if strength < _FAINTEST:
        return clean
    raw = expose(clean)
    noisy = poisson_gaussian(raw.light / raw.gain, strength, generator) * raw.gain
    return clean + develop(noisy, raw.channels) - develop(raw.light, raw.channels)


def salt_and_pepper(clean: Images, strength: float, generator: np.random.Generator) -> Images:
    """So large a share of the values black or white, either as often."""
    draw = generator.random(clean.shape, dtype=np.float32)
    return np.where(draw < strength / 2, 0, np.where(draw > 1 - strength / 2, 1, clean)).astype(np.float32)


def blur(clean: Images, strength: float, generator: np.random.Generator) -> Images:
    """A Gaussian blur with this standard deviation in pixels; the edge goes on beyond itself."""
    if strength <= 0:
        return clean
    radius = _blur_radius(strength)
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


def _blur_radius(strength: float) -> int:
    return int(np.ceil(3 * strength))


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
    "poisson-noise": NamedCorruption("Poisson noise", "standard deviation at white", 1.0, 0.2, poisson_noise),
    "poisson-gaussian": NamedCorruption("sensor noise", "standard deviation at white", 1.0, 0.2, poisson_gaussian),
    "camera-noise": NamedCorruption(
        "camera noise", "standard deviation at white of the light", 0.5, 0.03, camera_noise
    ),
    "salt-and-pepper": NamedCorruption("salt and pepper", "share of the pixels", 0.8, 0.25, salt_and_pepper),
    "blur": NamedCorruption("blur", "standard deviation in pixels", 4.0, 1.0, blur),
    "jpeg": NamedCorruption("JPEG", "100 less the quality", 99.0, 90.0, jpeg),
}


@dataclass(frozen=True)
class Corruption:
    """Kinds with their strengths and functions of the user's own, applied one after the other."""

    parts: tuple[Step | Own, ...]

    def apply(self, clean: Images, generator: np.random.Generator) -> Images:
        """Noisy images for clean ones; where a step has a range, each image draws a strength of its own.

        Args:
            clean: (N, H, W, C) in [0, 1], left as they are.
            generator: of all that is drawn.

        Returns:
            (N, H, W, C), not clipped.

        Raises:
            PairsError: a function of the user's own gave something else.
        """
        noisy = clean
        for part in self.parts:
            if isinstance(part, Step):
                noisy = _apply_step(part, noisy, generator)
            else:
                noisy = _apply_own(part, noisy, generator)
        return noisy

    @property
    def reach(self) -> int:
        """How many pixels away a pixel's neighbours still count in what becomes of it, as far as is known.

        Whole blocks where there is JPEG, so that these lie in a window with its surroundings as in one without.
        """
        steps = [part for part in self.parts if isinstance(part, Step)]
        far = sum(_blur_radius(step.strength[1]) for step in steps if step.kind == "blur" and step.strength)
        return -(-far // _BLOCK) * _BLOCK if any(step.kind == "jpeg" for step in steps) else far

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is recorded."""
        return tuple(part if isinstance(part, Step) else Step(_name(part)) for part in self.parts)

    @property
    def has_own(self) -> bool:
        """Whether a part is a function, which its name does not tell all about."""
        return not all(isinstance(part, Step) for part in self.parts)


def make_corruption(wish: Wish | list[Wish]) -> Corruption:
    """From what people say.

    Args:
        wish: a kind ("blur"), with a strength ("blur", 1.0) or with the least and the greatest ("blur", 0, 2); a
            function of clean images (N, H, W, C), float32, and a numpy generator, that gives noisy ones; or a list
            of these, for one after the other.

    Raises:
        InputError: there is no such kind, or a strength is beyond its range.
    """
    wishes = wish if isinstance(wish, list) else [wish]
    if not wishes:
        raise InputError("the list of corruptions is empty", expected=f"one of {', '.join(CORRUPTIONS)}, or a function")
    return Corruption(tuple(one if callable(one) else _make_step(one) for one in wishes))


def _make_step(wish: object) -> Step:
    name, *strength = wish if isinstance(wish, tuple) and wish else (wish,)
    if not (isinstance(name, str) and name in CORRUPTIONS):
        raise InputError(f"there is no corruption {name!r}", expected=f"one of {', '.join(CORRUPTIONS)}")
    kind = CORRUPTIONS[name]
    given = [float(value) for value in strength if isinstance(value, Real)]
    if len(given) < len(strength) or len(given) > 2:
        found = " ".join(map(str, strength))
        raise InputError(f"the strength of {name} is {found}", expected="one number, or the least and the greatest")
    low, high = (given[0], given[-1]) if given else (kind.usual, kind.usual)
    for value in (low, high):
        if not (math.isfinite(value) and 0 <= value <= kind.most):
            raise InputError(f"the strength of {name} is {value:g}", expected=f"0 to {kind.most:g}, the {kind.unit}")
    if low > high:
        raise InputError(
            f"the strengths of {name} go from {low:g} to {high:g}",
            expected="the least first, then the greatest",
            remedy=f"Swap them: {high:g} {low:g}",
        )
    return Step(name, (low, high))


def _apply_step(step: Step, clean: Images, generator: np.random.Generator) -> Images:
    damage = CORRUPTIONS[step.kind].damage
    low, high = step.strength or (0.0, 0.0)
    if low == high:
        return damage(clean, low, generator)
    strengths = generator.uniform(low, high, len(clean))
    noisy = np.empty_like(clean)
    for number, strength in enumerate(strengths):
        noisy[number : number + 1] = damage(clean[number : number + 1], strength, generator)
    return noisy


def _apply_own(own: Own, clean: Images, generator: np.random.Generator) -> Images:
    noisy = np.asarray(own(clean.copy(), generator))  # a copy, since it may work in place
    if noisy.shape != clean.shape or noisy.dtype.kind not in "uif":
        raise PairsError(
            f"{_name(own)} gave an array of {noisy.dtype} of shape {noisy.shape} for clean images of {clean.shape}",
            expected="real numbers of the same shape",
        )
    if not np.isfinite(noisy).all():
        raise PairsError(f"{_name(own)} gave NaN or infinity", expected="finite numbers")
    return noisy.astype(np.float32)


def _name(own: Own) -> str:
    """Of a function; of what has none, such as a partial one, its type's."""
    return str(getattr(own, "__qualname__", type(own).__qualname__))
