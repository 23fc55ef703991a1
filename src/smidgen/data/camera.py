"""What a camera does between light and picture: a Bayer filter, white balance, demosaicking, a tone curve.

It smears noise over neighbours, shares it between the colours and lifts it in the shadows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Images

Planes = NDArray[np.float32]

# Of red, green and blue: how much white balance amplifies them in daylight, and what they add to the luma of Rec. 601.
_GAINS = (2.0, 1.0, 1.5)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# The colour of a site by the parity of its row and column.
_SITES = ((0, 1), (1, 2))
_COLOURS = 3


@dataclass(frozen=True)
class Raw:
    """What the sensor's sites would see of pictures.

    Attributes:
        light: of each site, balanced, linear and in [0, 1], `(N, H, W)`; where pictures are not in colour, each channel
            is a picture of grey things.
        gain: how much each has been amplified, `(H, W)`.
        channels: of the pictures.
    """

    light: Planes
    gain: Planes
    channels: int


def expose(pictures: Images) -> Raw:
    """What sites would see of pictures `(N, H, W, C)` in [0, 1]."""
    _, height, width, channels = pictures.shape
    light = _to_light(np.clip(pictures, 0, 1))
    if channels == _COLOURS:
        sites: Planes = np.empty(light.shape[:3], np.float32)
        for row, column, colour in _each_site():
            sites[:, row::2, column::2] = light[:, row::2, column::2, colour]
    else:
        sites = np.moveaxis(light, 3, 1).reshape(-1, height, width)
    gain = np.empty((height, width), np.float32)
    for row, column, colour in _each_site():
        gain[row::2, column::2] = _GAINS[colour]
    return Raw(sites, gain, channels)


def develop(light: Planes, channels: int) -> Images:
    """Pictures `(N, H, W, C)` in [0, 1] of what sites saw, `(N, H, W)` as in `Raw`."""
    colours = _to_picture(np.clip(_demosaic(light), 0, 1))
    if channels == _COLOURS:
        return colours
    grey = colours @ _LUMA
    return np.ascontiguousarray(np.moveaxis(grey.reshape(-1, channels, *grey.shape[1:]), 1, 3))


def _each_site() -> list[tuple[int, int, int]]:
    return [(row, column, _SITES[row][column]) for row in (0, 1) for column in (0, 1)]


def _to_light(values: Images) -> Images:
    """The curve of sRGB undone (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _to_picture(light: Images) -> Images:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def _demosaic(light: Planes) -> Images:
    """All three colours at each site, `(N, H, W, 3)`: from neighbours of that colour, corrected by the site's own.

    The 5 x 5 filters of Malvar, He and Cutler 2004, "High-quality linear interpolation for demosaicing of
    Bayer-patterned color images".
    """
    _, height, width = light.shape
    padded = np.pad(light, ((0, 0), (2, 2), (2, 2)), mode="reflect")  # which keeps rows' and columns' parity

    def at(down: int, right: int) -> Planes:
        return padded[:, 2 + down : 2 + down + height, 2 + right : 2 + right + width]

    beside, above = at(0, -1) + at(0, 1), at(-1, 0) + at(1, 0)
    far_beside, far_above = at(0, -2) + at(0, 2), at(-2, 0) + at(2, 0)
    diagonal = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    own = at(0, 0)
    green = (4 * own + 2 * (beside + above) - far_beside - far_above) / 8
    opposite = (6 * own + 2 * diagonal - 1.5 * (far_beside + far_above)) / 8
    from_beside = (5 * own + 4 * beside - far_beside - diagonal + 0.5 * far_above) / 8
    from_above = (5 * own + 4 * above - far_above - diagonal + 0.5 * far_beside) / 8
    colours = np.empty((*light.shape, _COLOURS), np.float32)
    for row, column, colour in _each_site():
        site = np.s_[:, row::2, column::2]
        if colour == 1:
            of_row = _SITES[row][1 - column]
            found = {1: own, of_row: from_beside, 2 - of_row: from_above}
        else:
            found = {colour: own, 1: green, 2 - colour: opposite}
        for other, plane in found.items():
            colours[..., other][site] = plane[site]
    return colours
