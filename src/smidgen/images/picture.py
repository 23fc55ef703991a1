"""Pictures of every kind of file: 8 and 16 bits, floats, grey and colour, alpha, pages."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from smidgen.errors import FileError
from smidgen.images.kinds import KINDS_IN_WORDS, Limits, Picture, join_alpha, split_alpha
from smidgen.images.metadata import fit_metadata
from smidgen.images.raster import read_raster, write_raster
from smidgen.images.tiff_pages import Part, read_tiff, stream_tiff, write_tiff

MOST_PIXELS = 170_000_000  # just below where Pillow suspects an attack
_SAMPLES = (1, 2, 3, 4)


def read_picture(source: Path | bytes | BinaryIO, limits: Limits | None = None) -> Picture:
    """All an image file holds, upright (EXIF orientation applied).

    Args:
        source: a file, its content, or an open file, which is closed in the end.
        limits: refuse what is beyond them before it is unpacked; without them only pages of more than
            `MOST_PIXELS` are refused.

    Raises:
        FileError: missing, damaged, too large, an animation, or not an image.
    """
    name = str(source) if isinstance(source, Path) else "the input"
    most_pixels = limits.pixels if limits else MOST_PIXELS
    # Pillow warns of large pictures well below our own limit, and of damage that it can do without.
    with _naming_faults(name), warnings.catch_warnings(), _open(source) as file:
        warnings.simplefilter("ignore")
        start = file.read(8)
        file.seek(0)
        if start.startswith(b"\x93NUMPY"):
            if limits is not None:
                raise FileError(f"{name} is an npy file", expected=f"a {KINDS_IN_WORDS} file")
            return _read_array(file, name)
        if start[:2] in (b"II", b"MM"):
            return read_tiff(file, name, most_pixels, limits)
        return read_raster(file, name, most_pixels)


def stream_pages(path: Path) -> Iterator[Part]:
    """The pages of a TIFF of several, upright, each with its alpha, one in memory at a time.

    Raises:
        FileError: missing, damaged, too large, or no TIFF.
    """
    with _naming_faults(str(path)), path.open("rb") as file:
        yield from stream_tiff(file, str(path), MOST_PIXELS)


@contextmanager
def _naming_faults(name: str) -> Iterator[None]:
    """Say of whatever goes wrong in a decoder which file it was."""
    try:
        yield
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{name} does not exist") from None
    except PermissionError:
        raise FileError(f"{name} may not be read by this user") from None
    except MemoryError:
        raise FileError(f"{name} does not fit in memory") from None
    except Image.DecompressionBombError:
        raise FileError(f"{name} is huge", expected=f"at most {MOST_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise FileError(f"{name} is not an image", expected=f"a {KINDS_IN_WORDS} or npy file") from None
    except Exception as error:  # decoders raise nearly anything on damaged input
        raise FileError(
            f"{name} cannot be read as an image ({type(error).__name__}: {str(error)[:80]})",
            expected=f"a {KINDS_IN_WORDS} or npy file",
        ) from None


def pack_picture(picture: Picture) -> bytes:
    """The content of an image file.

    Raises:
        FileError: its kind cannot hold such values or pages.
    """
    if picture.kind not in ("tiff", "npy") and len(picture.pages) > 1:
        raise FileError(f"{picture.kind} cannot hold {len(picture.pages)} pages", remedy="Write a .tif file")
    file = io.BytesIO()
    if picture.kind == "npy":
        np.save(file, _unstack(picture))
    elif picture.kind == "tiff":
        write_tiff(file, picture)
    else:
        write_raster(file, picture)
    return file.getvalue()


def left_out(picture: Picture) -> list[str]:
    """Sentences about what its kind of file cannot hold of its metadata."""
    lost = fit_metadata(picture.metadata, picture.kind)[1]
    return [f"{picture.kind} cannot hold {', '.join(lost)}; left out"] if lost else []


def _open(source: Path | bytes | BinaryIO) -> BinaryIO:
    if isinstance(source, Path):
        return source.open("rb")
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _read_array(file: BinaryIO, name: str) -> Picture:
    """(H, W), (H, W, 1 to 4) with alpha as the 2nd or 4th, or with an axis for images before these."""
    array = np.load(file, allow_pickle=False)
    array = array.astype(np.float32) if array.dtype == bool else array
    if array.dtype.kind not in "uif" or array.size == 0:
        raise FileError(f"{name} holds {array.dtype} values of shape {array.shape}", expected="images of numbers")
    channels = array.ndim == 4 or (array.ndim == 3 and array.shape[2] in _SAMPLES)
    stacked = array.ndim == 4 or (array.ndim == 3 and not channels)
    if array.ndim not in (2, 3, 4) or (channels and array.shape[-1] not in _SAMPLES):
        raise FileError(f"{name} has shape {array.shape}", expected="(H, W), (H, W, C), (N, H, W) or (N, H, W, C)")
    whole = array if channels else array[..., None]
    colours = 3 if whole.shape[-1] >= 3 else 1
    pages, alphas = zip(*(split_alpha(page, colours) for page in (whole if stacked else [whole])), strict=True)
    return Picture(pages=pages, alphas=alphas, kind="npy", stacked=(stacked, channels))


def _unstack(picture: Picture) -> NDArray[Any]:
    """An array with the axes it was read with; a picture from another kind of file gets those it needs."""
    stacked, channels = picture.stacked
    pages = [join_alpha(page, alpha) for page, alpha in zip(picture.pages, picture.alphas, strict=True)]
    if len({(page.shape, page.dtype) for page in pages}) > 1:
        raise FileError("npy cannot hold pages of different sizes or depths", remedy="Write a .tif file")
    if not channels and pages[0].shape[2] == 1:
        pages = [page[..., 0] for page in pages]
    return np.stack(pages) if stacked or len(pages) > 1 else pages[0]
