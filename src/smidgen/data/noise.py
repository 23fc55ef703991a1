"""The noise of images that have no clean counterparts: how strong it is at each brightness, and whether it is white.

Both are read off flat parts: blocks of pixels whose quarters are alike, as far as noise lets them be, and in which a
Laplacian finds no more than noise. The two do not know of each other in white noise, so the choice biases neither.
See Immerkær 1996, "Fast noise variance estimation", for the Laplacian, and Foi et al. 2008, "Practical
Poissonian-Gaussian noise modeling", for the line. What is left of the error was measured (docs/without-clean.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Collection, Image, Images, middle, read, shapes_of, spread_places

_Values = NDArray[np.float64]

_BLOCK, _MIDDLE_BLOCK, _LARGE_BLOCK = 8, 14, 16  # pixels
_LAG = 2  # pixels
# How far off the variance is where texture hides the noise: twice the spread over photographs of BSD68 at σ = 25/255.
VARIANCE_OFF = 0.06
# Neighbours in the whitest of flat blocks correlate less where noise is white, or by less than nothing in all of them.
_CORRELATED, _WHITEST, _OPPOSED = 0.2, 0.05, -0.25
_MOST_VALUES = 20_000_000
_WIDEST = 1024  # pixels of an image that are looked at, either way
MOST_AT_ENDS = 0.02  # of a block's pixels, which were clipped if they are more
_FEWEST_BLOCKS = 24
_FAINTEST, _LEAST = 1e-8, 0.05
# Of a Laplacian's energy in blocks of white noise of variance 1: the spread, where it is cut, and the mean below; of
# that and of the quarters' differences the least that few blocks exceed. Measured on 60,000 blocks.
_SPREAD, _CUT, _MEAN_BELOW, _LOW, _UNLIKE = 0.323, 1.6, 0.945, 0.559, 2.6


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How noisy values scatter about what they should be, all in [0, 1].

    Attributes:
        slope, base: a value v has variance slope·v + base; of a camera that adds an offset to its counts the base is
            below 0.
        correlation: between a pixel's noise and its neighbours' 2 rows above to 2 below, row by row, 25 numbers with 1
            in the middle; empty for white noise.
    """

    slope: float
    base: float
    correlation: tuple[float, ...] = ()

    def __str__(self) -> str:
        if not self.slope:
            return f"standard deviation {math.sqrt(max(self.base, 0)):.3g}"
        offset = -self.base / self.slope
        black, white = (math.sqrt(max(end, 0)) for end in (self.base, self.slope + self.base))
        dark = f"0 at {offset:.3g}" if offset > 0 else f"{black:.3g} at black"
        return f"standard deviation {dark} to {white:.3g} at white"

    @property
    def none(self) -> bool:
        """Whether nothing was found."""
        return self.slope == 0 and self.base <= _FAINTEST

    @property
    def neighbours(self) -> float:
        """The stronger of the correlations with the next pixel across and down; 0 for white noise."""
        return max(self.correlation[12 + 1], self.correlation[12 + 5]) if self.correlation else 0.0

    def variance(self, values: NDArray[np.floating[Any]]) -> _Values:
        """At these values."""
        return np.asarray(np.maximum(self.slope * np.clip(values, 0, 1) + self.base, _FAINTEST))

    def draw(self, images: Images, generator: np.random.Generator) -> Images:
        """Noise of this kind for images `(N, H, W, C)`, without them; how bright they are is read off 3 x 3 pixels.

        None where a value lies at an end of the scale: it was clipped, and more noise would not have moved it.
        """
        drawn = self.draw_at(_smooth(images) if self.slope else images, generator)
        return np.asarray(drawn * ((images != 0) & (images != 1)))

    def draw_at(self, brightness: Images, generator: np.random.Generator) -> Images:
        """Noise of this kind alone, where images `(N, H, W, C)` without noise are so bright."""
        drawn = generator.standard_normal(brightness.shape, dtype=np.float32)
        if self.correlation:
            drawn = _colour(drawn, np.reshape(self.correlation, (5, 5)))
        deviation = np.sqrt(self.variance(brightness if self.slope else np.zeros(1)))
        return np.asarray(drawn * deviation.astype(np.float32))

    def times(self, factor: float) -> "Noise":
        """Noise of so many times its variance."""
        return replace(self, slope=factor * self.slope, base=factor * self.base)


