"""What scans are cleaned with that do not learn: thresholds, division by the paper's shade, and `unpaper`.

All take an image `(H, W, C)` in [0, 1], ink on white, and their constants, and give another of the same shape, most of
them black and white.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smidgen.errors import SmidgenError

Picture = NDArray[np.float32]

_WIDEST = 1e-6  # least distance of the ends of a stretch
# Of unpaper what leaves everything in its place; the rest moves text about.
_IN_PLACE = ("--no-deskew", "--no-mask-scan", "--no-mask-center", "--no-border-scan", "--no-border-align")
_PATIENCE = 300  # seconds for one page


def otsu(image: Picture) -> Picture:
    """One threshold for the page: Otsu 1979, "A threshold selection method from gray-level histograms"."""
    from skimage.filters import threshold_otsu

    grey = _grey(image)
    return _as_image(grey > threshold_otsu(grey), image)


def sauvola(image: Picture, side: float, k: float) -> Picture:
    """A threshold for each pixel: Sauvola and Pietikäinen 2000, "Adaptive document image binarization"."""
    return _as_image(_above_sauvola(_grey(image), side, k), image)


def isauvola(image: Picture, side: float, k: float) -> Picture:
    """Of Sauvola's ink the pieces that meet a strong edge.

    Hadjadj et al. 2016, "ISauvola: improved Sauvola's algorithm for document image binarization". Strong edges are
    where the contrast of 3 x 3 pixels, (largest − least) / (largest + least), lies above Otsu's threshold.
    """
    from scipy.ndimage import label, maximum_filter, minimum_filter
    from skimage.filters import threshold_otsu

    grey = _grey(image)
    high, low = maximum_filter(grey, 3), minimum_filter(grey, 3)
    contrast = (high - low) / (high + low + 1e-4)
    pieces, count = label(~_above_sauvola(grey, side, k), np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[pieces[contrast > threshold_otsu(contrast)]] = True
    kept[0] = False
    return _as_image(~kept[pieces], image)


def close_divide_stretch(image: Picture, side: float, low: float, high: float) -> Picture:
    """Divide by the paper, as a grey closing of `side` pixels finds it, and stretch what lies from `low` to `high`."""
    from scipy.ndimage import grey_closing

    paper = np.stack([grey_closing(channel, (int(side),) * 2) for channel in np.moveaxis(image, -1, 0)], -1)
    divided = image / np.maximum(paper, _WIDEST)
    return np.asarray(np.clip((divided - low) / max(high - low, _WIDEST), 0, 1), np.float32)


def is_unpaper_installed() -> bool:
    """Whether the program is there."""
    return shutil.which("unpaper") is not None


def unpaper(image: Picture) -> Picture:
    """What `unpaper` makes of a page with its usual filters, in grey; nothing is moved.

    Raises:
        SmidgenError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="smidgen-") as folder:
        given, made = Path(folder, "given.pgm"), Path(folder, "made.pgm")
        Image.fromarray(np.rint(255 * _grey(image)).astype(np.uint8)).save(given)
        command = ["unpaper", "--quiet", *_IN_PLACE, str(given), str(made)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE)  # noqa: S603
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise SmidgenError(f"unpaper failed: {error}") from None
        with Image.open(made) as grey:
            return _as_image(np.asarray(grey, np.float32) / np.float32(255), image)


def _grey(image: Picture) -> Picture:
    return np.asarray(np.clip(image, 0, 1).mean(-1), np.float32)


def _as_image(grey: NDArray[np.bool_] | Picture, like: Picture) -> Picture:
    """With as many channels, all alike."""
    return np.repeat(np.asarray(grey, np.float32)[..., None], like.shape[-1], -1)


def _above_sauvola(grey: Picture, side: float, k: float) -> NDArray[np.bool_]:
    from skimage.filters import threshold_sauvola

    return np.asarray(grey > threshold_sauvola(grey, window_size=int(side), k=k, r=0.5))
