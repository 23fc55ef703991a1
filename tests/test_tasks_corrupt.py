import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from smidgen.data.corruptions import CORRUPTIONS, SIGMA, add_noise, average, maximum

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


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(2, 28, 28, 1), (1, 5, 9, 3)], ids=str)
def test_every_kind_grows_with_its_strength(name: str, shape: tuple[int, ...], generator: np.random.Generator):
    """Strength 0 changes next to nothing, more changes more; only noise leaves [0, 1], and the shape is kept."""
    kind = CORRUPTIONS[name]
    clean = generator.random(shape, dtype=np.float32)
    changes = []
    for strength in (0.0, kind.usual, kind.most):
        noisy = kind.damage(clean, strength, np.random.default_rng(1))
        assert noisy.shape == shape
        assert noisy.dtype == np.float32
        assert "noise" in name or "poisson" in name or (noisy.min() >= 0 and noisy.max() <= 1)
        changes.append(float(np.abs(noisy - clean).mean()))
    assert changes[0] < 0.02
    assert changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("level", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("strength", [0.05, 0.5])
def test_noise_has_the_mean_and_variance_of_theory(level: float, strength: float, generator: np.random.Generator):
    """Gaussian noise has variance s² anywhere, Poisson noise v·s² at value v, a sensor's a mixture; no mean shifts."""
    clean = np.full((4, 250, 400, 1), level, np.float32)
    for name, variance in (
        ("gaussian-noise", strength**2),
        ("poisson-noise", level * strength**2),
        ("poisson-gaussian", (0.9 * level + 0.1) * strength**2),
    ):
        noisy = CORRUPTIONS[name].damage(clean, strength, generator).astype(np.float64)
        assert noisy.mean() == pytest.approx(level, abs=4 * strength / np.sqrt(clean.size))
        # A Poisson count of mean m has kurtosis 3 + 1/m: the variance of the sample variance follows.
        spread = np.sqrt((2 + (strength**2 / level if level and "poisson" in name else 0)) / clean.size)
        assert noisy.var() == pytest.approx(variance, rel=5 * spread)
        assert (noisy > 1).any() or level < 1


def test_poisson_noise_counts_photons(generator: np.random.Generator):
    """Values are whole numbers of photons, of no light there are none, and next to no noise is none."""
    poisson = CORRUPTIONS["poisson-noise"].damage
    clean = generator.random((1, 50, 50, 1), dtype=np.float32) - np.float32(0.2)
    photons = poisson(clean, 0.2, generator) / 0.04
    np.testing.assert_allclose(photons, np.rint(photons), atol=1e-4)
    assert (photons[clean <= 0] == 0).all()
    assert poisson(clean, 1e-9, generator) is clean


def test_salt_and_pepper_hits_its_share(generator: np.random.Generator):
    """A quarter of the values become black or white, half of these each."""
    noisy = CORRUPTIONS["salt-and-pepper"].damage(np.full((1, 300, 300, 1), 0.5, np.float32), 0.25, generator)
    assert abs((noisy == 0).mean() - 0.125) < 0.01
    assert abs((noisy == 1).mean() - 0.125) < 0.01


def test_blur_keeps_the_mean_and_equals_scipys(generator: np.random.Generator):
    """The Gaussian blur is scipy's with the nearest value beyond the edge."""
    clean = generator.random((1, 30, 40, 1), dtype=np.float32)
    expected = gaussian_filter(clean[0, ..., 0], 1.5, mode="nearest", truncate=5 / 1.5)
    np.testing.assert_allclose(CORRUPTIONS["blur"].damage(clean, 1.5, generator)[0, ..., 0], expected, atol=2e-3)
