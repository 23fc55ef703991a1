"""Are these arrays pairs? Faults end with a clear error, oddities become warnings."""

import hashlib
import itertools
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.origin import Found
from smidgen.data.pairs import Images, Pairs
from smidgen.errors import PairsError, plural

_CHANNELS = range(1, 5)
_PIXELS_LOOKED_AT = 500_000
_MOST_BYTES_A_NUMBER = 8
_NUMBERS = {np.ndarray, bool, float, int}
_WHOLE_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")


@dataclass(frozen=True)
class RawPairs:
    """Arrays `(N, H, W, C)` on their own scale, as read, and labels `(N,)` if there are any.

    `found` tells of X and y as they came.
    """

    noisy: NDArray[Any]
    clean: NDArray[Any]
    labels: NDArray[np.int64] | None
    source: str
    found: dict[str, Found]

    def __len__(self) -> int:
        return len(self.clean)

    def take(self, index: NDArray[np.int64]) -> "RawPairs":
        """The pairs at these places."""
        labels = None if self.labels is None else self.labels[index]
        clean = self.clean[index]
        noisy = clean if self.noisy is self.clean else self.noisy[index]
        return RawPairs(noisy, clean, labels, self.source, self.found)


def make_raw_pairs(noisy: object, clean: object, labels: object, source: str) -> RawPairs:
    """Bring what a file held to `(N, H, W, C)` arrays of the same shape.

    Raises:
        PairsError: shapes or counts differ, values are not finite numbers, or nothing is there.
    """
    x, y = _as_numbers(noisy, "X (noisy)", source), _as_numbers(clean, "y (clean)", source)
    if len(x) != len(y):
        raise PairsError(
            f"{source}: X has {plural(len(x), 'image')} and y has {len(y):,}",
            expected="one clean image for each noisy one",
        )
    found = {"X": _describe(x), "y": _describe(y)}
    # A flattened half takes its shape from the other half where that one has a shape.
    if x.ndim == 2 and y.ndim > 2 and x[0].size == y[0].size:
        x = x.reshape(y.shape)
    if y.ndim == 2 and x.ndim > 2 and x[0].size == y[0].size:
        y = y.reshape(x.shape)
    x, y = _as_images(x, "X (noisy)", source), _as_images(y, "y (clean)", source)
    if x.shape != y.shape:
        raise PairsError(
            f"{source}: the images of X are {_size(x)} and those of y are {_size(y)}",
            expected="the same size and number of channels",
        )
    return RawPairs(x, y, make_labels(labels, len(x), source), source, found)


def make_raw_clean(clean: object, labels: object, source: str) -> RawPairs:
    """Clean images alone, to stand as X and as y.

    Raises:
        PairsError: as `make_raw_pairs`.
    """
    images = _as_numbers(clean, "y (clean)", source)
    found = {name: _describe(images) for name in ("X", "y")}
    images = _as_images(images, "y (clean)", source)
    return RawPairs(images, images, make_labels(labels, len(images), source), source, found)


def odd_things(train: Pairs, val: Pairs, test: Pairs) -> list[str]:
    """Warnings about constant images, swapped X and y, and images that are in two splits."""
    warnings = _constant("noisy", train.noisy, val.noisy, test.noisy)
    warnings += odd_clean_images(train.clean, val.clean, test.clean)
    if _look_swapped(train):
        warnings.append("X looks cleaner than y: are X (noisy) and y (clean) swapped?")
    return warnings


def odd_clean_images(train: Images, val: Images, test: Images) -> list[str]:
    """Warnings about constant clean images, and clean images that are in two splits."""
    warnings = _constant("clean", train, val, test)
    parts = {"train": train, "val": val, "test": test}
    if val is test:
        del parts["test"]
    seen = {name: _hashes(part) for name, part in parts.items()}
    for first, second in itertools.combinations(parts, 2):
        common = seen[first] & seen[second]
        if common:
            warnings.append(f"{plural(len(common), 'clean image')} in both {first} and {second}")
    return warnings


