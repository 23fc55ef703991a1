"""What a training is shown of images of any size: small ones whole, large ones in cells of a grid that moves."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Image, Images, Shapes, Window

# A training on stamps validates and saves about as often as one on pages.
MOST_PIXELS_AN_EPOCH = 50_000_000
_SPARE, _SPARE_CELLS = 1.1, 1000


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


def largest_cell(shapes: Shapes, crop: int) -> tuple[int, int]:
    """Height and width of the largest that `draw_cells` can give."""
    grid = count_cells(shapes, crop)
    sides = np.where(grid == 1, shapes[:, :2], np.ceil(1.5 * shapes[:, :2] / grid).astype(np.int64))
    height, width = sides[sides.prod(1).argmax()].tolist()
    return height, width


def draw_cells(shapes: Shapes, crop: int, generator: np.random.Generator) -> Cells:
    """The cells of one epoch, shuffled.

    Each image is cut along a grid of its own, every line of which is drawn anew, so that every pixel lies in exactly
    one cell. Cells are from half to one and a half times as wide as the image divided by their number: a network that
    sees one size only fails at the edges of others, where its scales round odd sizes (docs/experiments.md).
    """
    grid = count_cells(shapes, crop)
    cells_before = np.concatenate([[0], np.cumsum(grid.prod(1))])
    every, pixels = int(cells_before[-1]), int(shapes[:, :2].prod(1).sum())
    # A few more than an epoch holds, since some are small: of a store without end not all need be drawn.
    enough = min(every, _SPARE_CELLS + int(_SPARE * every * (MOST_PIXELS_AN_EPOCH / pixels)))
    order = generator.choice(every, enough, replace=False) if enough < every else generator.permutation(every)
    number = np.searchsorted(cells_before, order, side="right") - 1
    place = order - cells_before[number]
    ends: list[NDArray[np.int64]] = []
    for axis, step in ((0, place // grid[number, 1]), (1, place % grid[number, 1])):
        lines, lines_before = _draw_lines(grid[:, axis], shapes[:, axis], generator)
        ends += [lines[lines_before[number] + step], lines[lines_before[number] + step + 1]]
    cells = Cells(number, *ends)
    fits = np.cumsum(cells.pixels) <= MOST_PIXELS_AN_EPOCH
    fits[:1] = True
    return cells if fits.all() else Cells(*(column[fits] for column in (number, *ends)))


def _draw_lines(
    many: NDArray[np.int64], sides: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where one side of each image is cut, its ends included, one image after the other; and where each one's begin."""
    before = np.concatenate([[0], np.cumsum(many + 1)])
    image = np.repeat(np.arange(len(many)), many + 1)
    step = np.arange(before[-1]) - before[image]
    moved = np.zeros(len(step))
    if (many > 1).any():
        moved = generator.uniform(-0.25, 0.25, len(step)) + generator.uniform(-0.25, 0.25, len(many))[image]
    moved[(step == 0) | (step == many[image])] = 0
    return np.floor((step + moved) * sides[image] / many[image]).astype(np.int64), before


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


def turn_one(image: Image, way: int) -> Image:
    """An image `(H, W, C)` in the one of eight ways: turned by `way` quarters, from 4 on mirrored before."""
    return np.rot90(image[:, ::-1] if way >= 4 else image, way % 4)


def turn(batch: list[tuple[Images, Images]], generator: np.random.Generator) -> list[tuple[Images, Images]]:
    """Each pair of images turned by quarters and mirrored, in one of the eight ways, drawn anew."""
    turned: dict[tuple[int, ...], tuple[list[Image], list[Image]]] = {}
    for group in batch:
        ways = generator.integers(8, size=len(group[0])).tolist()
        for way, *pair in zip(ways, *group, strict=True):
            images = [turn_one(image, way) for image in pair]
            lists = turned.setdefault(images[0].shape, ([], []))
            for found, image in zip(lists, images, strict=True):
                found.append(image)
    return [(np.stack(noisy), np.stack(clean)) for noisy, clean in turned.values()]
