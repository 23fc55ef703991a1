"""Noisy and clean images as they are kept, on their own values, and what they were found to hold."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import ChannelImage, Kept, pieces, shapes_of
from smidgen.data.origin import Found
from smidgen.data.scale import Extent, Scale
from smidgen.errors import PairsError, plural

_DIGEST = 16  # bytes
_FINGERPRINT = 20  # hexadecimal digits


@dataclass(frozen=True, eq=False)
class Survey:
    """What kept images were found to hold, one after the other, `(N,)`.

    Attributes:
        low, high: their smallest and largest values.
        digest: a hash of each one's content.
        dtype: of all values.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    digest: NDArray[np.bytes_]
    dtype: np.dtype[Any]

    def take(self, index: NDArray[np.int64]) -> "Survey":
        """Of the images at these places."""
        return Survey(self.low[index], self.high[index], self.digest[index], self.dtype)

    @property
    def extent(self) -> Extent:
        """Of all values."""
        return Extent(float(self.low.min()), float(self.high.max()), self.dtype)


@dataclass(frozen=True, eq=False)
class RawPairs:
    """Images as they are kept, on their own scale, and labels `(N,)` if there are any.

    Attributes:
        noisy, clean: of the same sizes.
        labels: (N,), or None.
        source: what they were read from.
        found: tells of X and y as they came.
        surveys: of X and y.
        names: (N,), what the images are called, where they have names.
        texts: (N,), what they say, where that is known of some; empty for the others.
    """

    noisy: Kept
    clean: Kept
    labels: NDArray[np.int64] | None
    source: str
    found: dict[str, Found]
    surveys: tuple[Survey, Survey]
    names: tuple[str, ...] | None = None
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.clean)

    def apart(self) -> "RawPairs":
        """Each channel as an image of its own, one after the other; they share their image's labels and surveys."""
        channels = self.clean[0].shape[2]
        index = np.repeat(np.arange(len(self)), channels)
        raw = self.take(index)

        def split(images: Kept) -> Kept:
            return [ChannelImage(image, place % channels) for place, image in enumerate(images)]

        clean = split(raw.clean)
        names = raw.names and tuple(f"{name}, channel {place % channels + 1}" for place, name in enumerate(raw.names))
        return replace(raw, clean=clean, noisy=clean if raw.noisy is raw.clean else split(raw.noisy), names=names)

    def take(self, index: NDArray[np.int64]) -> "RawPairs":
        """The pairs at these places, not copied."""
        labels = None if self.labels is None else self.labels[index]
        clean = [self.clean[int(place)] for place in index]
        noisy = clean if self.noisy is self.clean else [self.noisy[int(place)] for place in index]
        first = self.surveys[0].take(index)
        second = first if self.surveys[0] is self.surveys[1] else self.surveys[1].take(index)
        names, texts = (part and tuple(part[int(place)] for place in index) for part in (self.names, self.texts))
        return RawPairs(noisy, clean, labels, self.source, self.found, (first, second), names, texts)

    def name(self, place: int) -> str:
        """What to call a pair."""
        return f"number {place + 1:,}" if self.names is None else self.names[place]


def survey(images: Kept, what: str, source: str) -> Survey:
    """Look at all values once.

    Args:
        images: at least one.
        what, source: what to call them.

    Raises:
        PairsError: some are no finite numbers.
    """
    low, high = np.full(len(images), np.inf), np.full(len(images), -np.inf)
    digests = np.zeros(len(images), f"S{_DIGEST}")
    running, running_for = hashlib.blake2b(digest_size=_DIGEST), -1  # of a large image, which comes in pieces
    for windows in pieces(shapes_of(images)):
        parts = [np.ascontiguousarray(images[number][rows, columns]) for number, rows, columns in windows]
        numbers = [number for number, _, _ in windows]
        for number, part in zip(numbers, parts, strict=True):
            if number != running_for:
                running, running_for = hashlib.blake2b(digest_size=_DIGEST), number
            running.update(part.data)
            digests[number] = running.digest()
        flat = np.stack(parts).reshape(len(parts), -1)
        with np.errstate(invalid="ignore"):  # NaN of the kind that signals when it is made a float64; refused below
            low[numbers] = np.minimum(low[numbers], flat.min(1))
            high[numbers] = np.maximum(high[numbers], flat.max(1))
    bad = int((~np.isfinite(low) | ~np.isfinite(high)).sum())
    if bad:
        images_of = f"{plural(bad, 'image')} of {what}"
        raise PairsError(f"{source}: NaN or infinity in {images_of}", remedy="Remove or repair them")
    return Survey(low, high, digests, images[0].dtype)


def count_outside(scale: Scale, raw: RawPairs) -> int:
    """How many values of y lie beyond a scale by more than rounding."""
    seen, (low, high) = raw.surveys[1], scale.limits
    odd = [raw.clean[number] for number in np.flatnonzero((seen.low < low) | (seen.high > high)).tolist()]
    windows = ((image, window) for image in odd for (window,) in pieces(shapes_of([image])))
    return sum(scale.outside(image[rows, columns]) for image, (_, rows, columns) in windows)


def fingerprint(*parts: RawPairs) -> str:
    """A short hash of the images' content and sizes; see `is_of_this_make`."""
    digest = hashlib.sha256()
    for raw in parts:
        for seen, images in zip(raw.surveys, (raw.noisy, raw.clean), strict=True):
            digest.update(f"{seen.dtype}".encode())
            digest.update(np.ascontiguousarray(shapes_of(images)).data)
            digest.update(seen.digest.tobytes())
    return digest.hexdigest()[:_FINGERPRINT]


def is_of_this_make(made: str) -> bool:
    """Whether `fingerprint` made this; version 0.1 hashed otherwise, to 16 digits."""
    return len(made) == _FINGERPRINT