def fingerprint(*parts: RawPairs) -> str:
    """A short hash of the arrays' content and shape."""
    digest = hashlib.sha256()
    for raw in parts:
        for array in (raw.noisy, raw.clean):
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _as_numbers(value: object, what: str, source: str) -> NDArray[Any]:
    if isinstance(value, (list, tuple)):
        value = _stack(value, what, source)
    if not isinstance(value, np.ndarray):
        raise PairsError(
            f"{source}: {what} is a {type(value).__name__}",
            expected="an array or a table of numbers",
        )
    if value.dtype == bool:
        value = value.astype(np.uint8)
    if value.dtype.kind not in "uif":
        raise PairsError(f"{source}: {what} holds values of type {value.dtype}", expected="real numbers")
    if value.dtype.itemsize > _MOST_BYTES_A_NUMBER:
        raise PairsError(f"{source}: {what} holds values of type {value.dtype}", expected="numbers of at most 64 bits")
    if value.size == 0:
        raise PairsError(f"{source}: {what} is empty (shape {value.shape})", expected="at least one image")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        bad = int((~np.isfinite(value)).reshape(len(value), -1).any(1).sum()) if value.ndim else 1
        raise PairsError(
            f"{source}: NaN or infinity in {plural(bad, 'image')} of {what}",
            remedy="Remove or repair them",
        )
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


def _stack(items: list[object] | tuple[object, ...], what: str, source: str) -> NDArray[Any]:
    # Texts, for one, would become arrays as wide as the longest of them.
    odd = _kinds(items) - _NUMBERS
    if odd:
        names = ", ".join(sorted(kind.__name__ for kind in odd))
        raise PairsError(f"{source}: {what} holds values of type {names}", expected="arrays or numbers")
    try:
        if not any(isinstance(item, (list, tuple, np.ndarray)) for item in items):
            return np.asarray(items)
        arrays = [np.asarray(item) for item in items]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise PairsError(
                f"{source}: the images of {what} differ in size ({', '.join(map(str, sorted(shapes)[:3]))}…)",
                expected="images of one size",
                remedy="Crop or scale them to one size first",
            )
        kinds = {str(array.dtype) for array in arrays}
        if len(kinds) > 1:
            raise PairsError(
                f"{source}: the images of {what} differ in type ({', '.join(sorted(kinds))})",
                expected="images of one depth",
                remedy="Convert them to one depth first; 8-bit and 16-bit values have no common scale",
            )
        return np.stack(arrays)
    except (ValueError, OverflowError):
        raise PairsError(f"{source}: {what} is a list whose items do not make an array", expected="an array") from None


def _as_images(array: NDArray[Any], what: str, source: str) -> NDArray[Any]:
    """(N, H*W), (N, H, W), (N, H, W, C) or (N, C, H, W) -> (N, H, W, C)."""
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


def _size(images: NDArray[Any]) -> str:
    _, height, width, channels = images.shape
    return f"{height} x {width} with {plural(channels, 'channel')}"


def _describe(array: NDArray[Any]) -> Found:
    return Found(shape=array.shape, type=str(array.dtype), low=float(array.min()), high=float(array.max()))


def _constant(what: str, *parts: Images) -> list[str]:
    constant = sum(int(_is_constant(part).sum()) for part in parts)
    return [f"{plural(constant, f'{what} image')} with a single value everywhere"] if constant else []


def _is_constant(images: Images) -> NDArray[np.bool_]:
    flat = images.reshape(len(images), -1)
    constant: NDArray[np.bool_] = flat.min(1) == flat.max(1)
    return constant if flat.shape[1] > 1 else np.zeros(len(images), bool)


def _look_swapped(train: Pairs) -> bool:
    """Whether X is plainly smoother than y: noise makes neighbours differ, cleaning makes them alike."""
    height, width = (min(side, 700) for side in train.clean.shape[1:3])
    n = max(1, _PIXELS_LOOKED_AT // (height * width))

    def roughness(images: Images) -> float:
        some = images[:n, :height, :width]
        flat = np.abs(np.diff(some, axis=2)) <= 0.02 * np.ptp(some)
        return 1.0 - float(flat.mean())

    return width > 1 and roughness(train.noisy) < 0.7 * roughness(train.clean)


def _hashes(images: Images) -> set[bytes]:
    return {hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images}
