"""PNGs of 16-bit colours, which Pillow would reduce to 8 bits."""

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smidgen.errors import FileError
from smidgen.files import check_inflated

_MOST_INTERLACED = 500_000


def png_depth(file: BinaryIO) -> int:
    """Bits a sample."""
    file.seek(24)
    return file.read(1)[0]


def read_deep_png(file: BinaryIO, name: str, image: Image.Image) -> NDArray[np.uint16]:
    """Its samples `(H, W, C)`.

    Args:
        file: the PNG.
        name: to call it by in errors.
        image: what Pillow says about it.

    Raises:
        FileError: it is large and interlaced, or unfolds to more than its size.
    """
    import png

    file.seek(28)
    if file.read(1) != b"\0" and image.width * image.height > _MOST_INTERLACED:
        raise FileError(
            f"{name} is a large interlaced PNG of 16-bit colours",
            expected=f"at most {_MOST_INTERLACED:,} pixels, which are sorted one by one",
            remedy="Save it without interlacing",
        )
    file.seek(0)
    packed = b"".join(content for kind, content in png.Reader(file=file).chunks() if kind == b"IDAT")
    row = 1 + 2 * image.width * len(image.getbands())
    check_inflated(name, packed, 2 * row * image.height)  # twice: an interlaced one has more, shorter rows
    file.seek(0)
    width, height, rows, _ = png.Reader(file=file).asDirect()
    return np.stack([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, -1)


def write_deep_png(file: BinaryIO, image: NDArray[np.uint16]) -> None:
    """Write `(H, W, C)` with C = 2, 3 or 4, alpha last."""
    import png

    height, width, channels = image.shape
    writer = png.Writer(width, height, greyscale=channels < 3, alpha=channels in (2, 4), bitdepth=16)
    writer.write_packed(file, image.astype(">u2").reshape(height, -1).view(np.uint8))
