import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.errors import InputError
from smidgen.scaling.levels import average, windows


@given(st.integers(1, 200), st.data())
def test_windows_lie_side_by_side(finer: int, data: st.DataObject):
    """Each coarser value covers at least one finer one, none covers another's, and less than a window is left."""
    coarser = data.draw(st.integers(1, finer))
    starts, ends = windows(finer, coarser)
    assert len(starts) == coarser
    assert (starts < ends).all()
    assert starts[0] == 0
    assert (starts[1:] == ends[:-1]).all()
    assert finer - ends[-1] < max(ends - starts)


def test_sizes_of_whole_factors():
    """Halved sizes keep pairs together, whether the odd one out was kept or dropped; longer ones are refused."""
    for finer, coarser, ends in ((8, 4, [2, 4, 6, 8]), (7, 4, [2, 4, 6, 7]), (7, 3, [2, 4, 6]), (9, 9, range(1, 10))):
        assert windows(finer, coarser)[1].tolist() == list(ends)
    with pytest.raises(InputError, match="9 pixels where the finer one has 8"):
        windows(8, 9)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(["u1", "i2", "f4"]), st.data())
def test_averages_are_means_of_windows(height: int, width: int, dtype: str, data: st.DataObject):
    """Each value is the mean of those it covers, rounded where they are whole numbers."""
    values = np.random.default_rng(0).integers(0, 120, (height, width)).astype(dtype)
    parts = [windows(size, data.draw(st.integers(1, size))) for size in values.shape]
    means = average(values[: parts[0][1][-1], : parts[1][1][-1]], parts)
    assert means.dtype == values.dtype
    for (row, column), mean in np.ndenumerate(means):
        (top, left), (bottom, right) = ((parts[0][k][row], parts[1][k][column]) for k in (0, 1))
        expected = values[top:bottom, left:right].mean(dtype=np.float64)
        assert abs(mean - expected) <= (0.5 if dtype != "f4" else 1e-4)
