import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from smidgen.data import crops
from smidgen.data.checks import make_raw_pairs
from smidgen.data.collection import shapes_of
from smidgen.data.crops import draw_batches, draw_cells, measure_epoch, turn
from smidgen.data.pairs import FixedSource, Pairs
from smidgen.data.split import split_pairs

SIZES = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=6)


def shapes(sizes: list[tuple[int, int]]) -> np.ndarray:
    return np.array([(*size, 1) for size in sizes])


@given(SIZES, st.integers(16, 40), st.integers(0, 9))
def test_an_epoch_shows_every_pixel_once(sizes: list[tuple[int, int]], crop: int, seed: int):
    """Whatever the sizes, the cells of an epoch cover each pixel of each image once, and are neither thin nor huge."""
    seen = [np.zeros(size, int) for size in sizes]
    cells = draw_cells(shapes(sizes), crop, np.random.default_rng(seed))
    for number, rows, columns in cells.windows(slice(None)):
        seen[number][rows, columns] += 1
        for part, side in ((rows, sizes[number][0]), (columns, sizes[number][1])):
            assert min(side, crop // 3) <= part.stop - part.start <= 2 * crop
    assert all((count == 1).all() for count in seen)


def test_large_sets_are_shown_evenly(monkeypatch: pytest.MonkeyPatch):
    """Where an epoch holds a part of the pixels only, all are shown equally often, at edges as within (chi-square)."""
    monkeypatch.setattr(crops, "MOST_PIXELS_AN_EPOCH", 3000)
    sizes = [(100, 61), (30, 90), (20, 20), (64, 64)]
    generator = np.random.default_rng(0)
    seen = [np.zeros(size, int) for size in sizes]
    epochs = 6000
    for _ in range(epochs):
        # One cell of each epoch, so that what is counted is independent.
        number, rows, columns = next(draw_cells(shapes(sizes), 16, generator).windows(slice(0, 1)))
        row, column = generator.integers(rows.start, rows.stop), generator.integers(columns.start, columns.stop)
        weight = (rows.stop - rows.start) * (columns.stop - columns.start)
        seen[number][row, column] += weight
    blocks = [count[top : top + 10, left : left + 10] for count in seen for top in range(0, count.shape[0], 10)
              for left in range(0, count.shape[1], 10)]  # fmt: skip
    found = np.array([block.sum() for block in blocks], float)
    area = np.array([block.size for block in blocks], float)
    mean_weight = sum(count.sum() for count in seen) / epochs
    assert chisquare(found / mean_weight, area / area.sum() * found.sum() / mean_weight).pvalue > 1e-3


def test_a_huge_set_costs_an_epoch_no_more_than_it_shows():
    """Of a store of 10 terapixels no more cells are drawn than an epoch needs, and these fill it."""
    huge = np.broadcast_to(np.array([10_000, 10_000, 1]), (100_000, 3))
    tracemalloc.start()
    cells = draw_cells(huge, 500, np.random.default_rng(0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.98 * crops.MOST_PIXELS_AN_EPOCH < cells.pixels.sum() <= crops.MOST_PIXELS_AN_EPOCH
    assert len(np.unique(cells.number)) > 0.95 * len(cells)
    assert peak < 300_000_000


@given(SIZES, st.integers(16, 40), st.integers(1, 9), st.integers(0, 9))
def test_batches_hold_as_many_pixels(sizes: list[tuple[int, int]], crop: int, batch_size: int, seed: int):
    """A batch holds about so many pixels as so many crops have, and an epoch about as many batches as was said."""
    examples, each = measure_epoch(shapes(sizes), crop)
    generator = np.random.default_rng(seed)
    batches = list(draw_batches(shapes(sizes), crop, batch_size, generator))
    pixels = [sum((r.stop - r.start) * (c.stop - c.start) for _, r, c in batch) for batch in batches]
    largest = max(max(h, w) for h, w in sizes) ** 2
    assert sum(pixels) == sum(h * w for h, w in sizes)
    assert all(count <= batch_size * each + min(largest, 4 * crop * crop) for count in pixels)
    assert len(batches) <= -(-examples // batch_size)


def test_one_seed_gives_the_same_crops():
    """The same seed draws the same crops, another others, of noisy and clean at the same place."""
    generator = np.random.default_rng(1)
    clean = generator.random((4, 100, 80, 1), dtype=np.float32)
    source = FixedSource(Pairs(clean / 2, clean))

    def epoch(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return [group for batch in source.batches(3, np.random.default_rng(seed), 32) for group in batch]

    first, again, other = epoch(5), epoch(5), epoch(6)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert {a[1].tobytes() for a in first}.isdisjoint(b[1].tobytes() for b in other)
    assert all(np.array_equal(noisy, clean / 2) for noisy, clean in first)


def test_crops_are_not_of_validation_images():
    """What is drawn in training lies in training images alone."""
    generator = np.random.default_rng(2)
    images = [np.full((40 + n, 70 - n), n, np.uint8) + generator.integers(0, 2, (40 + n, 70 - n), np.uint8) * 100
              for n in range(20)]  # fmt: skip
    dataset = split_pairs(make_raw_pairs(images, images, None, "numbered"))
    held_out = {int(np.rint(image.min() * 255)) for part in (dataset.val, dataset.test) for image in part.clean}
    drawn = set()
    for batch in dataset.train.batches(4, generator, 16):
        drawn |= {int(np.rint(image.min() * 255)) for _, clean in batch for image in clean}
    assert drawn.isdisjoint(held_out)
    assert len(drawn | held_out) == 20


@given(st.integers(0, 99))
def test_flips_turn_both_images_alike(seed: int):
    """Mirrored and turned images hold the same pixels, noisy and clean turned alike; all eight ways occur."""
    clean = np.random.default_rng(3).random((200, 5, 7, 2), dtype=np.float32)
    turned = turn([(clean * 2, clean)], np.random.default_rng(seed))
    ways = {np.rot90(image, k).tobytes(): (n, m, k) for n, whole in enumerate(clean)
            for m, image in enumerate((whole, whole[:, ::-1])) for k in range(4)}  # fmt: skip
    found = [ways[np.ascontiguousarray(image).tobytes()] for _, images in turned for image in images]
    assert sorted(number for number, _, _ in found) == list(range(200))
    assert len({way for _, *way in map(tuple, found) for way in [tuple(way)]}) == 8
    assert all(np.array_equal(noisy, images * 2) for noisy, images in turned)


def test_small_images_stay_whole():
    """Images of one size below one and a half crops come as they are, so many a batch, and the last what is left."""
    images = np.zeros((10, 40, 40, 1), np.float32)
    batches = list(draw_batches(shapes_of(images), 32, 4, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert measure_epoch(shapes_of(images), 32) == (10, 1600)
