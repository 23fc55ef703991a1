import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import cohen_kappa_score

from smidgen.data.tasks import load_task
from smidgen.errors import PairsError
from smidgen.judging.scores import cohen_kappa, psnr, ssim
from smidgen.model.records import Interval
from smidgen.training.losses import bce, bce_floor, mse

SHAPES = [(3, 28, 28, 1), (2, 9, 12, 3)]


def two(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    clean = generator.random(shape, dtype=np.float32)
    return np.clip(clean + 0.1 * generator.standard_normal(shape, dtype=np.float32), 0, 1), clean


@given(answers=st.lists(st.tuples(st.sampled_from("0123?"), st.sampled_from("0123")), max_size=40))
def test_kappa_equals_scikit_learns(answers: list[tuple[str, str]]):
    """Cohen's kappa is scikit-learn's; where that has no value, ours is NaN."""
    first, second = [a for a, _ in answers], [b for _, b in answers]
    found = cohen_kappa(first, second)
    if len(set(first + second)) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_to_scikit_image(shape: tuple[int, ...]):
    """MSE, PSNR and SSIM are scikit-image's, image by image."""
    denoised, clean = two(shape)
    for i in range(shape[0]):
        assert mse(denoised, clean)[i] == pytest.approx(mean_squared_error(clean[i], denoised[i]), rel=1e-6)
        assert psnr(denoised, clean)[i] == pytest.approx(
            peak_signal_noise_ratio(clean[i], denoised[i], data_range=1), rel=1e-6
        )
        expected = structural_similarity(
            clean[i].astype(float), denoised[i].astype(float), data_range=1, channel_axis=-1
        )
        assert ssim(denoised, clean)[i] == pytest.approx(expected, rel=1e-6)


def test_bce_by_its_definition():
    """BCE is the mean of -(t log p + (1 - t) log(1 - p)), outputs clipped away from 0 and 1."""
    denoised, clean = two(SHAPES[0])
    p, t = np.clip(denoised.astype(float), 1e-7, 1 - 1e-7), clean.astype(float)
    assert bce(denoised, clean) == pytest.approx(-(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(), rel=1e-9)
    wrong = bce(np.zeros((1, 1, 1, 1), np.float32), np.ones((1, 1, 1, 1), np.float32))
    assert wrong == pytest.approx(-math.log(1e-7))


def test_nothing_scores_below_the_floor():
    """A perfect output has the floor's BCE, any other one more."""
    denoised, clean = two(SHAPES[0])
    assert bce(clean, clean) == bce_floor(clean) < bce(denoised, clean)


def test_floor_of_mnist(full_data):
    """The floor of the MNIST test digits is the published 0.0581, of the garments 0.2422."""
    assert bce_floor(load_task("digits-in-noise", full_data).test.clean) == pytest.approx(0.0581, abs=5e-5)
    assert bce_floor(load_task("garments-in-noise", full_data).test.clean) == pytest.approx(0.2422, abs=5e-5)


def test_identical_images():
    """Identical images have no error, endless PSNR and SSIM 1."""
    _, clean = two(SHAPES[0])
    assert (mse(clean, clean) == 0).all()
    assert (psnr(clean, clean) == 100).all()
    assert ssim(clean, clean) == pytest.approx(1)


def test_images_smaller_than_the_window_have_no_ssim():
    """SSIM of an image under 7 x 7 is not a number rather than a wrong one."""
    denoised, clean = two((2, 6, 9, 1))
    assert np.isnan(ssim(denoised, clean)).all()


@pytest.mark.parametrize("score", [bce, mse, psnr, ssim])
def test_shapes_must_agree_and_inputs_stay_as_they_are(score):
    """Scores refuse different shapes and change neither input."""
    denoised, clean = two(SHAPES[0])
    before = denoised.copy(), clean.copy()
    score(denoised, clean)
    np.testing.assert_array_equal(denoised, before[0])
    np.testing.assert_array_equal(clean, before[1])
    with pytest.raises(PairsError, match="2 images are scored against"):
        score(denoised[:2], clean)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_is_wilsons(counts: tuple[int, int]):
    """The interval is scipy's Wilson interval and holds the rate."""
    hits, n = counts
    interval = Interval.of(hits, n)
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert interval.low == pytest.approx(expected.low, abs=1e-9)
    assert interval.high == pytest.approx(expected.high, abs=1e-9)
    assert interval.low <= interval.rate <= interval.high
