"""Scores of images against their clean counterparts; all values in [0, 1]."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Collection, pieces, read, shapes_of, stacks
from smidgen.training.losses import PerImage, mse, require_same_shapes

_SSIM_WINDOW = 7
_LEAST_ERROR = 1e-10  # 100 dB
_AT_ONCE = 500_000  # values worth computing at once in float64


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


def psnr(denoised: Collection, clean: Collection) -> PerImage:
    """Peak signal-to-noise ratio of each image, in dB, for values in [0, 1].

    Args:
        denoised, clean: images of the same sizes.

    Returns:
        (N,); 100 where the two are identical or nearly so, lest one such image rule a mean. Average these rather than
        pooling the error.

    Raises:
        PairsError: the sizes differ.
    """
    return psnr_of(mse(denoised, clean))


def psnr_of(errors: PerImage) -> PerImage:
    """The same from mean squared errors."""
    return np.asarray(-10 * np.log10(np.maximum(errors, _LEAST_ERROR)))


def ssim(denoised: Collection, clean: Collection) -> PerImage:
    """Structural similarity of each image, averaged over channels, for values in [0, 1].

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity":
    7 x 7 uniform window, K1 = 0.01, K2 = 0.03, sample covariance, mean over the windows that lie
    inside the image; the same as scikit-image's `structural_similarity`.

    Args:
        denoised, clean: images of the same sizes.

    Returns:
        (N,); NaN for images smaller than the window.

    Raises:
        PairsError: the sizes differ.
    """
    require_same_shapes(denoised, clean)
    shapes = shapes_of(clean)
    totals, counts = np.zeros(len(shapes)), np.zeros(len(shapes))
    edge = _SSIM_WINDOW // 2
    for span, (some, others) in stacks(denoised, clean):
        for windows in pieces(shapes[span], _AT_ONCE):
            height = int(shapes[span.start, 0])
            # Rows overlap by a window's, so that all windows lie in one piece or another.
            taller = [
                (number, slice(max(0, rows.start - edge), min(height, rows.stop + edge)), columns)
                for number, rows, columns in windows
            ]
            one, other = read(some, taller), read(others, taller)
            if min(one.shape[1:3]) < _SSIM_WINDOW:
                continue
            values = _similarity(one.astype(np.float64), other.astype(np.float64))
            numbers = [span.start + number for number, _, _ in windows]
            totals[numbers] += values.reshape(len(values), -1).sum(1)
            counts[numbers] += values[0].size
    with np.errstate(invalid="ignore"):
        return totals / counts


def _similarity(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each window that lies inside, (N, H, W, C) to (N, H - 6, W - 6, C)."""
    sample = _SSIM_WINDOW**2 / (_SSIM_WINDOW**2 - 1)
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = _window_means(x), _window_means(y)
    var_x = sample * (_window_means(x * x) - mean_x**2)
    var_y = sample * (_window_means(y * y) - mean_y**2)
    cov = sample * (_window_means(x * y) - mean_x * mean_y)
    return np.asarray(
        ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    )


def _window_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each window that lies inside, (N, H, W, C) to (N, H - 6, W - 6, C)."""
    height, width = (size - _SSIM_WINDOW + 1 for size in values.shape[1:3])
    rows = reduce(np.add, (values[:, start : start + height] for start in range(_SSIM_WINDOW)))
    both = reduce(np.add, (rows[:, :, start : start + width] for start in range(_SSIM_WINDOW)))
    return np.asarray(both / _SSIM_WINDOW**2)
