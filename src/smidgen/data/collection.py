"""Images that may differ in size and need not be in memory: one at a time, in windows, or in stacks of one size."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from smidgen.data.scale import UNIT, Scale

Image = NDArray[np.float32]  # (H, W, C), 0 is black and 1 is white
Images = NDArray[np.float32]  # (N, H, W, C), of one size
Shapes = NDArray[np.int64]  # (N, 3): H, W, C of each

_STACK_VALUES = 8_000_000


class KeptImage(Protocol):
    """An image as it is kept, on its own values: an array, or what reads windows of a file or a store."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, C)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values."""

    def __getitem__(self, window: tuple[slice, slice], /) -> NDArray[Any]:
        """Some rows and columns, (h, w, C)."""


Window = tuple[int, slice, slice]  # an image's number, rows and columns
Kept = NDArray[Any] | Sequence[KeptImage]  # (N, H, W, C), or one after the other


class ImageCollection:
    """Images `(H, W, C)` float32, computed when they are asked for."""

    shapes: Shapes

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, number: int) -> Image:
        """One image."""
        image: Image = self.stack([number])[0]
        return image

    def read(self, windows: Sequence[Window]) -> Images:
        """Parts of images, all of one size."""
        raise NotImplementedError

    def stack(self, index: Sequence[int] | NDArray[np.int64]) -> Images:
        """Whole images, all of one size."""
        return self.read([whole(int(number), self.shapes[number]) for number in index])

    def first(self, n: int) -> "ImageCollection":
        """The first `n`."""
        raise NotImplementedError


Collection = Images | ImageCollection


@dataclass(frozen=True, eq=False)
class ScaledImages(ImageCollection):
    """Kept images, brought to [0, 1] by a scale.

    Attributes:
        kept: on their own values.
        scale: their rule.
        clipped: whether what lies beyond is taken to the ends.
    """

    kept: Kept
    scale: Scale = UNIT
    clipped: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", shapes_of(self.kept))

    def read(self, windows: Sequence[Window]) -> Images:
        """Parts of images, all of one size."""
        values = np.stack([self.kept[number][rows, columns] for number, rows, columns in windows])
        normalised = self.scale.normalise(values)
        return np.clip(normalised, 0, 1, out=normalised) if self.clipped else normalised

    def first(self, n: int) -> "ScaledImages":
        """The first `n`."""
        return ScaledImages(self.kept[:n], self.scale, self.clipped)


@dataclass(frozen=True, eq=False)
class MadeImages(ImageCollection):
    """What a function makes of images and their places, of the same sizes; see `map_images` for one that needs none.

    Attributes:
        images: to be made from.
        make: several images of one size `(N, H, W, C)`, and their places, to what becomes of them.
    """

    images: Collection
    make: Callable[[Images, Sequence[int]], Images]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", shapes_of(self.images))

    def read(self, windows: Sequence[Window]) -> Images:
        """Parts of images, all of one size; each whole image is made for it."""
        return np.stack([self[number][rows, columns] for number, rows, columns in windows])

    def stack(self, index: Sequence[int] | NDArray[np.int64]) -> Images:
        """Whole images, all of one size."""
        numbers = [int(number) for number in index]
        return self.make(stack(self.images, numbers), numbers)

    def first(self, n: int) -> "MadeImages":
        """The first `n`."""
        return MadeImages(first(self.images, n), self.make)


@dataclass(frozen=True, eq=False)
class PickedImages(ImageCollection):
    """The images at some places of a collection."""

    images: ImageCollection
    places: NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", self.images.shapes[self.places])

    def read(self, windows: Sequence[Window]) -> Images:
        """Parts of images, all of one size."""
        return self.images.read([(int(self.places[number]), rows, columns) for number, rows, columns in windows])

    def stack(self, index: Sequence[int] | NDArray[np.int64]) -> Images:
        """Whole images, all of one size."""
        return self.images.stack(self.places[np.asarray(index, np.int64)])

    def first(self, n: int) -> "PickedImages":
        """The first `n`."""
        return PickedImages(self.images, self.places[:n])


def map_images(function: Callable[[Images], Images], images: Collection) -> MadeImages:
    """What a function of several images of one size makes of all, such as a model, whenever it is asked for."""
    return MadeImages(images, lambda some, _: function(some))


@dataclass(frozen=True)
class ChannelImage:
    """One channel of a kept image, as a grey one."""

    image: KeptImage
    channel: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 1)."""
        return (*self.image.shape[:2], 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values."""
        return self.image.dtype

    def __getitem__(self, window: tuple[slice, slice], /) -> NDArray[Any]:
        """Some rows and columns, (h, w, 1)."""
        return self.image[window][..., self.channel : self.channel + 1]


