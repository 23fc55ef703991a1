from hypothesis import given
from hypothesis import strategies as st

from smidgen.model.spans import plan_spans


@given(st.integers(1, 300), st.integers(1, 64), st.integers(0, 70), st.sampled_from([1, 2, 4, 8, 16]))
def test_spans_cover_all_once_with_margins(length: int, step: int, reach: int, stride: int):
    """Every row is in one span, which begins on the stride and sees as far as the reach or the image goes."""
    spans = plan_spans(length, step, reach=reach, stride=stride)
    assert [row for span in spans for row in range(span.start, span.stop)] == list(range(length))
    for span in spans:
        assert span.first % stride == 0
        assert span.first <= max(0, span.start - reach)
        assert span.last >= min(length, span.stop + reach)
        rows = list(range(span.first, span.last))[span.inner]
        assert rows == list(range(span.start, span.stop))


def test_small_images_stay_whole():
    """What is little longer than a span is not cut, and cuts are about even."""
    assert len(plan_spans(80, 64, reach=60, stride=8)) == 1
    assert [span.stop for span in plan_spans(200, 64, reach=60, stride=8)] == [72, 144, 200]
