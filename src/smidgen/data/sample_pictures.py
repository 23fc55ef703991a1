"""Small grey photographs that ship with the package, to try things on.

`sample/pictures/LICENCES.md` tells whose they are.
"""

import io
from importlib import resources

from smidgen.data.collection import Images
from smidgen.data.scale import Scale
from smidgen.images.picture import read_picture


def load_pictures() -> dict[str, Images]:
    """By name, each `(1, H, W, 1)` in [0, 1]; they differ in size."""
    folder = resources.files("smidgen.data") / "sample" / "pictures"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".png")), key=lambda file: file.name)
    pages = {file.name.removesuffix(".png"): read_picture(io.BytesIO(file.read_bytes())).pages[0] for file in files}
    return {name: Scale(0, 255).normalise(page[None]) for name, page in pages.items()}
