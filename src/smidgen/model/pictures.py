"""From a noisy picture to a denoised one: scales, depths, alpha, and what looks odd."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import InputError
from smidgen.files import fill_whole, make_folder, write_whole
from smidgen.images.kinds import KIND_BY_SUFFIX, Picture
from smidgen.images.metadata import Metadata
from smidgen.images.picture import left_out, pack_picture, read_picture
from smidgen.images.tiff import turn_white
from smidgen.images.tiff_metadata import drop_display_range
from smidgen.images.tiff_rows import open_large_tiff
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.values import Handling, Way, check_channels, full_scale

# How far beyond the resolutions of training a picture's may be.
_NEARLY = 4 / 3


def denoise_picture(runtime: Runtime, picture: Picture, handling: Handling | None = None) -> tuple[Picture, list[str]]:
    """The denoised picture, and sentences about what looked odd.

    Alpha and metadata stay as they were, depth too unless another is asked for. A model of one channel takes
    colours as `Runtime.denoise_colours` says.

    Raises:
        InputError: the values are no numbers, or the model is for other channels.
    """
    handling = handling or Handling()
    check_channels(runtime, picture.pages[0].shape[2])
    ways = [Way(runtime, page.dtype, handling) for page in picture.pages]
    pages = tuple(way.denoise(page) for way, page in zip(ways, picture.pages, strict=True))
    alphas = tuple(None if alpha is None else _convert_alpha(alpha, handling.depth) for alpha in picture.alphas)
    resolution = _remark_resolution(runtime.info, picture.metadata)
    remarks = dict.fromkeys([*picture.metadata.remarks, *resolution, *(text for way in ways for text in way.remarks())])
    kept = all(way.keeps_scale for way in ways)
    metadata = picture.metadata if kept else drop_display_range(picture.metadata)
    return replace(picture, pages=pages, alphas=alphas, metadata=metadata), list(remarks)


def denoise_file(
    runtime: Runtime,
    source: Path | bytes,
    target: Path,
    handling: Handling | None = None,
    watch: Callable[[float], None] = lambda share: None,
) -> list[str]:
    """Denoise a picture's file, or its content, into another of the kind that its name says.

    Args:
        runtime: of the model.
        source: a file or its content.
        target: a file; it is written whole or not at all, its folder made if it is missing.
        handling: as for `denoise_picture`.
        watch: called with the share that is done, where that is known.

    Returns:
        Sentences about what looked odd, or could not be kept.

    Raises:
        FileError: the source cannot be read, or the target cannot be written.
        InputError: as for `denoise_picture`, or the target's name has no ending of a picture.
    """
    kind = KIND_BY_SUFFIX.get(target.suffix.lower())
    if kind is None:
        raise InputError(
            f"{target} does not have the ending of an image file", expected=", ".join(sorted(KIND_BY_SUFFIX))
        )
    if kind == "tiff" and isinstance(source, Path):
        found = denoise_large_tiff(runtime, source, target, handling, watch)
        if found is not None:
            return found
    if isinstance(source, Path) and source.exists() and not source.is_file():
        source = source.read_bytes()  # a pipe is read once
    picture, remarks = denoise_picture(runtime, read_picture(source), handling)
    picture = replace(picture, kind=kind)
    packed = pack_picture(picture)
    make_folder(target.parent)
    write_whole(target, packed)
    return [*remarks, *left_out(picture)]


def denoise_large_tiff(
    runtime: Runtime,
    source: Path,
    target: Path,
    handling: Handling | None = None,
    watch: Callable[[float], None] = lambda share: None,
) -> list[str] | None:
    """Denoise a large TIFF into another, strip by strip, where it is to be read so; see `open_large_tiff`.

    Args:
        runtime: of the model.
        source, target: files; the second is written whole or not at all, its folder made if it is missing.
        handling: as for `denoise_picture`.
        watch: called with the share that is done.

    Returns:
        Sentences about what looked odd; None where the file is not to be read by rows, and nothing was done.

    Raises:
        FileError: the source is too large and cannot be read by rows, or damaged, or the target cannot be written.
        InputError: as for `denoise_picture`.
    """
    handling = handling or Handling()
    with open_large_tiff(source) or nullcontext() as tiff:
        if tiff is None:
            return None
        check_channels(runtime, tiff.colours)
        way = Way(runtime, tiff.dtype, handling)

        def read(first: int, last: int) -> NDArray[Any]:
            return turn_white(tiff.read(first, last)[..., : tiff.colours], tiff.white_is_zero)

        def rows() -> Iterator[NDArray[Any]]:
            done = 0
            for strip in way.strips(read, tiff.height, tiff.width):
                result = turn_white(strip, tiff.white_is_zero)
                if tiff.alpha:
                    alpha = tiff.read(done, done + len(strip))[..., tiff.colours :]
                    result = np.concatenate([result, _convert_alpha(alpha, handling.depth)], axis=2)
                done += len(strip)
                watch(done / tiff.height)
                yield result
                del strip, result

        metadata = tiff.metadata if way.keeps_scale else drop_display_range(tiff.metadata)
        make_folder(target.parent)
        fill_whole(target, lambda temporary: tiff.write_like(temporary, rows(), way.depth, metadata))
        return [*tiff.metadata.remarks, *_remark_resolution(runtime.info, tiff.metadata), *way.remarks()]


def _remark_resolution(info: ModelInfo, metadata: Metadata) -> list[str]:
    """A sentence where the file says that letters are larger or smaller than those the model learned from."""
    if info.origin.resolution is None or metadata.resolution is None:
        return []
    (low, high), found = info.origin.resolution, max(metadata.resolution)
    if low / _NEARLY <= found <= high * _NEARLY:
        return []
    return [
        f"the file says {found:.0f} pixels an inch, but the model learned from pages of {low:.0f} to {high:.0f}; "
        "if that is so, scan it anew or resize it first"
    ]


def _convert_alpha(alpha: NDArray[Any], depth: np.dtype[Any] | None) -> NDArray[Any]:
    if depth is None or depth == alpha.dtype:
        return alpha
    return full_scale(depth).restore(full_scale(alpha.dtype).normalise(alpha), depth)
