"""Scores of images against their clean counterparts; all values in [0, 1]."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from smidgen.data.pairs import Images
from smidgen.data.scale import chunks
from smidgen.training.losses import PerImage, mse, require_same_shape

_SSIM_WINDOW = 7


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

    require_same_shape(denoised, clean)
    if min(clean.shape[1:3]) < _SSIM_WINDOW:
        return np.full(len(clean), np.nan)
    window = (1, _SSIM_WINDOW, _SSIM_WINDOW, 1)
    edge = _SSIM_WINDOW // 2
    sample = _SSIM_WINDOW**2 / (_SSIM_WINDOW**2 - 1)
    c1, c2 = 0.01**2, 0.03**2
    values = np.empty(len(clean))
    for part in chunks(clean):
        x, y = denoised[part].astype(np.float64), clean[part].astype(np.float64)
        mean_x, mean_y = uniform_filter(x, window), uniform_filter(y, window)
        var_x = sample * (uniform_filter(x * x, window) - mean_x**2)
        var_y = sample * (uniform_filter(y * y, window) - mean_y**2)
        cov = sample * (uniform_filter(x * y, window) - mean_x * mean_y)
        map_ = ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
        values[part] = map_[:, edge:-edge, edge:-edge].mean((1, 2, 3))
    return values
