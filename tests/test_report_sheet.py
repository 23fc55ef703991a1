import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from smidgen.data.checks import make_raw_images
from smidgen.data.clean import split_clean
from smidgen.data.collection import ScaledImages
from smidgen.data.corruptions import make_corruption
from smidgen.data.pairs import FixedSource, Pairs
from smidgen.data.tasks import SAMPLE_TASK, load_task
from smidgen.runs.sheet import draw_sheet

GROUND = (238, 241, 244)
FRAME = (194, 65, 12)


def picture(png: bytes, ground: tuple[int, int, int] = GROUND) -> np.ndarray:
    """As it looks on a page of such a ground."""
    drawn = Image.open(io.BytesIO(png))
    page = Image.new("RGBA", drawn.size, (*ground, 255))
    return np.asarray(Image.alpha_composite(page, drawn).convert("RGB")).astype(int)


def place(sheet: np.ndarray, colour: tuple[int, ...]) -> tuple[slice, slice]:
    """The box that holds all pixels of a colour."""
    rows, columns = np.nonzero((sheet == colour).all(2))
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def many(n: int, size: tuple[int, int, int], names: tuple[str, ...] | None = None) -> FixedSource:
    noisy = np.random.default_rng(0).random((n, *size), np.float32)
    return FixedSource(Pairs(noisy, noisy[::-1], names=names))


def test_noisy_stands_above_clean():
    """The noisy image is above the clean one, both enlarged by whole pixels."""
    shape = (1, 28, 28, 3)
    noisy, clean = np.full(shape, (0, 0, 1), np.float32), np.full(shape, (0, 1, 0), np.float32)
    sheet = picture(draw_sheet(FixedSource(Pairs(noisy, clean))))
    (above, left), (below, right) = place(sheet, (0, 0, 255)), place(sheet, (0, 255, 0))
    assert above.stop < below.start
    assert left == right
    assert all(part.stop - part.start == 84 for part in (above, below, left))


def test_large_pictures_are_scaled_down_beside_a_part_of_them():
    """A page is shown as the mean of its pixels, and where it varies most also at full size, framed in the whole."""
    clean = np.zeros((1, 600, 900, 1), np.float32)
    clean[0, ::2] = 1  # grey when it is scaled down
    clean[0, 400:500, 700:800] = np.random.default_rng(0).random((100, 100, 1)) < 0.5
    clean[0, 400:500, 700:720] = 0
    sheet = picture(draw_sheet(FixedSource(Pairs(clean, clean))))
    rows, columns = place(sheet, FRAME)
    assert rows.stop - rows.start > 100  # in the noisy image, and in the clean one
    assert columns.stop - columns.start == round(172 * 172 / 900)
    whole = sheet[22 : 22 + 115, 60 : 60 + 172, 0]
    assert abs(whole[5:50, 5:50].mean() - 127.5) < 3
    detail = sheet[22 : 22 + 172, 60 + 172 + 8 : 60 + 172 + 8 + 172, 0]
    pieces = np.lib.stride_tricks.sliding_window_view(np.rint(clean[0, :, :, 0] * 255), (172, 172))
    start = round((columns.start - 60) * 900 / 172)
    assert any(np.array_equal(detail, pieces[top, left]) for top in range(429) for left in range(start - 9, start + 9)
               if left <= 728)  # fmt: skip


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 700), st.integers(1, 700)), min_size=1, max_size=14),
    st.sampled_from([1, 2, 3, 4]),
    st.integers(1, 3),
)
def test_any_sizes_make_a_sheet(sizes: list[tuple[int, int]], channels: int, most_rows: int):
    """Images of any sizes and channels fit on a sheet of limited width."""
    generator = np.random.default_rng(0)
    clean = [generator.random((*size, channels), np.float32) for size in sizes]
    images = ScaledImages(clean)
    sheet = picture(draw_sheet(FixedSource(Pairs(images, images)), most_rows))
    assert sheet.shape[1] <= 1170
    assert sheet.shape[0] <= most_rows * (2 * 200 + 50)


def test_pairs_come_from_all_over():
    """Up to twelve pairs are shown, the first and the last among them; fewer in one row of large ones."""
    dark = np.zeros((100, 28, 28, 1), np.float32)
    dark[[0, 99]] = 1
    sheet = picture(draw_sheet(FixedSource(Pairs(dark, dark))))
    white = (sheet == 255).all(2).any(0).nonzero()[0]
    black = (sheet == 0).all(2).any(0).nonzero()[0]
    assert white[0] < black[0]
    assert white[-1] > black[-1]
    assert picture(draw_sheet(many(20, (300, 300, 1)), most_rows=1)).shape[0] < 2 * 172 + 50


@pytest.mark.parametrize("ground", [(255, 255, 255), (17, 24, 32)])
def test_a_sheet_goes_with_light_and_dark_pages(ground: tuple[int, int, int]):
    """Behind the pictures is the page's own ground, and on it the words can be read."""
    sheet = picture(draw_sheet(many(3, (28, 28, 1), ("a", "b", "c"))), ground)
    assert (sheet[0, 0] == ground).all()
    words = sheet[:, :56].reshape(-1, 3)
    assert np.abs(words - ground).max() > 90


def test_names_of_any_letters():
    """Names in letters that no font has, with signs of formulas, or far too long draw no warning and are shown."""
    plain = draw_sheet(many(3, (9, 9, 1)))
    for names in (("a", "b", "c"), ("日本", "$a_{", "x" * 300)):
        named = draw_sheet(many(3, (9, 9, 1), names))
        assert picture(named).shape != picture(plain).shape
        assert named != plain


@pytest.mark.parametrize("kind", ["task", "clean"])
def test_a_sheet_is_the_same_each_time(kind: str):
    """Pairs made afresh in training are drawn once for the sheet, by a fixed seed, with the names of their images."""
    if kind == "task":
        source = load_task(SAMPLE_TASK).train
    else:
        images = np.random.default_rng(0).random((40, 9, 9))
        raw = make_raw_images(images, None, "clean", tuple(map(str, range(40))))
        source = split_clean(raw, make_corruption("gaussian-noise")).train
        assert (source.spread(3).names or ())[0] in map(str, range(9))
    assert draw_sheet(source) == draw_sheet(source)
    assert len(source.spread(5)) == 5


def luminance(colour: np.ndarray) -> float:
    """That of WCAG 2, of an sRGB colour of 0 to 255."""
    shares = colour / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("ground", [(255, 255, 255), (18, 24, 31)])
def test_labels_are_read_on_any_ground(ground: tuple[int, int, int]):
    """What stands beside the pictures has a contrast of 4.5 at least, on a light page and a dark one."""
    sheet = picture(draw_sheet(many(3, (28, 28, 1))), ground)
    margin = sheet[:, :52].reshape(-1, 3)
    colours, counts = np.unique(margin[(margin != ground).any(1)], axis=0, return_counts=True)
    plate = luminance(colours[counts.argmax()])
    brightest = max(map(luminance, colours))
    assert (brightest + 0.05) / (plate + 0.05) >= 4.5
