"""Are these arrays pairs? Faults end with a clear error."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Kept, KeptImage, shapes_of
from smidgen.data.origin import Found
from smidgen.data.raw_pairs import RawPairs, Survey, survey
from smidgen.errors import PairsError, plural

NOISY, CLEAN, SHOTS = "X (noisy)", "y (clean)", "the noisy images"
_CHANNELS = range(1, 5)
_MOST_BYTES_A_NUMBER = 8
_NUMBERS = {np.ndarray, bool, float, int}
_WHOLE_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")


def make_raw_pairs(
    noisy: object,
    clean: object,
    labels: object,
    source: str,
    names: tuple[str, ...] | None = None,
    texts: tuple[str, ...] | None = None,
) -> RawPairs:
    """Bring what a file held to images of the same sizes; `names` are what they are called, `texts` what they say.

    Raises:
        PairsError: shapes or counts differ, values are not finite numbers, or nothing is there.
    """
    x, y = _as_numbers(noisy, NOISY, source), _as_numbers(clean, CLEAN, source)
    if len(x) != len(y):
        raise PairsError(
            f"{source}: X has {plural(len(x), 'image')} and y has {len(y):,}",
            expected="one clean image, or second shot, for each noisy one",
        )
    shapes = [part.shape if isinstance(part, np.ndarray) else (len(part),) for part in (x, y)]
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        # A flattened half takes its shape from the other half where that one has a shape.
        if x.ndim == 2 and y.ndim > 2 and x[0].size == y[0].size:
            x = x.reshape(y.shape)
        if y.ndim == 2 and x.ndim > 2 and x[0].size == y[0].size:
            y = y.reshape(x.shape)
    x, y = _as_images(x, NOISY, source), _as_images(y, CLEAN, source)
    differ = np.flatnonzero((shapes_of(x) != shapes_of(y)).any(1))
    if len(differ):
        place = int(differ[0])
        sizes = _size(x[place]), _size(y[place])
        all_differ = f"the images of X are {sizes[0]} and those of y are {sizes[1]}"
        raise PairsError(
            f"{source}: {all_differ}"
            if len(differ) == len(x)
            else f"{source}: image {place + 1:,} of X is {sizes[0]} and that of y is {sizes[1]}",
            expected="the same size and number of channels",
        )
    surveys = survey(x, NOISY, source), survey(y, CLEAN, source)
    found = {name: _describe(shape, seen) for name, shape, seen in zip("Xy", shapes, surveys, strict=True)}
    return RawPairs(x, y, make_labels(labels, len(x), source), source, found, surveys, names, texts)


def make_raw_images(
    images: object,
    labels: object,
    source: str,
    names: tuple[str, ...] | None = None,
    texts: tuple[str, ...] | None = None,
    *,
    what: str = CLEAN,
) -> RawPairs:
    """Images of one kind alone, to stand as X and as y.

    Args:
        images: clean ones, or noisy ones that have none.
        labels: of them.
        source: what they were read from.
        names, texts: what each is called, and says.
        what: to call all of them in errors, `CLEAN` or `SHOTS`.

    Raises:
        PairsError: as `make_raw_pairs`.
    """
    given = _as_numbers(images, what, source)
    kept = _as_images(given, what, source)
    seen = survey(kept, what, source)
    found = _describe(given.shape if isinstance(given, np.ndarray) else (len(given),), seen)
    known = make_labels(labels, len(kept), source)
    return RawPairs(kept, kept, known, source, {"X": found, "y": found}, (seen, seen), names, texts)


def _as_numbers(value: object, what: str, source: str) -> Kept:
    """An array of numbers of two or more dimensions, or a list of images that are kept."""
    if isinstance(value, (list, tuple)):
        listed = _as_list(value, what, source)
        if isinstance(listed, list):
            return listed
        value = listed
    if not isinstance(value, np.ndarray):
        raise PairsError(
            f"{source}: {what} is a {type(value).__name__}",
            expected="an array or a table of numbers",
        )
    if value.dtype == bool:
        value = value.view(np.uint8)
    _check_type(value.dtype, what, source)
    if value.size == 0:
        raise PairsError(f"{source}: {what} is empty (shape {value.shape})", expected="at least one image")
    if value.ndim < 2:
        raise PairsError(
            f"{source}: {what} has shape {value.shape}",
            expected="(N, H, W), (N, H, W, C) or flat rows (N, H*W)",
            remedy="One number for each image would be labels: they go under 'labels'" if value.ndim else "",
        )
    return value


def _kinds(value: object) -> set[type]:
    """The types of what lists and tuples, and those within them, hold; of anything else its own type."""
    if not isinstance(value, (list, tuple)):
        return {type(value)}
    kinds = set(map(type, value))
    inner = [part for part in value if isinstance(part, (list, tuple))] if kinds & {list, tuple} else []
    return (kinds - {list, tuple}).union(*map(_kinds, inner))


def _as_list(items: Sequence[object], what: str, source: str) -> list[KeptImage] | NDArray[Any]:
    """Images as they are kept, or an array of what are no images on their own."""
    if items and all(_is_kept(item) for item in items):
        images = [_with_channels(item) for item in items]
        _require_alike(images, what, source)
        return images
    # Texts, for one, would become arrays as wide as the longest of them.
    odd = _kinds(items) - _NUMBERS
    if odd:
        names = ", ".join(sorted(kind.__name__ for kind in odd))
        raise PairsError(f"{source}: {what} holds values of type {names}", expected="arrays or numbers")
    try:
        if not any(isinstance(item, (list, tuple, np.ndarray)) for item in items):
            return np.asarray(items)
        arrays = [np.asarray(item) for item in items]
        if len({array.shape for array in arrays}) > 1 and all(array.ndim in (2, 3) for array in arrays):
            return _as_list(arrays, what, source)
        return np.stack(arrays)
    except (ValueError, OverflowError):
        raise PairsError(f"{source}: {what} is a list whose items do not make an array", expected="an array") from None


def _is_kept(item: Any) -> bool:
    """Whether this is an image: two dimensions, or three of which one is that of channels."""
    shape: tuple[int, ...] = getattr(item, "shape", ())
    if not hasattr(item, "dtype") or 0 in shape:
        return False
    return len(shape) == 2 or (len(shape) == 3 and (shape[2] in _CHANNELS or shape[0] in _CHANNELS))


def _with_channels(item: Any) -> KeptImage:
    """(H, W), (H, W, C) or (C, H, W) -> (H, W, C), without a copy."""
    if isinstance(item, np.ndarray):
        array: NDArray[Any] = item.view(np.uint8) if item.dtype == bool else item
        array = array[..., None] if array.ndim == 2 else array
        return array if array.shape[2] in _CHANNELS else array.transpose(1, 2, 0)
    kept: KeptImage = item
    return kept


def _require_alike(images: list[KeptImage], what: str, source: str) -> None:
    """Refuse images of several types, or with several numbers of channels."""
    kinds = sorted({str(image.dtype) for image in images})
    if len(kinds) > 1:
        raise PairsError(
            f"{source}: the images of {what} differ in type ({', '.join(kinds)})",
            expected="images of one depth",
            remedy="Convert them to one depth first; 8-bit and 16-bit values have no common scale",
        )
    _check_type(images[0].dtype, what, source)
    channels = sorted({image.shape[2] for image in images})
    if len(channels) > 1:
        raise PairsError(
            f"{source}: the images of {what} differ in their number of channels ({', '.join(map(str, channels))})",
            expected="all grey, or all in colour",
        )


def _check_type(dtype: np.dtype[Any], what: str, source: str) -> None:
    if dtype.kind not in "uif":
        raise PairsError(f"{source}: {what} holds values of type {dtype}", expected="real numbers")
    if dtype.itemsize > _MOST_BYTES_A_NUMBER:
        raise PairsError(f"{source}: {what} holds values of type {dtype}", expected="numbers of at most 64 bits")


def _as_images(array: Kept, what: str, source: str) -> Kept:
    """(N, H*W), (N, H, W), (N, H, W, C) or (N, C, H, W) -> (N, H, W, C); a list stays as it is."""
    if not isinstance(array, np.ndarray):
        return array
    if array.ndim == 2:
        side = round(array.shape[1] ** 0.5)
        if side * side != array.shape[1]:
            raise PairsError(
                f"{source}: {what} has flat rows of {array.shape[1]} numbers, which do not make a square image",
                expected="rows that do (784 = 28 x 28), or an array (N, H, W)",
            )
        return array.reshape(len(array), side, side, 1)
    if array.ndim == 3:
        return array[..., None]
    if array.ndim == 4 and array.shape[3] in _CHANNELS:
        return array
    if array.ndim == 4 and array.shape[1] in _CHANNELS:
        return array.transpose(0, 2, 3, 1)
    raise PairsError(
        f"{source}: {what} has shape {array.shape}",
        expected="(N, H, W), (N, H, W, C) with 1 to 4 channels, or flat rows (N, H*W)",
    )


def make_labels(labels: object, n: int, source: str) -> NDArray[np.int64] | None:
    """Labels `(N,)` from numbers, digits, one-hot rows or nothing.

    Raises:
        PairsError: their number is not `n`, or they are not whole numbers.
    """
    if labels is None:
        return None
    array = _label_array(labels, source)
    if array.ndim == 2 and array.shape[0] == n and array.shape[1] > 1 and array.dtype.kind in "uif":
        array = array.argmax(1)  # one-hot rows, as Keras courses keep them
    array = array.reshape(-1)
    if len(array) != n:
        raise PairsError(
            f"{source}: there are {plural(len(array), 'label')} for {plural(n, 'pair')}",
            expected="one label for each pair",
        )
    whole = array.dtype.kind in "ui"
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # of what is wider than 64 bits; it is infinite then
            wide = array.astype(np.float64)
        whole = bool((np.abs(wide) < 2**53).all()) and bool((wide == np.floor(wide)).all())
    if not whole:
        raise PairsError(f"{source}: the labels are of type {array.dtype}", expected="whole numbers")
    return array.astype(np.int64)


def _label_array(labels: object, source: str) -> NDArray[Any]:
    """Labels as an array; digits written as texts, as `fetch_openml` gives them, become numbers."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "US":
        try:
            labels = labels.reshape(-1).tolist()
        except (SystemError, ValueError):  # letters that there are none of
            raise PairsError(f"{source}: the labels are no texts", expected="whole numbers") from None
    if isinstance(labels, (list, tuple)) and set(map(type, labels)) <= {str, bytes}:
        texts = [label.decode("latin1") if isinstance(label, bytes) else str(label) for label in labels]
        odd = next((text for text in texts if not _WHOLE_NUMBER.fullmatch(text)), None)
        if odd is not None:
            raise PairsError(f"{source}: the labels hold {odd[:20]!r}", expected="whole numbers")
        return np.array(list(map(int, texts)), np.int64)
    odd_kinds = _kinds(labels) - _NUMBERS
    if odd_kinds:
        names = ", ".join(sorted(kind.__name__ for kind in odd_kinds))
        raise PairsError(f"{source}: the labels are of type {names}", expected="whole numbers")
    try:
        return np.asarray(labels)
    except ValueError:
        raise PairsError(f"{source}: the labels do not make an array", expected="one label for each pair") from None


def _size(image: KeptImage) -> str:
    height, width, channels = image.shape
    return f"{height} x {width} with {plural(channels, 'channel')}"


def _describe(shape: tuple[int, ...], seen: Survey) -> Found:
    extent = seen.extent
    return Found(shape=shape, type=str(seen.dtype), low=extent.low, high=extent.high)
