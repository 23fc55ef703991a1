"""Make the pictures that ship in the package, grey and small, from scikit-image's own.

python tools/make_sample_pictures.py
"""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from skimage.color import rgb2gray
from skimage.transform import downscale_local_mean

FOLDER = Path(__file__).parent.parent / "src" / "smidgen" / "data" / "sample" / "pictures"
# How much smaller each becomes; averaging also takes away what noise and JPEG left in it.
PICTURES = {"astronaut": 2, "camera": 2, "chelsea": 2, "coffee": 2, "brick": 3, "gravel": 3}
MOST_SIDE = 192


def main() -> None:
    for name, smaller in PICTURES.items():
        picture = getattr(skimage.data, name)()
        grey = rgb2gray(picture) if picture.ndim == 3 else picture / 255
        small = downscale_local_mean(grey, smaller)
        top, left = ((side - min(side, MOST_SIDE)) // 2 for side in small.shape)
        shown = np.rint(255 * small[top : top + MOST_SIDE, left : left + MOST_SIDE]).astype(np.uint8)
        Image.fromarray(shown).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
