import math

from hypothesis import given
from hypothesis import strategies as st

from smidgen.runs.chart import HEIGHT, WIDTH, make_chart

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
    places = [tuple(map(float, point.split(","))) for line in chart["lines"].values() for point in line.split()]
    places += [(x, 0.0) for x, _ in chart["x_ticks"]] + [(0.0, y) for y, _ in chart["y_ticks"]]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert len(chart["x_ticks"]) <= 7
    assert len(chart["y_ticks"]) <= 7
    assert len(places) >= 1


def test_lower_losses_lie_lower():
    """A falling loss falls in the drawing, where heights count downwards; the floor lies below it."""
    chart = make_chart([{"epoch": e, "loss": 1 / e, "val_loss": 1 / e} for e in range(1, 6)], floor=0.1)
    heights = [float(point.split(",")[1]) for point in chart["lines"]["validation"].split()]
    assert heights == sorted(heights)
    assert chart["floor"] > heights[-1]
    assert [text for _, text in chart["x_ticks"]] == [1, 2, 3, 4, 5]
