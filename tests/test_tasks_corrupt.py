import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter

from smidgen.data.camera import develop, expose
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


@pytest.mark.parametrize("channels", [1, 3])
def test_camera_noise_is_smeared_over_neighbours(channels: int, generator: np.random.Generator):
    """Demosaicking correlates it between neighbours, and the tone curve makes it strongest in the shadows."""
    spreads = []
    for level in (0.9, 0.5, 0.1):
        clean = np.full((1, 300, 300, channels), level, np.float32)
        noise = CORRUPTIONS["camera-noise"].damage(clean, 0.03, generator)[0] - level
        beside = np.corrcoef(noise[:, :-1, 0].ravel(), noise[:, 1:, 0].ravel())[0, 1]
        assert beside > 0.2
        spreads.append(float(noise.std()))
    assert spreads[0] < spreads[1] < spreads[2]


def test_camera_noise_at_white_is_that_of_its_strength(generator: np.random.Generator):
    """In green of colour pictures its deviation is the sensor's, through the slope of sRGB's curve."""
    level = np.float32(0.7)
    noisy = CORRUPTIONS["camera-noise"].damage(np.full((1, 400, 400, 3), level, np.float32), 0.01, generator)[0]
    own = noisy[::2, 1::2, 1] - level  # where green is seen, not interpolated
    light = ((level + 0.055) / 1.055) ** 2.4
    slope = 2.4 / 1.055 * ((level + 0.055) / 1.055) ** 1.4
    assert own.std() == pytest.approx(0.01 * np.sqrt(0.9 * light + 0.1) / slope, rel=0.02)


@given(hnp.arrays(np.float32, (1, 7, 6, 3), elements=st.floats(0, 1, width=32)))
def test_a_camera_gives_plain_colours_back(colours: npt.NDArray[np.float32]):
    """Whatever the colour and the parity of a site, a plain picture is developed as it was."""
    plain = np.broadcast_to(colours[:, :1, :1], colours.shape)
    np.testing.assert_allclose(develop(expose(plain).light, 3), plain, atol=2e-5)
    grey = plain[..., :2]
    np.testing.assert_allclose(develop(expose(grey).light, 2), grey, atol=2e-5)


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
