"""TIFF files by tifffile: what is in a page, and which way round."""

import contextlib
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from smidgen.files import check_inflated

SUFFIXES = frozenset({".tif", ".tiff"})
# Values of TIFF tags 262, 284 and 338.
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
UNCOMPRESSED, DEFLATE = 1, (8, 32946)
_PLANES_APART = 2
_SIZES = (
    "imagewidth", "imagelength", "imagedepth", "samplesperpixel", "bitspersample", "rowsperstrip", "tilewidth",
    "tilelength",
)  # fmt: skip
ALPHA_APART = 2


def import_tifffile() -> Any:
    """Tifffile, which takes a moment to import, without its log."""
    import tifffile

    tifffile.logger().setLevel(logging.CRITICAL)
    return tifffile


def open_tiff(file: Path | BinaryIO) -> Any:
    """A TIFF as tifffile sees it, page by page; not as a microscope's program lays it out."""
    return import_tifffile().TiffFile(file, is_scanimage=False)


def count_images(description: bytes) -> int:
    """How many images a description of ImageJ's is of."""
    found = re.search(rb"^images=(\d{1,12})\s*$", description, re.MULTILINE)
    return int(found[1]) if found else 1


def count_stacked(page: Any, pages: int) -> int:
    """How many images stand under a directory: several where it is ImageJ's, and the only one of a large stack."""
    description = page.description.encode(errors="replace")
    if pages > 1 or not description.startswith(b"ImageJ=") or not page.is_contiguous:
        return 1
    count = count_images(description)
    whole = page.dataoffsets[0] + count * page.nbytes <= page.parent.filehandle.size
    return count if count > 1 and whole else 1


def count_colours(page: Any) -> int:
    """1 for grey, 3 for RGB, 0 for what is neither."""
    return {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3}.get(page.photometric, 0)


def check_sizes(page: Any) -> None:
    """Refuse sizes that are no single whole numbers; tags can hold fractions, and lists, which multiplication repeats.

    Raises:
        ValueError: one is not, or how colours are stored is none of the two ways.
    """
    for name in _SIZES:
        value = getattr(page, name)
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} is {str(value)[:40]}")
    if page.samplesperpixel > 1 and page.planarconfig not in (1, _PLANES_APART):
        raise ValueError(f"planarconfig is {page.planarconfig}")


def piece_size(page: Any) -> tuple[int, int]:
    """Rows and columns of each strip or tile."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip or page.imagelength, page.imagelength), page.imagewidth


def has_all_pieces(page: Any) -> bool:
    """Whether a page has as many strips or tiles as its size asks for."""
    rows, columns = piece_size(page)
    planes = page.samplesperpixel if page.planarconfig == _PLANES_APART else 1
    asked = -(-page.imagelength // max(1, rows)) * -(-page.imagewidth // max(1, columns)) * planes
    return bool(rows and columns and asked == len(page.dataoffsets))


def alpha_kind(page: Any) -> int:
    """How alpha is told (tag 338): 0 unspecified, 1 multiplied in, 2 apart."""
    kind = int(page.extrasamples[0]) if page.extrasamples else ALPHA_APART
    return kind if kind in (0, 1, 2) else 0


def odd_make(page: Any) -> dict[str, bool]:
    """Reasons for which a page cannot be read by tifffile, and whether each holds."""
    colours, kind = count_colours(page), page.dtype.kind if page.dtype is not None else "none"
    signed_white = page.photometric == WHITE_IS_ZERO and kind in ("i", "f")
    return {
        "it is neither grey nor RGB": not colours or page.samplesperpixel - colours not in (0, 1) or signed_white,
        "its values are no numbers of 8 bits or more": page.bitspersample < 8 or kind not in ("u", "i", "f"),
        f"its compression ({page.compression!s}) is not known": page.compression not in (UNCOMPRESSED, *DEFLATE),
    }


def read_page(page: Any) -> NDArray[Any] | None:
    """`(H, W, C)`, light on high, with alpha as a last channel; None where tifffile cannot."""
    if page.imagedepth > 1 or any(odd_make(page).values()):
        return None
    if not has_all_pieces(page):
        raise ValueError(f"{len(page.dataoffsets)} strips or tiles, not as many as the picture's size asks for")
    check_segments(page, page.dataoffsets, page.databytecounts)
    with contextlib.suppress(ValueError):
        image: NDArray[Any] = page.asarray()
        if page.planarconfig == _PLANES_APART and image.ndim == 3:
            image = image.transpose(1, 2, 0)
        image = image.reshape(*image.shape[:2], -1)
        if page.photometric == WHITE_IS_ZERO:
            image = np.concatenate([turn_white(image[..., :1], True), image[..., 1:]], axis=2)
        return turn_upright(image, orientation_of(page))
    return None


def check_segments(page: Any, offsets: Iterable[int], sizes: Iterable[int]) -> None:
    """Refuse tiles or strips of a page that unpack to more than they are to hold.

    Raises:
        FileError: one does.
    """
    if page.compression not in DEFLATE:
        return
    rows, columns = piece_size(page)
    samples = 1 if page.planarconfig == _PLANES_APART else page.samplesperpixel
    most = rows * columns * samples * -(-page.bitspersample // 8)
    for offset, size in zip(offsets, sizes, strict=False):
        page.parent.filehandle.seek(offset)
        check_inflated("the TIFF", page.parent.filehandle.read(size), most)


def orientation_of(page: Any) -> int:
    """The value of tag 274, 1 where the first row is on top and the first column on the left, or it has no sense."""
    tag = page.tags.get("Orientation")
    return int(tag.value) if tag is not None and tag.value in range(1, 9) else 1


def turn_white(image: NDArray[Any], white_is_zero: bool) -> NDArray[Any]:
    """Light on high from a TIFF whose zero is white, or back."""
    return np.iinfo(image.dtype).max - image if white_is_zero and image.dtype.kind == "u" else image


def turn_upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply EXIF and TIFF tag 274; what is none of 1 to 8 has no sense, and nothing is turned."""
    if orientation not in range(2, 9):
        return array
    if orientation >= 5:
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)
