import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smidgen.data.pairs import Dataset, Pairs
from smidgen.judging.legibility import Reading, Truth
from smidgen.runs.chart import HEIGHT, WIDTH, make_chart
from smidgen.runs.figures import draw_bars, draw_curves, draw_front, draw_points, draw_strip

TEN = np.arange(10)


def picture(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_strip_shows_the_images(small_dataset: Dataset):
    """Where the clean images are white the strip is white, where black, black; colours mark the reading."""
    val = small_dataset.val
    black = draw_strip(Pairs(val.noisy * 0, val.clean * 0), val.clean * 0, None, None, TEN)
    white = draw_strip(Pairs(val.noisy * 0 + 1, val.clean * 0 + 1), val.clean * 0 + 1, None, None, TEN)
    assert picture(black).mean() < 0.6 * picture(white).mean()
    truth = Truth(np.zeros(10, np.int64), np.ones(10, bool), "labels")
    read = Reading(np.array([0] * 9 + [1]), np.ones(10, np.float32))
    colours = picture(draw_strip(val, val.clean, read, truth, TEN)).reshape(-1, 3)
    assert ((colours[:, 1] > colours[:, 0] + 60) & (colours[:, 1] > colours[:, 2] + 30)).any()
    assert (colours[:, 0] > colours[:, 1] + 100).any()


def test_strip_of_chosen_images(generator: np.random.Generator):
    """The places asked for are drawn, in their order, with their own reading."""
    images = generator.random((20, 8, 8, 1), dtype=np.float32)
    order = np.array([13, 2, 7])
    truth = Truth(np.arange(20) % 10, np.ones(20, bool), "labels")
    read = Reading(np.arange(20) % 10, np.ones(20, np.float32))
    some = Pairs(images[order], images[order])
    expected = draw_strip(some, images[order], Reading(read.answers[order], read.sureness[order]),
                          Truth(truth.answers[order], truth.counted[order], truth.by), np.arange(3))  # fmt: skip
    assert draw_strip(Pairs(images, images), images, read, truth, order) == expected


def test_strips_of_wide_images_are_as_low(generator: np.random.Generator):
    """Above and below a strip there is no more white than between its images."""
    images = generator.random((4, 20, 60, 1), dtype=np.float32) / 2
    shown = picture(draw_strip(Pairs(images, images), images, None, None, np.arange(4)))
    rows = np.flatnonzero((shown < 250).any((1, 2)))
    assert max(rows[0], len(shown) - 1 - rows[-1]) <= 5


def test_strip_of_few_and_of_colour_images(generator: np.random.Generator):
    """Fewer than ten images, of two, three or four channels, are drawn as well."""
    for channels in (2, 3, 4):
        images = generator.random((3, 5, 9, channels), dtype=np.float32)
        assert picture(draw_strip(Pairs(images, images), images, None, None, np.arange(3))).std() > 0


@pytest.mark.parametrize("epochs", [1, 3, 30])
@pytest.mark.parametrize("floor", [0.0, 0.02])
def test_curves_show_both_losses(epochs: int, floor: float):
    """Both curves and the chosen epoch are drawn, however many epochs there are and with or without a floor."""
    history = [{"epoch": i + 1, "loss": 1 / (i + 1), "val_loss": 1.1 / (i + 1)} for i in range(epochs)]
    colours = {tuple(pixel) for pixel in picture(draw_curves(history, floor=floor, best_epoch=epochs, loss_name="loss"))
               .reshape(-1, 3)}  # fmt: skip
    assert (0x7A, 0x93, 0xAC) in colours
    assert (0xC2, 0x41, 0x0C) in colours


def test_front_of_close_and_of_far_points():
    """Points of nearly one size and points over decades are both drawn, with what they are compared with."""
    near = draw_front([("3,527", 3527, 1.5e-3)], [("plain", 3217, 1e-2)])
    far = draw_front([("450", 421, 5e-3), ("30,000", 29_950, 1e-3)])
    assert near.startswith(b"\x89PNG")
    assert far.startswith(b"\x89PNG")
    assert near != far


def test_points_and_bars_are_drawn_for_any_values():
    """One trial, equal losses and losses far apart all give a picture."""
    assert draw_points([5.0], [0.1], ["finished"], x="seconds", y="loss").startswith(b"\x89PNG")
    assert draw_points([1, 2, 3], [0.1, 0.1, 0.1], ["a", "b", "a"], x="x", y="y").startswith(b"\x89PNG")
    assert draw_points([1, 900, 3], [0.1, 99.0, 0.2], ["a", "b", "a"], x="x", y="y").startswith(b"\x89PNG")
    assert draw_bars({"rate": 0.9, "kernel": 0.1}, x="share").startswith(b"\x89PNG")


def test_what_lies_off_the_axes_is_said(monkeypatch: pytest.MonkeyPatch):
    """A loss far above the others is counted in words, and one that is not needs none."""
    said: list[str] = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda axes, text, **more: said.append(text))
    losses_of = [0.1 + 0.001 * number for number in range(20)]
    draw_points(range(1, 21), losses_of, ["a"] * 20, x="x", y="y")
    draw_points(range(1, 22), [*losses_of, 9.0], ["a"] * 21, x="x", y="y")
    history = [{"epoch": e, "loss": 0.1 / e, "val_loss": 0.1 / e} for e in range(1, 9)]
    draw_curves([history[0] | {"loss": 3.0}, *history[1:]], floor=0, best_epoch=8, loss_name="loss")
    assert said == ["1 above the drawing, up to 9", "Epoch 1 lies above the drawing, at up to 3."]


