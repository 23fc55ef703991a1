"""TIFF files whole: all their pages, read and written."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, BinaryIO

from numpy.typing import NDArray

from smidgen.errors import FileError
from smidgen.images.kinds import Limits, Picture, check_size, join_alpha, split_alpha
from smidgen.images.raster import read_frame, read_raster
from smidgen.images.tiff import (
    WHITE_IS_ZERO,
    alpha_kind,
    check_sizes,
    count_colours,
    count_stacked,
    import_tifffile,
    open_tiff,
    read_page,
    turn_white,
)
from smidgen.images.tiff_metadata import TiffSettings, read_tiff_metadata
from smidgen.images.tiff_scan import MOST_PAGES, scan_tiff

_BIG_BYTES = 2**31

Part = tuple[NDArray[Any], NDArray[Any] | None]  # a page and its alpha


def read_tiff(file: BinaryIO, name: str, most_pixels: int, limits: Limits | None) -> Picture:
    """All pages of a TIFF, upright.

    Args:
        file: the TIFF.
        name: to call it by in errors.
        most_pixels: of a page.
        limits: of all pages together.

    Raises:
        FileError: it is too large, or of a make that cannot be read.
        Exception: nearly any, on damaged input.
    """
    scan_tiff(file, name)
    file.seek(0)
    usual = file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    file.seek(0)
    with open_tiff(file) if usual else nullcontext() as tiff:
        found = _read_pages(tiff, file, name, most_pixels, limits) if usual else None
        file.seek(0)
        # Palettes, black-and-white, print colours and some compressions are Pillow's.
        picture = found or replace(read_raster(file, name, most_pixels), kind="tiff")
        shapes = [(*page.shape[:2], page.shape[2] + (alpha is not None)) for page, alpha in _parts(picture)]
        metadata = read_tiff_metadata(tiff, shapes)
    if found is None:
        metadata = replace(metadata, icc_profile=picture.metadata.icc_profile)
    return replace(picture, metadata=metadata)


def stream_tiff(file: BinaryIO, name: str, most_pixels: int) -> Iterator[Part]:
    """The pages of a TIFF of several, upright, each with its alpha, one in memory at a time.

    Args:
        file: the TIFF.
        name: to call it by in errors.
        most_pixels: of a page.

    Raises:
        FileError: it is too large, or of a make that cannot be read.
        Exception: nearly any, on damaged input.
    """
    scan_tiff(file, name)
    file.seek(0)
    with open_tiff(file) as tiff:
        for part, _ in _each_page(tiff, file, name, most_pixels, None):
            yield part


def _parts(picture: Picture) -> Iterator[Part]:
    return zip(picture.pages, picture.alphas, strict=True)


def _read_pages(tiff: Any, file: BinaryIO, name: str, most_pixels: int, limits: Limits | None) -> Picture | None:
    """All pages; None for a single one that tifffile cannot read."""
    found = list(_each_page(tiff, file, name, most_pixels, limits))
    if not found:
        return None
    return Picture(
        pages=tuple(page for (page, _), _ in found),
        alphas=tuple(alpha for (_, alpha), _ in found),
        kind="tiff",
        alpha_kind=alpha_kind(tiff.pages.first),
        white_is_zero=any(white for _, white in found),
    )


def _each_page(
    tiff: Any, file: BinaryIO, name: str, most_pixels: int, limits: Limits | None
) -> Iterator[tuple[Part, bool]]:
    """Each page and whether its zero is white, by Pillow those of several that tifffile cannot read."""
    pixels = count = 0
    several = len(tiff.pages) > 1
    for number, page in enumerate(tiff.pages):
        frame = page.aspage()
        check_sizes(frame)
        check_size(name, frame.imagelength, frame.imagewidth, most_pixels)
        stacked = count_stacked(frame, len(tiff.pages))
        pixels += frame.imagelength * frame.imagewidth * stacked
        if limits is not None and (pixels > limits.pixels or count + stacked > limits.pages):
            raise FileError(
                f"{name} has many or large pages",
                expected=f"at most {limits.pages}, with {limits.pixels:,} pixels together",
            )
        if frame.imagedepth > 1:
            raise FileError(f"{name} holds a volume of {frame.imagedepth} planes", expected="pages of one plane")
        count += stacked
        if count > MOST_PAGES:
            raise FileError(f"{name} has more than {MOST_PAGES:,} pages", remedy="Split it into several files")
        for _ in range(stacked):
            image = read_page(frame)
            if image is None and not several:
                return
            if image is None:
                image = read_frame(file, number)
                yield split_alpha(image, 3 if image.shape[2] >= 3 else 1), False
                continue
            yield split_alpha(image, count_colours(frame)), frame.photometric == WHITE_IS_ZERO
            frame.dataoffsets = tuple(offset + frame.nbytes for offset in frame.dataoffsets)


def write_tiff(file: BinaryIO, picture: Picture) -> None:
    """Write all pages, uncompressed, with all that is said of them."""
    settings = TiffSettings(picture.metadata)
    big = sum(page.nbytes for page in picture.pages) > _BIG_BYTES
    images = [_join(picture, page, alpha) for page, alpha in _parts(picture)]
    with import_tifffile().TiffWriter(file, bigtiff=big, byteorder=settings.order) as writer:
        settings.begin(writer, big)
        if settings.stacked and len({(image.shape, image.dtype) for image, _ in images}) == 1:
            image, how = images[0]
            shape = (len(images), *image.shape) if len(images) > 1 else image.shape
            values = (image for image, _ in images)
            writer.write(values, shape=shape, dtype=image.dtype, **how, **settings.of_page(0, image.dtype))
        else:
            for number, (image, how) in enumerate(images):
                writer.write(image, contiguous=False, **how, **settings.of_page(number, image.dtype))


def _join(picture: Picture, page: NDArray[Any], alpha: NDArray[Any] | None) -> tuple[NDArray[Any], dict[str, Any]]:
    """A page as a TIFF holds it, `(H, W)` or `(H, W, S)`, and what tifffile is to know about it."""
    white = picture.white_is_zero and page.shape[2] == 1 and page.dtype.kind == "u"
    image = join_alpha(turn_white(page, white), alpha)
    how = {
        "photometric": "rgb" if page.shape[2] == 3 else "miniswhite" if white else "minisblack",
        "planarconfig": "contig" if image.shape[2] > 1 else None,
        "extrasamples": None if alpha is None else [picture.alpha_kind],
    }
    return image if image.shape[2] > 1 else image[..., 0], how
