"""Colours as luma and chroma, each a grey picture in [0, 1] for a model of one channel.

Luma is the mean of red, green and blue, chroma (red - blue) / 2 and (2 green - red - blue) / 4 around mid-grey: rows of
an orthonormal transform, each as large as fits into [0, 1]. So noise that is white and as strong in all channels
stays white, and is weaker by the factors 0.58, 0.71 and 0.61: the model must know noise of many strengths. Measured in
docs/experiments.md.
"""

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Images

_MIDDLE = np.float32(0.5)


def split_colours(colours: Images) -> Images:
    """Luma and two planes of chroma `(..., 3)` of red, green and blue `(..., 3)`."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    third, half, quarter = (np.float32(1 / parts) for parts in (3, 2, 4))
    chroma = (red - blue) * half + _MIDDLE, (green + green - red - blue) * quarter + _MIDDLE
    return np.stack([(red + green + blue) * third, *chroma], -1)


def join_colours(planes: Images) -> Images:
    """Red, green and blue in [0, 1] of what `split_colours` made of them."""
    luma, warm, green = np.moveaxis(planes, -1, 0)
    warm, green = warm - _MIDDLE, (green - _MIDDLE) * np.float32(2 / 3)
    joined: NDArray[np.float32] = np.stack([luma + warm - green, luma + green + green, luma - warm - green], -1)
    return np.clip(joined, 0, 1, out=joined)