def unclipped(image: Image) -> NDArray[np.bool_]:
    """Where in an image `(H, W, C)` hardly a pixel nearby was clipped, `(H, W, C)`; everywhere if that is nowhere."""
    ends = ((image <= image.min()) | (image >= image.max())).astype(np.float64)
    share = ends.copy()
    for axis in (0, 1):
        side = share.shape[axis]
        sums = np.pad(np.cumsum(share, axis), [(1, 0) if this == axis else (0, 0) for this in range(3)])
        places = np.arange(side)
        first, last = np.maximum(places - _BLOCK // 2, 0), np.minimum(places + _BLOCK // 2 + 1, side)
        share = (sums.take(last, axis) - sums.take(first, axis)) / np.expand_dims(
            last - first, [other for other in range(3) if other != axis]
        )
    kept: NDArray[np.bool_] = share <= MOST_AT_ENDS
    return kept if kept.any() else np.ones_like(kept)


def _smooth(images: Images) -> Images:
    """The mean of 3 x 3 pixels; the edge goes on beyond itself."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    smooth: Images = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(9)
    return smooth


def _colour(white: Images, correlation: _Values) -> Images:
    """Noise with these correlations, made of white noise by what has their spectrum."""
    height, width = white.shape[1:3]
    at = np.zeros((height, width))
    for row in range(-_LAG, _LAG + 1):
        for column in range(-_LAG, _LAG + 1):
            at[row % height, column % width] += correlation[row + _LAG, column + _LAG]
    gain = np.sqrt(np.maximum(np.fft.rfft2(at).real, 0))[None, :, :, None]
    spectrum = np.fft.rfft2(white, axes=(1, 2)) * gain
    return np.asarray(np.fft.irfft2(spectrum, (height, width), axes=(1, 2)), np.float32)


def estimate_noise(images: Collection) -> Noise:
    """The noise that noisy images have in common.

    Args:
        images: in [0, 1], noise beyond that included. Of large ones the middle is looked at, of many some.
    """
    shapes = shapes_of(images)
    sides = np.minimum(shapes[:, :2], _WIDEST)
    most = max(1, int(_MOST_VALUES / (sides.prod(1) * shapes[:, 2]).mean()))
    parts = []
    for place in spread_places(len(shapes), most).tolist():
        (part,) = read(images, [(place, *middle(shapes[place], _WIDEST))])
        parts += [part[..., channel].astype(np.float64) for channel in range(part.shape[2])]
    correlation = () if _is_white(parts) else tuple(_estimate_correlation(parts).ravel().round(4).tolist())
    slope, base = _fit_line(np.concatenate([_measure(part) for part in parts]), _gains(correlation))
    return Noise(slope=slope, base=base, correlation=correlation)


def strengths(images: Collection, noise: Noise) -> NDArray[np.float32]:
    """By what the variance of each image's noise differs from that of all, (N,); 1 where it is too small to tell."""
    factors = np.ones(len(images), np.float32)
    for place, shape in enumerate(shapes_of(images)):
        if shape[2] * ((shape[:2] - 2) // _BLOCK).prod() < _FEWEST_BLOCKS:
            continue
        (part,) = read(images, [(place, *middle(shape, _WIDEST))])
        blocks = [_measure(part[..., channel].astype(np.float64)) for channel in range(part.shape[2])]
        factors[place] = _fit_factor(np.concatenate(blocks), noise)
    return factors


def _measure(values: _Values) -> _Values:
    """Of each block of an image `(H, W)` its mean, its Laplacian's energy and its quarters' differences, `(n, 3)`.

    Both are the variance where there is nothing but white noise. Blocks that were clipped are left out.
    """
    height, width = ((side - 2) // _BLOCK for side in values.shape)
    if min(height, width) < 1:
        return np.empty((0, 3))

    def cut(part: _Values) -> _Values:
        return part[: height * _BLOCK, : width * _BLOCK].reshape(height, _BLOCK, width, _BLOCK)

    down = values[:-2] - 2 * values[1:-1] + values[2:]
    energy = np.square(cut((down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]) / 6)).mean((1, 3))
    inside = values[1:-1, 1:-1]
    half = _BLOCK // 2
    quarters = cut(inside).reshape(height, 2, half, width, 2, half).mean((2, 5))  # (height, 2, width, 2)
    unlike = np.square(quarters - quarters.mean((1, 3), keepdims=True)).sum((1, 3)) * half**2 / 3
    ends = (inside <= values.min()) | (inside >= values.max())
    kept = cut(ends.astype(np.float64)).mean((1, 3)) <= MOST_AT_ENDS
    return np.asarray(np.stack([cut(inside).mean((1, 3)), energy, unlike], -1)[kept])


def _gains(correlation: tuple[float, ...]) -> tuple[float, float]:
    """What noise with such correlations has of a Laplacian's energy and of quarters' differences, white noise 1."""
    if not correlation:
        return 1.0, 1.0
    by_place = np.reshape(correlation, (5, 5))
    second = np.array([1.0, -4.0, 6.0, -4.0, 1.0])  # [1 -2 1] correlated with itself
    laplacian = float((np.outer(second, second) / 36 * by_place).sum())
    return max(laplacian, 0.02), max(float(by_place.sum()), 0.02)


def _fit_line(blocks: _Values, gains: tuple[float, float]) -> tuple[float, float]:
    """Slope and base of the variance over brightness, from blocks that are flat by this very line.

    The slope is at least 0, and in none of the blocks the variance below a twentieth of what the least noisy ones have.
    """
    mean, energy, unlike = blocks.T / np.array([[1.0], *([gain] for gain in gains)])
    if not len(mean):
        return 0.0, _FAINTEST
    mean = np.clip(mean, 0, 1)
    slope, base = 0.0, float(np.quantile(energy, 0.05)) / _LOW
    least, dark = max(_LEAST * base, _FAINTEST), float(mean.min())
    for _ in range(30):
        line = np.maximum(slope * mean + base, least)
        flat = (energy < line * (1 + _CUT * _SPREAD)) & (unlike < _UNLIKE * line)
        if flat.sum() < _FEWEST_BLOCKS:
            break
        x, y, weight = mean[flat], energy[flat] / _MEAN_BELOW, 1 / line[flat]
        before = slope, base
        design = np.stack([x * weight, weight], 1)
        slope, base = np.linalg.lstsq(design, y * weight, rcond=None)[0].tolist()
        if slope < 0 or np.ptp(x) < 0.05:
            slope, base = 0.0, float(np.average(y, weights=weight))
        elif slope * dark + base < least:
            slope = float(((y - least) * weight).sum() / ((x - dark) * weight).sum())
            base = least - slope * dark
        if abs(slope - before[0]) + abs(base - before[1]) < 1e-4 * (slope + abs(base)):
            break
    return slope, base


def _fit_factor(blocks: _Values, noise: Noise) -> float:
    """The factor between these blocks' variance and the line."""
    if len(blocks) < _FEWEST_BLOCKS:
        return 1.0
    gains = _gains(noise.correlation)
    line = noise.variance(blocks[:, 0])
    energy, unlike = blocks[:, 1] / line / gains[0], blocks[:, 2] / line / gains[1]
    factor = float(np.quantile(energy, 0.05)) / _LOW
    for _ in range(30):
        flat = (energy < factor * (1 + _CUT * _SPREAD)) & (unlike < _UNLIKE * factor)
        if flat.sum() < _FEWEST_BLOCKS:
            return 1.0
        before, factor = factor, float(energy[flat].mean()) / _MEAN_BELOW
        if abs(factor - before) < 1e-4 * factor:
            break
    return factor


def _is_white(parts: Sequence[_Values]) -> bool:
    """Whether there are flat blocks with white noise alone; true where nothing tells.

    Texture that is stronger than the noise is alike from pixel to pixel, too, but here more and there less, while noise
    is the same all over.
    """
    found = []
    for values in parts:
        blocks = _flattest(values, _MIDDLE_BLOCK)
        power = np.square(blocks).mean((1, 2))
        across = (blocks[:, :, 1:] * blocks[:, :, :-1]).mean((1, 2))
        down = (blocks[:, 1:] * blocks[:, :-1]).mean((1, 2))
        told = power > _FAINTEST
        found.append(np.stack([across[told], down[told]]) / power[told])
    alike = np.concatenate(found, 1) if found else np.empty((2, 0))
    if not alike.size:
        return True
    whitest = float(np.quantile(alike.max(0), _WHITEST))
    return whitest < _CORRELATED and float(alike.mean(1).min()) > _OPPOSED


def _estimate_correlation(parts: Sequence[_Values]) -> _Values:
    """Of the flattest blocks, 5 x 5 with 1 in the middle; of white noise where there are none."""
    total = np.zeros((2 * _LAG + 1, 2 * _LAG + 1))
    for values in parts:
        blocks = _flattest(values, _LARGE_BLOCK)
        if not len(blocks):
            continue
        found = np.zeros_like(total)
        for row in range(_LAG + 1):
            for column in range(-_LAG, _LAG + 1):
                left, right = max(0, -column), max(0, column)
                first = blocks[:, : _LARGE_BLOCK - row, left : _LARGE_BLOCK - right]
                second = blocks[:, row:, right : _LARGE_BLOCK - left]
                found[_LAG + row, _LAG + column] = found[_LAG - row, _LAG - column] = (first * second).mean()
        if found[_LAG, _LAG] > _FAINTEST:
            total += found / found[_LAG, _LAG] * len(blocks)
    if total[_LAG, _LAG] == 0:
        total[_LAG, _LAG] = 1
    correlation: _Values = total / total[_LAG, _LAG]
    return correlation


def _flattest(values: _Values, side: int) -> _Values:
    """The twentieth of an image's blocks with the least left of them less their paraboloids, `(n, side, side)`."""
    height, width = (length // side for length in values.shape)
    if height * width < 4:
        return np.empty((0, side, side))
    cut = values[: height * side, : width * side]
    blocks = cut.reshape(height, side, width, side).transpose(0, 2, 1, 3).reshape(-1, side * side)
    ends = (blocks <= values.min()) | (blocks >= values.max())
    blocks = blocks[ends.mean(1) <= MOST_AT_ENDS]
    across, down = np.meshgrid(*2 * [np.linspace(-1, 1, side)])
    smooth = [across**0, across, down, across**2, across * down, down**2]
    basis, _ = np.linalg.qr(np.stack(smooth, -1).reshape(side * side, -1))
    left = blocks - blocks @ basis @ basis.T
    flattest = np.argsort(np.square(left).mean(1))[: max(4, len(blocks) // 20)]
    return np.asarray(left[flattest].reshape(-1, side, side))
