"""Image files to arrays and back: 8 and 16 bits, floats, grey and colour."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import png
import tifffile
from numpy.typing import NDArray
from PIL import Image

from smidgen.errors import FileError

IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"})
MOST_PIXELS = 170_000_000  # just below where Pillow suspects an attack
_TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
# Values of TIFF tags 262 and 284.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_PLANES_APART = 2


def read_image(path: Path) -> NDArray[Any]:
    """One image as `(H, W, C)` with C = 1 or 3, in its own depth: uint8, uint16 or float.

    Raises:
        FileError: missing, damaged, too large, with transparency, or not an image.
    """
    try:
        # Pillow warns of large pictures well below our own limit.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = _read_tiff(path) if path.suffix.lower() in _TIFF_SUFFIXES else _read_other(path)
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except PermissionError:
        raise FileError(f"{path} may not be read by this user") from None
    except MemoryError:
        raise FileError(f"{path} does not fit in memory") from None
    except Exception as error:  # decoders raise nearly anything on damaged input
        raise FileError(
            f"{path} cannot be read as an image ({type(error).__name__}: {str(error)[:80]})",
            expected="a PNG, TIFF, JPEG or BMP file",
        ) from None
    return image[..., None] if image.ndim == 2 else image


def _refuse_alpha(path: Path) -> FileError:
    return FileError(
        f"{path} has an alpha channel (transparency)",
        expected="grey or colour without alpha: a transparent pixel has no clean value to learn",
        remedy="Flatten it onto a background first",
    )


def _refuse_size(path: Path, height: int, width: int) -> FileError:
    return FileError(f"{path} is {height} x {width}", expected=f"at most {MOST_PIXELS:,} pixels")


def _read_tiff(path: Path) -> NDArray[Any]:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if len(tiff.pages) > 1:
            raise FileError(f"{path} has {len(tiff.pages)} pages", expected="one image a file")
        if page.imagelength * page.imagewidth > MOST_PIXELS:
            raise _refuse_size(path, page.imagelength, page.imagewidth)
        if page.extrasamples:
            raise _refuse_alpha(path)
        deep = page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) and page.bitspersample >= 8
        if deep and page.samplesperpixel in (1, 3):
            with contextlib.suppress(ValueError):  # a compression tifffile needs a codec package for
                image: NDArray[Any] = page.asarray()
                if page.planarconfig == _PLANES_APART and image.ndim == 3:
                    image = image.transpose(1, 2, 0)
                if page.photometric == _WHITE_IS_ZERO and image.dtype.kind == "u":
                    image = np.iinfo(image.dtype).max - image
                return image
    # Palettes, black-and-white and print colours are Pillow's.
    return _read_other(path)


def _read_other(path: Path) -> NDArray[Any]:
    with Image.open(path) as opened:
        image: Image.Image = opened
        if image.width * image.height > MOST_PIXELS:
            raise _refuse_size(path, image.height, image.width)
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            raise _refuse_alpha(path)
        if image.format == "PNG" and image.mode == "RGB" and _png_depth(path) == 16:
            return _read_deep_png(path)
        if image.mode == "P":
            image = image.convert("RGB")
        elif image.mode == "1":
            image = image.convert("L")
        elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            image = image.convert("RGB")
        array = np.asarray(image)
    return array.astype(np.uint16) if array.dtype in (np.int32, np.dtype(">u2")) else array


def _png_depth(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[24]


def _read_deep_png(path: Path) -> NDArray[np.uint16]:
    """A 16-bit colour PNG, which Pillow would reduce to 8 bits."""
    with path.open("rb") as file:
        width, height, rows, _ = png.Reader(file=file).read()
        return np.stack([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, 3)
