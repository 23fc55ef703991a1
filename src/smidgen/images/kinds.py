"""The kinds of image files, and what any of them holds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError
from smidgen.images.metadata import Metadata
from smidgen.images.tiff import ALPHA_APART

KIND_BY_SUFFIX = {
    ".png": "png", ".tif": "tiff", ".tiff": "tiff", ".jpg": "jpeg", ".jpeg": "jpeg",
    ".bmp": "bmp", ".webp": "webp", ".npy": "npy",
}  # fmt: skip
IMAGE_SUFFIXES = frozenset(KIND_BY_SUFFIX) - {".npy"}
KINDS_IN_WORDS = "PNG, TIFF, JPEG, BMP, WebP"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What an image file holds.

    Attributes:
        pages: each `(H, W, C)` with C = 1 or 3, uint8, uint16 or float; an array file may have other types.
        alphas: of each page `(H, W, 1)`, or None.
        kind: of the file, a value of `KIND_BY_SUFFIX`.
        stacked: whether an array file had an axis for its pages, and one for its channels.
        alpha_kind: how a TIFF tells its alpha (tag 338): 0 unspecified, 1 multiplied in, 2 apart.
        white_is_zero: how a TIFF stored it; the values here are light on high.
        metadata: what the file says beside its pixels.
    """

    pages: tuple[NDArray[Any], ...]
    alphas: tuple[NDArray[Any] | None, ...]
    kind: str
    stacked: tuple[bool, bool] = (False, False)
    alpha_kind: int = ALPHA_APART
    white_is_zero: bool = False
    metadata: Metadata = field(default_factory=Metadata)


@dataclass(frozen=True)
class Limits:
    """What a stranger's picture may be: so many pixels, all pages together, and so many pages; no array file."""

    pixels: int
    pages: int = 64


def check_size(name: str, height: int, width: int, most_pixels: int) -> None:
    """Refuse a picture of too many pixels.

    Raises:
        FileError: it is.
    """
    if height * width > most_pixels:
        raise FileError(f"{name} is {height} x {width}", expected=f"at most {most_pixels:,} pixels")


def split_alpha(image: NDArray[Any], colours: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The colours of `(H, W, S)`, and alpha where it follows them."""
    return image[..., :colours], image[..., colours:] if image.shape[2] > colours else None


def join_alpha(page: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """The inverse of `split_alpha`."""
    return page if alpha is None else np.concatenate([page, alpha], axis=2)
