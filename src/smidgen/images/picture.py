"""Pictures of every kind of file: 8 and 16 bits, floats, grey and colour, alpha, pages."""

import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from smidgen.errors import FileError
from smidgen.files import refuse_bomb
from smidgen.images.deep_png import png_depth, read_deep_png, write_deep_png
from smidgen.images.jpeg import check_scans
from smidgen.images.tiff import (
    ALPHA_APART,
    WHITE_IS_ZERO,
    alpha_kind,
    check_sizes,
    count_colours,
    import_tifffile,
    read_page,
    turn_upright,
    turn_white,
)

KINDS = {
    ".png": "png", ".tif": "tiff", ".tiff": "tiff", ".jpg": "jpeg", ".jpeg": "jpeg",
    ".bmp": "bmp", ".webp": "webp", ".npy": "npy",
}  # fmt: skip
IMAGE_SUFFIXES = frozenset(KINDS) - {".npy"}
MOST_PIXELS = 170_000_000  # just below where Pillow suspects an attack
_MOST_PAGES = 3000  # a millisecond each
_KINDS_IN_WORDS = "PNG, TIFF, JPEG, BMP, WebP"
_LOSSY_QUALITY = 95
_SAMPLES = (1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What an image file holds.

    Attributes:
        pages: each `(H, W, C)` with C = 1 or 3, uint8, uint16 or float; an array file may have other types.
        alphas: of each page `(H, W, 1)`, or None.
        kind: of the file, a value of `KINDS`.
        stacked: whether an array file had an axis for its pages, and one for its channels.
        alpha_kind: how a TIFF tells its alpha (tag 338): 0 unspecified, 1 multiplied in, 2 apart.
        white_is_zero: how a TIFF stored it; the values here are light on high.
        icc_profile: of the colours, where there is one.
    """

    pages: tuple[NDArray[Any], ...]
    alphas: tuple[NDArray[Any] | None, ...]
    kind: str
    stacked: tuple[bool, bool] = (False, False)
    alpha_kind: int = ALPHA_APART
    white_is_zero: bool = False
    icc_profile: bytes | None = None


def read_image(path: Path) -> NDArray[Any]:
    """One image as `(H, W, C)` with C = 1 or 3, in its own depth: uint8, uint16 or float.

    Raises:
        FileError: missing, damaged, too large, with transparency, of several pages, or not an image.
    """
    picture = read_picture(path)
    if len(picture.pages) > 1:
        raise FileError(f"{path} has {len(picture.pages)} pages", expected="one image a file")
    if picture.alphas[0] is not None:
        raise FileError(
            f"{path} has an alpha channel (transparency)",
            expected="grey or colour without alpha: a transparent pixel has no clean value to learn",
            remedy="Flatten it onto a background first",
        )
    return picture.pages[0]


@dataclass(frozen=True)
class Limits:
    """What a stranger's picture may be: so many pixels, all pages together, and so many pages; no array file."""

    pixels: int
    pages: int = 64


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
    try:
        # Pillow warns of large pictures well below our own limit.
        with warnings.catch_warnings(), _open(source) as file:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            start = file.read(8)
            file.seek(0)
            if start.startswith(b"\x93NUMPY"):
                if limits is not None:
                    raise FileError(f"{name} is an npy file", expected=f"a {_KINDS_IN_WORDS} file")
                return _read_array(file, name)
            if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return _read_tiff(file, name, limits)
            return _read_other(file, name, limits.pixels if limits else MOST_PIXELS)
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
        raise FileError(f"{name} is not an image", expected=f"a {_KINDS_IN_WORDS} or npy file") from None
    except Exception as error:  # decoders raise nearly anything on damaged input
        raise FileError(
            f"{name} cannot be read as an image ({type(error).__name__}: {str(error)[:80]})",
            expected=f"a {_KINDS_IN_WORDS} or npy file",
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
        _write_tiff(file, picture)
    else:
        _write_other(file, picture)
    return file.getvalue()


def _open(source: Path | bytes | BinaryIO) -> BinaryIO:
    if isinstance(source, Path):
        return source.open("rb")
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _check_size(name: str, height: int, width: int, most_pixels: int) -> None:
    if height * width > most_pixels:
        raise FileError(f"{name} is {height} x {width}", expected=f"at most {most_pixels:,} pixels")


def _read_array(file: BinaryIO, name: str) -> Picture:
    """(H, W), (H, W, 1 to 4) with alpha as the 2nd or 4th, or with an axis for images before these."""
    array = np.load(file, allow_pickle=False)
    if array.dtype.kind not in "uif" or array.size == 0:
        raise FileError(f"{name} holds {array.dtype} values of shape {array.shape}", expected="images of numbers")
    channels = array.ndim == 4 or (array.ndim == 3 and array.shape[2] in _SAMPLES)
    stacked = array.ndim == 4 or (array.ndim == 3 and not channels)
    if array.ndim not in (2, 3, 4) or (channels and array.shape[-1] not in _SAMPLES):
        raise FileError(f"{name} has shape {array.shape}", expected="(H, W), (H, W, C), (N, H, W) or (N, H, W, C)")
    whole = array if channels else array[..., None]
    colours = 3 if whole.shape[-1] >= 3 else 1
    pages = tuple(whole) if stacked else (whole,)
    return Picture(
        pages=tuple(page[..., :colours] for page in pages),
        alphas=tuple(page[..., colours:] if page.shape[2] > colours else None for page in pages),
        kind="npy",
        stacked=(stacked, channels),
    )


def _unstack(picture: Picture) -> NDArray[Any]:
    """An array with the axes it was read with; a picture from another kind of file gets those it needs."""
    stacked, channels = picture.stacked
    pages = [
        page if alpha is None else np.concatenate([page, alpha], axis=2)
        for page, alpha in zip(picture.pages, picture.alphas, strict=True)
    ]
    if len({(page.shape, page.dtype) for page in pages}) > 1:
        raise FileError("npy cannot hold pages of different sizes or depths", remedy="Write a .tif file")
    if not channels and pages[0].shape[2] == 1:
        pages = [page[..., 0] for page in pages]
    return np.stack(pages) if stacked or len(pages) > 1 else pages[0]


def _read_tiff(file: BinaryIO, name: str, limits: Limits | None) -> Picture:
    pages: list[NDArray[Any]] = []
    alphas: list[NDArray[Any] | None] = []
    white, pixels, unpacked = False, 0, 0
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with import_tifffile().TiffFile(file) as tiff:
        for page in tiff.pages:
            frame = page.aspage()
            check_sizes(frame)
            _check_size(name, frame.imagelength, frame.imagewidth, limits.pixels if limits else MOST_PIXELS)
            pixels += frame.imagelength * frame.imagewidth
            unpacked += frame.imagelength * frame.imagewidth * frame.samplesperpixel * frame.bitspersample // 8
            refuse_bomb(name, size, unpacked)
            if len(pages) >= _MOST_PAGES:
                raise FileError(f"{name} has more than {_MOST_PAGES:,} pages", remedy="Split it into several files")
            if limits is not None and (pixels > limits.pixels or len(pages) >= limits.pages):
                raise FileError(
                    f"{name} has many or large pages",
                    expected=f"at most {limits.pages}, with {limits.pixels:,} pixels together",
                )
            if frame.imagedepth > 1:
                raise FileError(f"{name} holds a volume of {frame.imagedepth} planes", expected="pages of one plane")
            image = read_page(frame)
            if image is None:  # palettes, black-and-white, print colours and some compressions are Pillow's
                if len(tiff.pages) > 1:
                    raise FileError(
                        f"{name} has several pages, and their colours or compression ({frame.compression!s}) can only "
                        "be read in files of one page",
                        expected="grey or RGB pages, uncompressed or with deflate",
                    )
                file.seek(0)
                return replace(_read_other(file, name, limits.pixels if limits else MOST_PIXELS), kind="tiff")
            white = white or frame.photometric == WHITE_IS_ZERO
            colours = count_colours(frame)
            pages.append(image[..., :colours])
            alphas.append(image[..., colours:] if image.shape[2] > colours else None)
        first = tiff.pages.first
    return Picture(
        pages=tuple(pages),
        alphas=tuple(alphas),
        kind="tiff",
        alpha_kind=alpha_kind(first),
        white_is_zero=white,
        icc_profile=first.iccprofile,
    )


def _write_tiff(file: BinaryIO, picture: Picture) -> None:
    with import_tifffile().TiffWriter(file, bigtiff=sum(page.nbytes for page in picture.pages) > 2**31) as writer:
        for page, alpha in zip(picture.pages, picture.alphas, strict=True):
            white = picture.white_is_zero and page.shape[2] == 1 and page.dtype.kind == "u"
            image = turn_white(page, white)
            if alpha is not None:
                image = np.concatenate([image, alpha], axis=2)
            writer.write(
                image if image.shape[2] > 1 else image[..., 0],
                photometric="rgb" if page.shape[2] == 3 else "miniswhite" if white else "minisblack",
                planarconfig="contig" if image.shape[2] > 1 else None,
                extrasamples=None if alpha is None else [picture.alpha_kind],
                iccprofile=picture.icc_profile,
                metadata=None,
                contiguous=False,
            )


def _read_other(file: BinaryIO, name: str, most_pixels: int) -> Picture:
    with Image.open(file) as opened:
        image: Image.Image = opened
        kind = str(image.format).lower()
        _check_size(name, image.height, image.width, most_pixels)
        size = file.seek(0, io.SEEK_END)
        refuse_bomb(name, size, image.height * image.width * len(image.getbands()))
        if kind not in (*KINDS.values(), "mpo"):
            raise FileError(f"{name} is a {image.format} file", expected=f"a {_KINDS_IN_WORDS} file")
        if kind != "mpo" and getattr(image, "n_frames", 1) > 1:
            raise FileError(f"{name} is an animation of {getattr(image, 'n_frames', 1)} frames", expected="one image")
        if kind in ("jpeg", "mpo"):
            file.seek(0)
            check_scans(name, file.read())
        # A profile of print or Lab colours says nothing about what they are turned into.
        profile = None if image.mode in ("CMYK", "LAB", "YCbCr", "HSV") else image.info.get("icc_profile")
        # Pillow reduces all 16-bit PNGs but grey ones to 8 bits.
        if kind == "png" and image.mode in ("RGB", "RGBA", "LA") and png_depth(file) == 16:
            array: NDArray[Any] = read_deep_png(file, name, image)
        else:
            array = _as_array(image)
        # Asked for only now: Pillow turns TIFFs itself while it loads them, and then forgets the tag.
        orientation = image.getexif().get(0x0112, 1)
    array = turn_upright(array, orientation)
    colours = 3 if array.shape[2] >= 3 else 1
    alpha = array[..., colours:] if array.shape[2] > colours else None
    return Picture(
        pages=(array[..., :colours],), alphas=(alpha,), kind="jpeg" if kind == "mpo" else kind, icc_profile=profile
    )


def _as_array(image: Image.Image) -> NDArray[Any]:
    """`(H, W, C)` of a Pillow image, alpha last."""
    transparency = image.info.get("transparency")
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or transparency is not None
    if image.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGB", "RGBa", "RGBX"):
        image = image.convert("RGBA" if transparent else "RGB")
    elif image.mode == "La":
        image = image.convert("LA")
    array = np.asarray(image)
    if array.dtype == bool:
        array, transparency = array.astype(np.uint8) * 255, 255 if transparency else transparency
    array = array.astype(np.uint16) if array.dtype in (np.int32, np.dtype(">u2")) else array
    if array.ndim == 2 and isinstance(transparency, int):  # one grey value stands for nothing
        alpha = np.where(array == transparency, 0, np.iinfo(array.dtype).max).astype(array.dtype)
        array = np.stack([array, alpha], axis=2)
    return array.reshape(*array.shape[:2], -1)


def _write_other(file: BinaryIO, picture: Picture) -> None:
    page, alpha = picture.pages[0], picture.alphas[0]
    image = page if alpha is None else np.concatenate([page, alpha], axis=2)
    deep = image.dtype == np.uint16 and picture.kind == "png"
    if deep and image.shape[2] > 1:
        write_deep_png(file, image)
        return
    if image.dtype != np.uint8 and not deep:
        raise FileError(
            f"{picture.kind} cannot hold {image.dtype} values", remedy="Write a .tif file, or add --depth 8"
        )
    if alpha is not None and picture.kind in ("jpeg", "bmp"):
        raise FileError(f"{picture.kind} cannot hold transparency", remedy="Write a .png file")
    result = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    settings: dict[str, Any] = {} if picture.icc_profile is None else {"icc_profile": picture.icc_profile}
    if picture.kind in ("jpeg", "webp"):
        settings["quality"] = _LOSSY_QUALITY
    result.save(file, format=picture.kind, **settings)
