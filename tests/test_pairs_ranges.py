import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smidgen.errors import PairsError
from smidgen.pairs.ranges import Range, fit_range


@pytest.mark.parametrize(
    ("low", "high", "kind", "expected"),
    [
        (0, 1, "f4", (0, 1)),
        (0, 0.3, "f4", (0, 1)),
        (0, 1.97, "f8", (0, 2)),
        (0, 2, "u1", (0, 2)),
        (0, 255, "u1", (0, 255)),
        (0, 90, "u1", (0, 255)),
        (0, 255.0, "f4", (0, 255)),
        (0, 505, "i8", (0, 510)),
        (0, 4000, "u2", (0, 4095)),
        (0, 60000, "u2", (0, 65535)),
        (0, 100.0, "f4", (0, 100)),
        (-0.9, 1.0, "f4", (-1, 1)),
        (-40, 90, "f4", (-40, 90)),
        (0, 100000, "i4", (0, 100000)),
        (-1e-9, 1.0, "f8", (0, 1)),
        (0, 1.0000002, "f4", (0, 1)),
        (0, 255.00002, "f8", (0, 255)),
    ],
)
def test_usual_scales_are_recognised(low: float, high: float, kind: str, expected: tuple[float, float]):
    """Data are put on the scale people mean: 8 bits, sums of two images, 16 bits, or their own."""
    assert fit_range(np.array([low, high, (low + high) / 2]).astype(kind), "X") == Range(*expected)


def test_constant_values_are_refused():
    """Nothing can be learned where every value is the same."""
    with pytest.raises(PairsError, match="every value of y is 3"):
        fit_range(np.full((2, 2), 3), "y")


@given(arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)), st.floats(-1e4, 1e4), st.floats(0.1, 1e4))
def test_restore_undoes_normalise(shares: np.ndarray, low: float, size: float):
    """Outputs return in the units they came in."""
    rule = Range(low, low + size)
    values = low + shares.astype(np.float64) * size
    np.testing.assert_allclose(rule.restore(rule.normalise(values)), values, atol=1e-2)


def test_values_beyond_the_range_are_clipped_and_counted():
    """What lies outside is clipped; rounding does not count as outside, another scale does not suit."""
    rule = Range(0, 255)
    np.testing.assert_array_equal(rule.normalise(np.array([-10, 0, 300])), np.array([0, 0, 1], np.float32))
    assert rule.outside(np.array([-0.1, 255.2, 256, 1000])) == 2
    assert rule.suits(np.array([0, 300]))
    assert not rule.suits(np.array([0, 510]))


def test_integers_and_floats_agree_to_the_bit():
    """The same picture as 0..510 integers and as 0..1 floats gives the same float32 values."""
    values = np.arange(511)
    np.testing.assert_array_equal(Range(0, 510).normalise(values), Range().normalise(values / 510))
