"""What one gets without learning: doing nothing, and the classical filters of photographs or of scans.

The filters come with `smidgen[train]`; those of scans are taken where pairs have texts or a reader of text is asked.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Images, ScaledImages, map_images, middle, read, shapes_of
from smidgen.data.pairs import Pairs
from smidgen.judging import page_filters
from smidgen.judging.extra import is_extra_installed
from smidgen.judging.legibility import Reader
from smidgen.judging.tesseract import Tesseract
from smidgen.training.losses import mse

NOTHING = "doing nothing"
_TUNED_ON = 200
_TUNED_SIDE, _TUNED_PIXELS = 512, 2_000_000
_PATCH = {"patch_size": 5, "patch_distance": 6}

# A filter's only constant, or all of several.
Strength = float | tuple[float, ...]
Filter = Callable[..., NDArray[np.float32]]  # of an image (H, W, C) and its constants


@dataclass(frozen=True)
class Baseline:
    """A classical denoiser with its strength chosen, and its MSE on the pairs it was chosen on.

    Attributes:
        name: of it.
        strength: its constant or constants; 0 or none of what has none.
        denoise: what it makes of images.
        error: on those pairs.
        reader: one that reads its images in place of the usual; None is the usual.
    """

    name: str
    strength: Strength
    denoise: Callable[[Images], Images]
    error: float
    reader: Reader | None = None


def _median(image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    from skimage.filters import median
    from skimage.morphology import disk

    footprint = disk(int(strength))
    return np.stack([median(channel, footprint) for channel in np.moveaxis(image, -1, 0)], -1)


def _total_variation(image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    from skimage.restoration import denoise_tv_chambolle

    return np.asarray(denoise_tv_chambolle(image, weight=strength, channel_axis=-1), np.float32)


def _wavelet(image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """Soft thresholds by BayesShrink for noise of this standard deviation; lines of pixels stay as they are."""
    from skimage.restoration import denoise_wavelet

    if min(image.shape[:2]) == 1:
        return image
    return np.asarray(denoise_wavelet(image, sigma=strength, channel_axis=-1), np.float32)


def _non_local_means(image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    from skimage.restoration import denoise_nl_means

    denoised = denoise_nl_means(image, h=strength, fast_mode=True, channel_axis=-1, **_PATCH)
    return np.asarray(denoised, np.float32).reshape(image.shape)  # it drops a single channel


# Strengths from hardly anything to far too much, so that the best lies within.
FILTERS: dict[str, tuple[Filter, Sequence[Strength]]] = {
    "median": (_median, (1, 2, 3)),
    "total variation": (_total_variation, (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)),
    "wavelet": (_wavelet, (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)),
    "non-local means": (_non_local_means, (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)),
}
_SIDES, _SHARES = (9, 15, 25, 51), (0.1, 0.2, 0.3, 0.4, 0.5)
# The same for scans of ink on white.
PAGE_FILTERS: dict[str, tuple[Filter, Sequence[Strength]]] = {
    "Otsu": (page_filters.otsu, ((),)),
    "Sauvola": (page_filters.sauvola, tuple(itertools.product(_SIDES, _SHARES))),
    "ISauvola": (page_filters.isauvola, tuple(itertools.product(_SIDES, _SHARES))),
    "closing, divide, stretch": (
        page_filters.close_divide_stretch,
        tuple(itertools.product((7, 11, 17, 25, 35), (0.0, 0.2, 0.4, 0.5, 0.6), (0.7, 0.8, 0.9, 1.0))),
    ),
}
if page_filters.is_unpaper_installed():
    PAGE_FILTERS["unpaper"] = (page_filters.unpaper, ((),))


def are_pages(val: Pairs, reader: Reader | None = None) -> bool:
    """Whether pairs are scans, which have baselines of their own: they have texts, or text is read in them."""
    return val.texts is not None or (reader is not None and reader.reads_text)


def filters_for(val: Pairs, reader: Reader | None = None) -> dict[str, tuple[Filter, Sequence[Strength]]]:
    """The filters that suit some pairs."""
    return PAGE_FILTERS if are_pages(val, reader) else FILTERS


def choose_baselines(val: Pairs, reader: Reader | None = None) -> Iterator[Baseline]:
    """Doing nothing, then each filter that is installed, of lowest MSE on a sample of the validation pairs.

    Args:
        val: the validation pairs.
        reader: who will read the images; Tesseract has a threshold of its own, which is a baseline, too.
    """
    some = _sample(val)
    untouched = float(mse(some.noisy, some.clean).mean())
    yield Baseline(NOTHING, 0.0, lambda noisy: noisy, untouched)
    if isinstance(reader, Tesseract):
        yield Baseline("Tesseract's Sauvola", 0.0, lambda noisy: noisy, untouched, reader.with_own_sauvola())
    for name, (filter_, strengths) in filters_for(val, reader).items() if is_extra_installed() else ():
        yield tune_baseline(name, filter_, strengths, some)


def tune_baseline(name: str, filter_: Filter, strengths: Sequence[Strength], pairs: Pairs) -> Baseline:
    """A filter with the strength of lowest MSE on these pairs."""
    errors: dict[Strength, float] = {}
    for strength in strengths:
        denoised = map_images(functools.partial(_apply, filter_, strength), pairs.noisy)
        errors[strength] = float(mse(denoised, pairs.clean).mean())
    strength = min(errors, key=errors.__getitem__)
    return Baseline(name, strength, functools.partial(_apply, filter_, strength), errors[strength])


def _sample(pairs: Pairs) -> Pairs:
    """The first 200, large ones cut around their middle, and no more than are soon filtered many times."""
    some = pairs.first(_TUNED_ON)
    shapes = shapes_of(some.clean)
    fits = max(1, int((np.cumsum(np.minimum(shapes[:, :2], _TUNED_SIDE).prod(1)) <= _TUNED_PIXELS).sum()))
    windows = [(number, *middle(shape, _TUNED_SIDE)) for number, shape in enumerate(shapes[:fits].tolist())]
    # Kept, since what is made when it is asked for would be made anew for each strength.
    noisy, clean = (ScaledImages([read(part, [one])[0] for one in windows]) for part in (some.noisy, some.clean))
    return Pairs(noisy, clean)


def _apply(filter_: Filter, strength: Strength, noisy: Images) -> Images:
    constants = strength if isinstance(strength, tuple) else (strength,)
    with ThreadPoolExecutor() as pool:
        return np.clip(np.stack(list(pool.map(lambda image: filter_(image, *constants), noisy))), 0, 1)
