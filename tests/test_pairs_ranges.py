import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smidgen.data.scale import Extent, Scale, Scales, fit_scale, fit_scales
from smidgen.errors import PairsError


def fit(noisy: np.ndarray, clean: np.ndarray, **how: bool) -> Scales:
    """The scales of two arrays."""

    def error(one: Scale, other: Scale) -> float:
        return float(np.square(one.normalise(noisy).astype(float) - other.normalise(clean)).mean())

    return fit_scales(Extent.of(noisy), Extent.of(clean), error, **how)


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
    assert fit_scale(Extent.of(np.array([low, high, (low + high) / 2]).astype(kind)), "X") == Scale(*expected)


def test_constant_values_are_refused():
    """Nothing can be learned where every value is the same."""
    with pytest.raises(PairsError, match="every value of y is 3"):
        fit_scale(Extent.of(np.full((2, 2), 3)), "y")


@given(arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)), st.floats(-1e4, 1e4), st.floats(0.1, 1e4))
def test_restore_undoes_normalise(shares: np.ndarray, low: float, size: float):
    """Outputs return in the units they came in."""
    rule = Scale(low, low + size)
    values = low + shares.astype(np.float64) * size
    np.testing.assert_allclose(rule.restore(rule.normalise(values)), values, atol=1e-2)


@given(st.data(), st.sampled_from(["u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"]))
def test_scales_are_computed_in_float64(data: st.DataObject, kind: str):
    """Values of any type are brought to [0, 1] and back with one rounding at the end; whole ones stay in their type."""
    dtype = np.dtype(kind)
    extent = (np.iinfo if dtype.kind in "ui" else np.finfo)(dtype)
    low, high = sorted(data.draw(st.lists(st.integers(-70_000, 70_000), min_size=2, max_size=2, unique=True)))
    rule = Scale(0 if data.draw(st.booleans()) and high > 0 else low, high)
    least, most = max(-80_000, float(extent.min)), min(80_000, float(extent.max))
    values = np.random.default_rng(0).uniform(least, most, (7, 4000)).astype(dtype)
    shares = ((values.astype(np.float64) - rule.low) / (rule.high - rule.low)).astype(np.float32)
    np.testing.assert_array_equal(rule.normalise(values), shares)
    back = shares.astype(np.float64) * (rule.high - rule.low) + rule.low
    if dtype.kind in "ui":
        back = np.clip(np.rint(back), extent.min, extent.max)
    np.testing.assert_array_equal(rule.restore(shares, dtype), back.astype(dtype))
    outside = (values < rule.limits[0]) | (values > rule.limits[1])
    assert rule.outside(values) == outside.sum()


def test_values_beyond_the_range_are_kept_and_counted():
    """What lies outside leaves [0, 1]; rounding does not count as outside, larger and smaller scales do not suit."""
    rule = Scale(0, 255)
    np.testing.assert_array_equal(rule.normalise(np.array([-51, 0, 306])), np.array([-0.2, 0, 1.2], np.float32))
    assert rule.outside(np.array([-0.1, 255.2, 256, 1000])) == 2
    assert rule.suits(Extent.of(np.array([0, 300])))
    assert not rule.suits(Extent.of(np.array([0, 510])))
    assert not rule.suits(Extent.of(np.array([0, 1])))


def test_noise_given_in_ys_units_stays_in_them(generator: np.random.Generator):
    """A 16-bit stack whose noise reaches far beyond y is taken on y's scale, so that doing nothing errs as it does."""
    clean = generator.integers(0, 6700, (20, 16, 16)).astype(np.uint16)
    clean[0, 0, 0] = 6700
    noisy = np.clip(clean + 400 * generator.standard_normal(clean.shape), 0, 16383).astype(np.uint16)
    noisy[3, 3, 3] = 16383
    scales = fit(noisy, clean)
    assert (scales.noisy, scales.clean, scales.seen) == (Scale(0, 6700), Scale(0, 6700), Scale(0, 16383))
    assert "y's scale, 0..6700" in scales.reason
    error = np.square(scales.noisy.normalise(noisy) - scales.clean.normalise(clean), dtype=np.float64).mean()
    assert error == pytest.approx(np.square(noisy.astype(float) - clean).mean() / 6700**2, rel=1e-5)


def test_noise_is_not_clipped_away(generator: np.random.Generator):
    """Binary images with noise of 0.3 beyond both ends show an error of 0.09, as they have."""
    clean = generator.integers(0, 2, (40, 28, 28)).astype(np.float64)
    noisy = clean + 0.3 * generator.standard_normal(clean.shape)
    scales = fit(noisy, clean)
    assert scales.noisy == scales.clean == Scale(0, 1)
    assert np.square(scales.noisy.normalise(noisy) - clean).mean() == pytest.approx(0.09, abs=0.002)


def test_x_that_vanishes_on_ys_scale_keeps_its_own():
    """Scans in 0..1, dark on light, whose truth is light on dark in 0..255: X on y's scale would be all black."""
    clean = np.zeros((3, 8, 8))
    clean[:, 2, 2:6] = 255
    scales = fit(1 - clean / 255, clean)
    assert (scales.noisy, scales.clean) == (Scale(0, 1), Scale(0, 255))


@given(
    arrays(np.float64, (4, 5, 5), elements=st.floats(0, 1)), arrays(np.float64, (4, 5, 5), elements=st.floats(0, 1)),
    st.sampled_from([1.0, 255.0, 65535.0]),
)  # fmt: skip
def test_x_takes_the_scale_on_which_it_lies_nearer(first: np.ndarray, second: np.ndarray, unit: float):
    """Whatever X and y hold, no other of the two scales would bring X nearer to y, unless X vanishes on it."""
    first[0, 0, 0], first[0, 0, 1] = 1, 0
    clean, noisy = first * unit, (first + second) * unit
    scales = fit(noisy, clean)

    def error(scale: Scale) -> float:
        return float(np.square(scale.normalise(noisy).astype(float) - scales.clean.normalise(clean)).mean())

    assert error(scales.noisy) <= min(error(fit_scale(Extent.of(noisy), "X")), error(scales.clean)) + 1e-9


@given(
    arrays(np.float64, (4, 5, 5), elements=st.floats(-1, 2)), arrays(np.float64, (4, 5, 5), elements=st.floats(0, 1)),
    st.sampled_from([1.0, 255.0, 65535.0]),
)  # fmt: skip
def test_one_scale_is_ys(noisy: np.ndarray, clean: np.ndarray, unit: float):
    """Asked for one scale, X takes y's whatever its values are, and the reason says so."""
    clean[0, 0, 0], clean[0, 0, 1] = 1, 0
    noisy[0, 0, 0], noisy[0, 0, 1] = 2, -1
    scales = fit(noisy * unit, clean * unit, one_scale=True)
    assert scales.noisy == scales.clean == fit_scale(Extent.of(clean * unit), "y")
    assert (scales.seen.low, scales.seen.high) == (-unit, 2 * unit)
    assert f"y's scale, {scales.clean}, as a residual" in scales.reason


def test_integers_and_floats_agree_to_the_bit():
    """The same picture as 0..510 integers and as 0..1 floats gives the same float32 values."""
    values = np.arange(511)
    np.testing.assert_array_equal(Scale(0, 510).normalise(values), Scale().normalise(values / 510))
