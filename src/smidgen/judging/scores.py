"""Scores of images against their clean counterparts; all values in [0, 1]."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smidgen.data.pairs import Images
from smidgen.errors import PairsError

PerImage = NDArray[np.float64]  # (N,)

_CLIP = 1e-7
_VALUES_AT_ONCE = 2_000_000
_SSIM_WINDOW = 7


@dataclass(frozen=True)
class Interval:
    """A share of counted cases with its 95 % Wilson score interval.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """

    rate: float
    low: float
    high: float
    n: int

    @staticmethod
    def of(hits: float, n: int) -> "Interval":
        """Of `hits` among `n` cases; `n` of at least 1. Hits may be a fraction where they are only expected."""
        z = 1.959963984540054
        rate = hits / n
        centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
        return Interval(rate, max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half)), n)


def cohen_kappa(first: Sequence[object], second: Sequence[object]) -> float:
    """How far two readers agree on the same images beyond chance: 1 always, 0 as often as by chance.

    Cohen 1960, "A coefficient of agreement for nominal scales". NaN where both gave one and the same
    answer to everything, or there is nothing.
    """
    n = len(first)
    if n == 0:
        return math.nan
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    counts = Counter(first), Counter(second)
    by_chance = sum(counts[0][answer] * counts[1][answer] for answer in counts[0]) / n**2
    return math.nan if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)


def bce(denoised: Images, clean: Images) -> float:
    """Mean binary cross-entropy over all pixels, in nats.

    In float64, outputs clipped to [1e-7, 1 - 1e-7]. Grey targets keep it above `bce_floor`.

    Args:
        denoised, clean: (N, H, W, C), same shape.

    Raises:
        PairsError: the shapes differ.
    """
    _require_same_shape(denoised, clean)
    total = 0.0
    for part in _parts(clean):
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
    _require_same_shape(denoised, clean)
    errors = np.empty(len(clean))
    for part in _parts(clean):
        difference = denoised[part].astype(np.float64) - clean[part]
        errors[part] = (difference**2).reshape(len(difference), -1).mean(1)
    return errors


def psnr(denoised: Images, clean: Images) -> PerImage:
    """Peak signal-to-noise ratio of each image, in dB, for values in [0, 1].

    Args:
        denoised, clean: (N, H, W, C), same shape.

    Returns:
        (N,); +inf where the two are identical. Average these rather than pooling the error.

    Raises:
        PairsError: the shapes differ.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(-10 * np.log10(mse(denoised, clean)))


def ssim(denoised: Images, clean: Images) -> PerImage:
    """Structural similarity of each image, averaged over channels, for values in [0, 1].

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity":
    7 x 7 uniform window, K1 = 0.01, K2 = 0.03, sample covariance, mean over the windows that lie
    inside the image; the same as scikit-image's `structural_similarity`.

    Args:
        denoised, clean: (N, H, W, C), same shape, H and W of at least 7.

    Returns:
        (N,); NaN where the images are smaller than the window.

    Raises:
        PairsError: the shapes differ.
    """
    from scipy.ndimage import uniform_filter  # the only part that needs it

    _require_same_shape(denoised, clean)
    if min(clean.shape[1:3]) < _SSIM_WINDOW:
        return np.full(len(clean), np.nan)
    window = (1, _SSIM_WINDOW, _SSIM_WINDOW, 1)
    edge = _SSIM_WINDOW // 2
    sample = _SSIM_WINDOW**2 / (_SSIM_WINDOW**2 - 1)
    c1, c2 = 0.01**2, 0.03**2
    values = np.empty(len(clean))
    for part in _parts(clean):
        x, y = denoised[part].astype(np.float64), clean[part].astype(np.float64)
        mean_x, mean_y = uniform_filter(x, window), uniform_filter(y, window)
        var_x = sample * (uniform_filter(x * x, window) - mean_x**2)
        var_y = sample * (uniform_filter(y * y, window) - mean_y**2)
        cov = sample * (uniform_filter(x * y, window) - mean_x * mean_y)
        map_ = ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
        values[part] = map_[:, edge:-edge, edge:-edge].mean((1, 2, 3))
    return values


def _parts(images: Images) -> Iterator[slice]:
    """Slices of as many images as are worth computing at once in float64."""
    at_once = max(1, _VALUES_AT_ONCE // max(1, images[:1].size))
    return (slice(start, start + at_once) for start in range(0, len(images), at_once))


def _require_same_shape(denoised: Images, clean: Images) -> None:
    if denoised.shape != clean.shape:
        raise PairsError(
            f"images of shape {denoised.shape} are scored against {clean.shape}", expected="the same shape"
        )
