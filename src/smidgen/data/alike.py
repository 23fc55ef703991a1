"""Images of one type and one number of channels, out of files that differ in these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import KeptImage
from smidgen.errors import PairsError, plural

_GREY, _COLOUR = 1, 3
_DEEP, _SHALLOW = np.dtype(np.uint16), np.dtype(np.uint8)
# Rec. 601's 0.299, 0.587 and 0.114 as Pillow has them: in 65,536ths, which add up to all of them.
_RED, _GREEN, _BLUE, _HALF, _SHIFT = 19_595, 38_470, 7_471, 1 << 15, 16

Images = list[KeptImage]


@dataclass(frozen=True)
class Named:
    """Kept images, and what to call each: the path of its file."""

    images: Sequence[KeptImage]
    names: Sequence[str]


@dataclass(frozen=True)
class ConvertedImage:
    """A kept image whose windows become grey or deeper as they are read."""

    image: KeptImage
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __getitem__(self, window: tuple[slice, slice], /) -> NDArray[Any]:
        """Some rows and columns, `(h, w, C)`."""
        return _convert(self.image[window], self.dtype, self.shape[2])


def make_alike(*sides: Named) -> tuple[list[Images], list[str]]:
    """Bring the images of a data set to one type a side, and to one number of channels.

    Where grey and colour come together, on one side or on two, all become grey. Where integers of 8 and of 16 bits do,
    the former are multiplied by 257, so that black and white stay what they are. Floats of several widths become the
    widest. Nothing else is converted.

    Args:
        sides: X and y, or the only images there are.

    Returns:
        The images of each side, and sentences that say what was taken how.

    Raises:
        PairsError: there is no exact way to bring them to one type, or other channels; the first that differs is
            named.
    """
    said = []
    every = [(image, name) for side in sides for image, name in zip(side.images, side.names, strict=True)]
    channels = _choose_channels(every)
    coloured = [name for image, name in every if image.shape[2] != channels]
    if coloured:
        said.append(f"taken as grey: {count_some(coloured, len(every), 'is in colour', 'are in colour')}")
    types = [_choose_type(side) for side in sides]
    if all(set(map(_type_of, side.images)) <= {_SHALLOW, _DEEP} for side in sides):
        types = [max(types, key=lambda dtype: dtype.itemsize)] * len(sides)
        shallow = [name for image, name in every if image.dtype != types[0]]
        if shallow:
            said.append(f"taken as 16 bits: {count_some(shallow, len(every), 'has 8', 'have 8')}")
    return [
        [_alike(image, dtype, channels) for image in side.images] for side, dtype in zip(sides, types, strict=True)
    ], said


def to_grey(values: NDArray[Any]) -> NDArray[Any]:
    """Luma `(…, 1)` of colours `(…, 3)`, in their type: Rec. 601, rounded as Pillow does it; grey stays what it is."""
    red, green, blue = (values[..., channel : channel + 1] for channel in range(_COLOUR))
    if values.dtype.kind == "f":
        wide = green.astype(np.float64)
        luma = wide + (0.299 * (red - wide) + 0.114 * (blue - wide))
        return luma.astype(values.dtype)
    # White of 16 bits comes to 2^32 - 2^16 + 2^15 and just fits.
    wide_type = np.dtype(np.uint32 if values.dtype in (_SHALLOW, _DEEP) else np.int64)
    total: NDArray[Any] = (
        red.astype(wide_type) * _RED + green.astype(wide_type) * _GREEN + blue.astype(wide_type) * _BLUE
    )
    return ((total + _HALF) >> _SHIFT).astype(values.dtype)


def _choose_channels(every: list[tuple[KeptImage, str]]) -> int:
    found = {image.shape[2] for image, _ in every}
    if found == {_GREY, _COLOUR}:
        return _GREY
    if len(found) > 1:
        _refuse(every, lambda image: image.shape[2], "{} channels", "images that are all grey or all colour")
    return found.pop()


def _choose_type(side: Named) -> np.dtype[Any]:
    found = set(map(_type_of, side.images))
    if all(dtype.kind == "f" for dtype in found):
        return np.result_type(*found)
    if found <= {_SHALLOW, _DEEP}:
        return max(found, key=lambda dtype: dtype.itemsize)
    if len(found) > 1:
        every = list(zip(side.images, side.names, strict=True))
        _refuse(every, _type_of, "{} values", "integers of 8 and 16 bits, or floats: between these there is no scale")
    return found.pop()


def _refuse(every: list[tuple[KeptImage, str]], kind: Callable[[KeptImage], object], words: str, expected: str) -> None:
    (image, first), *others = every
    odd, odd_name = next((other, name) for other, name in others if kind(other) != kind(image))
    raise PairsError(
        f"{odd_name} has {words.format(kind(odd))}, and {first} has {words.format(kind(image))}",
        expected=expected,
        remedy="Convert them to one kind, or leave some out",
    )


def _alike(image: KeptImage, dtype: np.dtype[Any], channels: int) -> KeptImage:
    if image.dtype == dtype and image.shape[2] == channels:
        return image
    if isinstance(image, np.ndarray):
        return _convert(image, dtype, channels)
    return ConvertedImage(image, dtype, (*image.shape[:2], channels))


def _convert(values: NDArray[Any], dtype: np.dtype[Any], channels: int) -> NDArray[Any]:
    deep = values.astype(dtype)
    if values.dtype == _SHALLOW and dtype == _DEEP:
        deep *= 257
    return to_grey(deep) if channels < deep.shape[2] else deep


def _type_of(image: KeptImage) -> np.dtype[Any]:
    return np.dtype(image.dtype)


def count_some(names: Sequence[str], every: int, one: str, more: str) -> str:
    """`3 of 12 pictures are grey, such as b.png`, where one "is grey" and more "are grey"."""
    return f"{len(names):,} of {plural(every, 'picture')} {one if len(names) == 1 else more}, such as {names[0]}"
