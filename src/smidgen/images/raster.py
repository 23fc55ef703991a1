"""The kinds of files that Pillow reads and writes."""

import io
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base

from smidgen.errors import FileError
from smidgen.files import refuse_bomb
from smidgen.images.exif import (
    MARK,
    SIDEWAYS,
    find_xmp_orientation,
    make_upright,
    make_xmp_upright,
    resolution_of,
    unpack_exif,
)
from smidgen.images.kinds import Picture, check_size, join_alpha, split_alpha
from smidgen.images.metadata import MOST_BYTES, Metadata, check_resolution, fit_metadata
from smidgen.images.png import GREY_WITH_ALPHA, png_colours, png_depth, read_texts, write_png
from smidgen.images.raster_scan import scan_raster
from smidgen.images.tiff import turn_upright

_LOSSY_QUALITY = 95
_BAND_PIXELS = 2_000_000
_BYTES_A_ROW = 8  # for the place where it begins
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")  # of all that Pillow would try
# Colours that become RGB.
_OTHER_COLOURS = ("CMYK", "LAB", "YCbCr", "HSV")
_OLD_EXIF = "Raw profile type exif"  # as PNGs had it once: hexadecimal digits behind three lines


def read_raster(file: BinaryIO, name: str, most_pixels: int) -> Picture:
    """A picture of one page, upright.

    Raises:
        FileError: it is too large, an animation or of another kind.
        Exception: nearly any, on damaged input.
    """
    scan_raster(file, name)
    with Image.open(file, formats=_FORMATS) as opened:
        image: Image.Image = opened
        kind = str(image.format).lower()
        check_size(name, image.height, image.width, most_pixels)
        size = file.seek(0, io.SEEK_END)
        refuse_bomb(name, size, image.height * (image.width * _bytes_a_pixel(file, image) + _BYTES_A_ROW))
        if kind != "mpo" and getattr(image, "n_frames", 1) > 1:
            raise FileError(f"{name} is an animation of {getattr(image, 'n_frames', 1)} frames", expected="one image")
        # Pillow reduces all 16-bit PNGs but grey ones to 8 bits.
        if kind == "png" and image.mode in ("RGB", "RGBA") and png_depth(file) == 16:
            array: NDArray[Any] = _read_deep_png(file, image)
            image.load()  # for what stands behind the samples
        else:
            array = _as_array(image)
        metadata, orientation = _read_metadata(file, image, kind)
    array = turn_upright(array, orientation)
    page, alpha = split_alpha(array, 3 if array.shape[2] >= 3 else 1)
    return Picture(pages=(page,), alphas=(alpha,), kind="jpeg" if kind == "mpo" else kind, metadata=metadata)


def read_frame(file: BinaryIO, number: int) -> NDArray[Any]:
    """A page of a TIFF, `(H, W, C)`, upright, alpha last.

    Raises:
        Exception: nearly any, on damaged input.
    """
    file.seek(0)
    with Image.open(file) as image:
        image.seek(number)
        return _as_array(image)


def _read_metadata(file: BinaryIO, image: Image.Image, kind: str) -> tuple[Metadata, int]:
    """What the file says, as of an upright picture, and how it is turned, 1 to 8; of a TIFF little, see `tiff_pages`.

    To be asked after loading: Pillow turns TIFFs itself while it loads them, and then forgets the tag.
    """
    info = image.info
    parts = {name: info.get(name) for name in ("exif", "icc_profile", "xmp", "comment")}
    if image.mode in _OTHER_COLOURS:  # a profile of them says nothing about what they are turned into
        del parts["icc_profile"]
    if kind == "tiff":
        return Metadata(icc_profile=parts.get("icc_profile")), image.getexif().get(Base.Orientation, 1)
    told = {name: part for name, part in parts.items() if isinstance(part, bytes) and part}
    kept: dict[str, Any] = {name: part for name, part in told.items() if len(part) <= MOST_BYTES}
    kept["chunks"], skipped = read_texts(file, MOST_BYTES) if kind == "png" else ((), False)
    remarks = ["metadata of many megabytes are left out"] if skipped or told.keys() - kept.keys() else []
    # Of a JPEG that does not tell it Pillow says 72, or what its EXIF says.
    guessed = info.get("jfif_unit") == 0 or (kind in ("jpeg", "mpo") and "exif" in info and "jfif_unit" not in info)
    kept["resolution"] = None if guessed else check_resolution(info.get("dpi"))
    orientation = None
    if "exif" in kept or _OLD_EXIF in info:
        try:
            block = kept.pop("exif", None) or bytes.fromhex("".join(info[_OLD_EXIF].split("\n")[3:]))
            while block.startswith(MARK):
                block = block.removeprefix(MARK)
            exif = unpack_exif(block)
            found = exif.get(Base.Orientation)
            orientation = found if isinstance(found, int) and 1 <= found <= 8 else None
            kept["exif"] = make_upright(block, sideways=orientation in SIDEWAYS)
            kept["resolution"] = kept["resolution"] or check_resolution(resolution_of(exif))
        except (ValueError, TypeError, struct.error):
            remarks.append("its EXIF is damaged and left out")
    if "xmp" in kept:
        orientation = orientation or find_xmp_orientation(kept["xmp"])
        kept["xmp"] = make_xmp_upright(kept["xmp"])
    if orientation in SIDEWAYS and kept["resolution"]:
        kept["resolution"] = kept["resolution"][::-1]
    return Metadata(remarks=tuple(remarks), **kept), orientation or 1


