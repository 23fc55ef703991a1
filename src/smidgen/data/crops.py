"""What a training is shown of images of any size: small ones whole, large ones in cells of a grid that moves."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Image, Images, Shapes, Window

# A training on stamps validates and saves about as often as one on pages.
MOST_PIXELS_AN_EPOCH = 50_000_000


@dataclass(frozen=True)
class Cells:
    """Parts of images, in the order in which they are shown: the image's number, the rows and the columns of each."""

    number: NDArray[np.int64]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Of each."""
        return (self.bottom - self.top) * (self.right - self.left)

    def windows(self, chosen: slice) -> Iterator[Window]:
        """Number, rows and columns of some."""
        columns = (self.number, self.top, self.bottom, self.left, self.right)
        for number, top, bottom, left, right in zip(*(column[chosen].tolist() for column in columns), strict=True):
            yield number, slice(top, bottom), slice(left, right)


def count_cells(shapes: Shapes, crop: int) -> NDArray[np.int64]:
    """Cells down and across for each image, (N, 2): sides below one and a half times `crop` stay whole.

    Args:
        shapes: of the images.
        crop: the side of a cell, about; 0 leaves all images whole.
    """
    if crop == 0:
        return np.ones((len(shapes), 2), np.int64)
    return np.maximum(1, np.floor(shapes[:, :2] / crop + 0.5).astype(np.int64))


def measure_epoch(shapes: Shapes, crop: int) -> tuple[int, int]:
    """How much is shown in an epoch: so many examples of so many pixels, about where they differ."""
    areas = shapes[:, 0] * shapes[:, 1]
    shown = min(int(areas.sum()), MOST_PIXELS_AN_EPOCH)
    whole = bool((count_cells(shapes, crop) == 1).all())
    each = max(1, round(float(areas.mean()))) if whole else crop * crop
    return max(1, round(shown / each)), each


def draw_cells(shapes: Shapes, crop: int, generator: np.random.Generator) -> Cells:
    """The cells of one epoch, shuffled.

    Each image is cut along a grid of its own whose place is drawn anew, so that every pixel lies in exactly one cell.
    Cells are as wide as the image divided by their number, those at its edges from half to one and a half times that.
    """
    grid = count_cells(shapes, crop)
    cells_before = np.concatenate([[0], np.cumsum(grid.prod(1))])
    order = generator.permutation(int(cells_before[-1]))
    number = np.searchsorted(cells_before, order, side="right") - 1
    place = order - cells_before[number]
    phase = np.zeros((len(shapes), 2))
    if (grid > 1).any():
        phase = generator.uniform(-0.5, 0.5, (len(shapes), 2))
    ends = []
    for axis, step in ((0, place // grid[number, 1]), (1, place % grid[number, 1])):
        many, side, shift = grid[number, axis], shapes[number, axis], phase[number, axis]
        low = np.where(step == 0, 0, np.floor((step + shift) * side / many)).astype(np.int64)
        high = np.where(step == many - 1, side, np.floor((step + 1 + shift) * side / many)).astype(np.int64)
        ends += [low, high]
    cells = Cells(number, *ends)
    fits = np.cumsum(cells.pixels) <= MOST_PIXELS_AN_EPOCH
    fits[:1] = True
    return cells if fits.all() else Cells(*(column[fits] for column in (number, *ends)))


def draw_batches(shapes: Shapes, crop: int, batch_size: int, generator: np.random.Generator) -> Iterator[list[Window]]:
    """One epoch in batches, of each the windows to be shown: image, rows and columns.

    A batch holds `batch_size` images of one size, or about as many pixels as that many cells; the last what is left.
    """
    examples, each = measure_epoch(shapes, crop)
    cells = draw_cells(shapes, crop, generator)
    middles = np.cumsum(cells.pixels) - cells.pixels / 2
    batch = np.minimum(middles // (batch_size * each), -(-examples // batch_size) - 1)
    starts = np.flatnonzero(np.diff(batch, prepend=-1.0))
    for start, stop in zip(starts, [*starts[1:], len(cells)], strict=True):
        yield list(cells.windows(slice(int(start), int(stop))))


def turn(batch: list[tuple[Images, Images]], generator: np.random.Generator) -> list[tuple[Images, Images]]:
    """Each pair of images turned by quarters and mirrored, in one of the eight ways, drawn anew."""
    turned: dict[tuple[int, ...], tuple[list[Image], list[Image]]] = {}
    for group in batch:
        ways = generator.integers(8, size=len(group[0])).tolist()
        for way, *pair in zip(ways, *group, strict=True):
            images = [np.rot90(image[:, ::-1] if way >= 4 else image, way % 4) for image in pair]
            lists = turned.setdefault(images[0].shape, ([], []))
            for found, image in zip(lists, images, strict=True):
                found.append(image)
    return [(np.stack(noisy), np.stack(clean)) for noisy, clean in turned.values()]