losses = st.one_of(st.floats(1e-6, 1e6), st.just(math.nan))
histories = st.lists(st.tuples(losses, losses), min_size=1, max_size=60)


@given(history=histories, floor=st.sampled_from([0.0, 0.058]))
def test_everything_lies_within_the_drawing(history: list[tuple[float, float]], floor: float):
    """Whatever the losses, points and ticks lie within the drawing and ticks are few."""
    records = [{"epoch": number, "loss": loss, "val_loss": val} for number, (loss, val) in enumerate(history, 1)]
    chart = make_chart(records, floor=floor)
    if all(math.isnan(loss) and math.isnan(val) for loss, val in history):
        assert chart == {}
        return
    lines = [tuple(map(float, point.split(","))) for line in chart["lines"].values() for point in line.split()]
    top = chart["frame"]["top"]
    assert any(y < top for _, y in lines) == bool(chart["beyond"])  # what is cut off is said
    places = [(x, max(y, top)) for x, y in lines]
    places += [(x, 0.0) for x, _ in chart["x_ticks"]] + [(0.0, y) for y, _ in chart["y_ticks"]]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert len(chart["x_ticks"]) <= 7
    assert len(chart["y_ticks"]) <= 7
    assert len(places) >= 1


def test_lower_losses_lie_lower():
    """A falling loss falls in the drawing, where heights count downwards; the floor lies below it."""
    chart = make_chart([{"epoch": e, "loss": 1 / e, "val_loss": 1 / e} for e in range(1, 6)], floor=0.1, best_epoch=5)
    heights = [float(point.split(",")[1]) for point in chart["lines"]["validation"].split()]
    assert heights == sorted(heights)
    assert chart["floor"] > heights[-1]
    assert [text for _, text in chart["x_ticks"]] == [1, 2, 3, 4, 5]
    assert chart["kept"] == (390.0, heights[-1])


def test_a_first_epoch_that_would_flatten_the_others_is_told_of():
    """It lies beyond the frame, in words; one that does not is in it."""
    history = [{"epoch": e, "loss": 0.1 / e, "val_loss": 0.1 / e} for e in range(1, 9)]
    assert make_chart(history, floor=0)["beyond"] == ""
    far = make_chart([history[0] | {"loss": 3.0}, *history[1:]], floor=0)
    assert far["beyond"] == "Epoch 1 lies above the drawing, at up to 3."
