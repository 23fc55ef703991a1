import numpy as np

from smidgen.data.pairs import Pairs
from smidgen.judging.baselines import choose_baselines
from smidgen.training.losses import mse


def test_strengths_are_chosen_on_validation_and_help():
    """On smooth images with noise every filter, at its chosen strength, beats doing nothing."""
    generator = np.random.default_rng(0)
    ramp = np.linspace(0.2, 0.8, 24, dtype=np.float32)
    clean = np.tile(ramp[None, :, None, None], (12, 1, 24, 1))
    noisy = np.clip(clean + 0.15 * generator.standard_normal(clean.shape, dtype=np.float32), 0, 1)
    val, test = Pairs(noisy[:6], clean[:6]), Pairs(noisy[6:], clean[6:])
    baselines = list(choose_baselines(val))
    assert [b.name for b in baselines] == ["doing nothing", "median", "total variation", "wavelet", "non-local means"]
    errors = {b.name: mse(b.denoise(test.noisy), test.clean).mean() for b in baselines}
    assert all(errors[name] < 0.5 * errors["doing nothing"] for name in errors if name != "doing nothing")


def test_doing_nothing_returns_the_input(generator: np.random.Generator):
    """The first baseline gives back what came in, noise beyond black and white included."""
    images = generator.standard_normal((3, 8, 8, 1), dtype=np.float32)
    nothing = next(choose_baselines(Pairs(images, images)))
    np.testing.assert_array_equal(nothing.denoise(images), images)
