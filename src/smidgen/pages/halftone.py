"""Pictures as print shows them: in dots, or in greys."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GREY = 0.25  # of the pictures are in greys


def print_picture(
    picture: NDArray[np.float32], height: int, width: int, fine: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """A picture of this size, 0 is ink.

    Args:
        picture: `(H, W)` in [0, 1], stretched to fit.
        height, width: in pixels.
        fine: how many pixels are drawn for one of the page, across and down.
        generator: draws the screen.
    """
    grey = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    if generator.random() < _GREY:
        return np.asarray(grey * 255, np.uint8)
    pitch = fine * generator.uniform(2.5, 8)
    angle = np.deg2rad(generator.choice([0, 15, 45, 75]))
    rows, columns = np.ogrid[:height, :width]
    step = np.float32(2 * np.pi / pitch)
    across = step * (np.cos(angle) * columns + np.sin(angle) * rows)
    along = step * (np.cos(angle) * rows - np.sin(angle) * columns)
    # Between 0 and 1, a hill for each dot: what of it stands above the picture's grey is paper.
    screen = (np.cos(across, dtype=np.float32) + np.cos(along, dtype=np.float32)) / 4 + np.float32(0.5)
    dots = np.clip((grey - screen) * np.float32(pitch) + np.float32(0.5), 0, 1)
    return np.asarray(dots * 255, np.uint8)