def shapes_of(images: Kept | Collection) -> Shapes:
    """H, W and C of each."""
    if isinstance(images, ImageCollection):
        return images.shapes
    if isinstance(images, np.ndarray):
        return np.broadcast_to(np.array(images.shape[1:], np.int64), (len(images), 3))
    return np.array([image.shape for image in images], np.int64).reshape(-1, 3)


def whole(number: int, shape: Sequence[int] | NDArray[np.int64]) -> Window:
    """The window that holds all of an image."""
    return number, slice(0, int(shape[0])), slice(0, int(shape[1]))


def middle(shape: Sequence[int], side: int) -> tuple[slice, slice]:
    """Rows and columns in the middle of an image, of each no more than `side`."""
    starts = (max(0, (full - side) // 2) for full in shape[:2])
    rows, columns = (slice(start, start + side) for start in starts)
    return rows, columns


def read_whole(image: KeptImage) -> NDArray[Any]:
    """All of a kept image."""
    return image if isinstance(image, np.ndarray) else image[whole(0, image.shape)[1:]]


def read(images: Collection, windows: Sequence[Window]) -> Images:
    """Parts of images, all of one size."""
    if isinstance(images, np.ndarray):
        return np.stack([images[number][rows, columns] for number, rows, columns in windows])
    return images.read(windows)


def stack(images: Collection, index: Sequence[int] | NDArray[np.int64]) -> Images:
    """Whole images, all of one size."""
    return images[np.asarray(index, np.int64)] if isinstance(images, np.ndarray) else images.stack(index)


def as_array(images: Collection) -> Images:
    """All of them, which must be of one size, in memory."""
    return stack(images, range(len(images)))


def first(images: Collection, n: int) -> Collection:
    """The first `n`."""
    return images[:n] if isinstance(images, np.ndarray) else images.first(n)


def pick(images: Collection, places: NDArray[np.int64]) -> Collection:
    """Those at some places."""
    return images[places] if isinstance(images, np.ndarray) else PickedImages(images, places)


def spread_places(count: int, n: int) -> NDArray[np.int64]:
    """No more than `n` of so many places, from all over."""
    return np.linspace(0, count - 1, min(count, n)).astype(np.int64)


def spans(shapes: Shapes, most_values: int = _STACK_VALUES) -> Iterator[slice]:
    """Places of images of one size that follow each other, together no more than so many values; one at least."""
    changes = np.flatnonzero((shapes[1:] != shapes[:-1]).any(1)) + 1
    for start, stop in itertools.pairwise([0, *changes.tolist(), len(shapes)] if len(shapes) else []):
        at_once = max(1, most_values // max(1, int(shapes[start].prod())))
        for begin in range(start, stop, at_once):
            yield slice(begin, min(begin + at_once, stop))


def pieces(shapes: Shapes, most_values: int = _STACK_VALUES) -> Iterator[list[Window]]:
    """All of all images in order, in windows of one size at a time: several small images, or rows of a large one."""
    for span in spans(shapes, most_values):
        height, width, channels = (int(side) for side in shapes[span.start])
        rows = max(1, most_values // max(1, width * channels))
        if rows >= height:
            yield [whole(number, shapes[number]) for number in range(span.start, span.stop)]
            continue
        for top in range(0, height, rows):
            yield [(span.start, slice(top, min(top + rows, height)), slice(0, width))]


def first_pieces(shapes: Shapes, most: int) -> Iterator[list[Window]]:
    """The `pieces` of the first images, until they hold more than so many values together."""
    count = 0
    for windows in pieces(shapes):
        yield windows
        for number, rows, columns in windows:
            count += (rows.stop - rows.start) * (columns.stop - columns.start) * int(shapes[number, 2])
        if count > most:
            break


def stacks(*collections: Collection, most_values: int = _STACK_VALUES) -> Iterator[tuple[slice, tuple[Images, ...]]]:
    """Go through collections of the same sizes side by side: where, and the images there of each."""
    for span in spans(shapes_of(collections[0]), most_values):
        index = range(span.start, span.stop)
        yield span, tuple(part[span] if isinstance(part, np.ndarray) else part.stack(index) for part in collections)


def group_by_size(windows: Iterable[Window]) -> list[list[Window]]:
    """Those of one size together, in the order in which the sizes come."""
    groups: dict[tuple[int, int], list[Window]] = {}
    for window in windows:
        _, rows, columns = window
        groups.setdefault((rows.stop - rows.start, columns.stop - columns.start), []).append(window)
    return list(groups.values())