def _bytes_a_pixel(file: BinaryIO, image: Image.Image) -> int:
    """What it takes to read one: Pillow gives four bytes to colours, and deep PNGs are read twice."""
    if image.mode in ("1", "L"):
        return 1
    if image.mode in ("RGB", "RGBA") and image.format == "PNG" and png_depth(file) == 16:
        return 24
    return 4


def _as_array(image: Image.Image) -> NDArray[Any]:
    """`(H, W, C)` of a Pillow image, alpha last."""
    transparency = image.info.get("transparency")
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or transparency is not None
    if image.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGB", "RGBa", "RGBX"):
        wanted = "RGBA" if transparent else "RGB"
        image = image if image.mode == wanted else image.convert(wanted)
    elif image.mode == "La":
        image = image.convert("LA")
    array = _values(image)
    if array.dtype == bool:
        array, transparency = array.astype(np.uint8) * 255, 255 if transparency else transparency
    array = array.astype(np.uint16) if array.dtype in (np.int32, np.dtype(">u2")) else array
    if array.ndim == 2 and isinstance(transparency, int):  # one grey value stands for nothing
        alpha = np.where(array == transparency, 0, np.iinfo(array.dtype).max).astype(array.dtype)
        array = np.stack([array, alpha], axis=2)
    return array.reshape(*array.shape[:2], -1)


def _read_deep_png(file: BinaryIO, opened: Image.Image) -> NDArray[np.uint16]:
    """The samples of a PNG of 16-bit colours, `(H, W, C)`.

    Pillow gives the higher bytes of such samples, or, asked for another order of bytes, the lower ones. Grey with alpha
    it takes for four samples of a byte.
    """
    transparency = opened.info.get("transparency")
    if png_colours(file) == GREY_WITH_ALPHA:
        both = _decode(file, "RGBA")
        high, low = both[..., ::2], both[..., 1::2]
    else:
        high, low = (_decode(file, f"{opened.mode};16{order}") for order in "BL")
    samples = high.astype(np.uint16)
    samples <<= 8
    samples |= low
    if transparency is None or opened.mode != "RGB":
        return samples
    alpha = np.where((samples == np.uint16(transparency)).all(2, keepdims=True), 0, np.iinfo(np.uint16).max)
    return np.concatenate([samples, alpha.astype(np.uint16)], axis=2)


def _decode(file: BinaryIO, order: str) -> NDArray[np.uint8]:
    """A PNG's samples, by one of Pillow's orders of bytes."""
    file.seek(0)
    with Image.open(file, formats=("PNG",)) as image:
        image.tile = [tile._replace(args=order) for tile in image.tile]
        return _values(image)


def _values(image: Image.Image) -> NDArray[Any]:
    """A Pillow image as numpy takes it, by bands of rows: at once it would be in memory three times more."""
    width, height = image.size
    rows = max(1, _BAND_PIXELS // max(1, width))
    if height <= rows:
        return np.asarray(image)
    bands = (np.asarray(image.crop((0, top, width, min(top + rows, height)))) for top in range(0, height, rows))
    first = next(bands)
    values = np.empty((height, *first.shape[1:]), first.dtype)
    values[:rows] = first
    for number, band in enumerate(bands, 1):
        values[number * rows : number * rows + len(band)] = band
    return values


def write_raster(file: BinaryIO, picture: Picture) -> None:
    """Write a picture of one page with what its kind can hold of its metadata.

    Raises:
        FileError: the kind cannot hold its values.
    """
    page, alpha = picture.pages[0], picture.alphas[0]
    image = join_alpha(page, alpha)
    if image.dtype != np.uint8 and not (image.dtype == np.uint16 and picture.kind == "png"):
        raise FileError(
            f"{picture.kind} cannot hold {image.dtype} values", remedy="Write a .tif file, or add --depth 8"
        )
    if alpha is not None and picture.kind in ("jpeg", "bmp"):
        raise FileError(f"{picture.kind} cannot hold transparency", remedy="Write a .png file")
    metadata, _ = fit_metadata(picture.metadata, picture.kind)
    settings: dict[str, Any] = {
        "dpi": metadata.resolution, "icc_profile": metadata.icc_profile, "xmp": metadata.xmp,
        "comment": metadata.comment, "exif": MARK + metadata.exif if metadata.exif else None,
        "quality": _LOSSY_QUALITY if picture.kind in ("jpeg", "webp") else None,
    }  # fmt: skip
    told = {name: value for name, value in settings.items() if value is not None}
    if picture.kind == "png":
        write_png(file, image, metadata.chunks, **told)
        return
    try:
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, format=picture.kind, **told)
    except (ValueError, OSError) as error:  # JPEG and WebP know no long sides
        raise FileError(
            f"{picture.kind} cannot hold a picture of {image.shape[0]} x {image.shape[1]} ({error})",
            remedy="Write a .png file",
        ) from None
