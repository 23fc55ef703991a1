import numpy as np

from smidgen.tasks.corrupt import SIGMA, add_noise, average, maximum

A = np.array([0.0, 0.5, 1.0], np.float32)
B = np.array([1.0, 0.25, 1.0], np.float32)


def test_average_and_maximum():
    """Two pictures are averaged, or the brighter one wins."""
    np.testing.assert_array_equal(average(A, B), np.array([0.5, 0.375, 1.0], np.float32))
    np.testing.assert_array_equal(maximum(A, B), np.array([1.0, 0.5, 1.0], np.float32))


def test_noise_has_its_strength_and_stays_in_range():
    """Noise of standard deviation 0.4 is added and the result clipped to [0, 1]."""
    normal = np.random.default_rng(0).standard_normal(100_000, dtype=np.float32)
    noisy = add_noise(np.full(100_000, 0.5, np.float32), normal)
    assert noisy.min() == 0
    assert noisy.max() == 1
    inside = (noisy > 0) & (noisy < 1)
    np.testing.assert_allclose(noisy[inside], 0.5 + SIGMA * normal[inside], atol=1e-6)
    assert noisy.dtype == np.float32
