import pytest

from smidgen.errors import InputError
from smidgen.network.spec import PlainSpec, PyramidSpec
from smidgen.training.recipe import DEFAULT_STEPS, Recipe, default_recipe


def test_plain_is_trained_the_exercises_way():
    """The baseline's recipe: Adam at a constant 1e-3, batches of 128, patience 5."""
    settings = default_recipe(PlainSpec(), 55000, 784)
    assert (settings.optimizer, settings.learning_rate, settings.batch_size, settings.patience) == (
        "adam",
        1e-3,
        128,
        5,
    )
    assert settings.rate_at(0, 100) == settings.rate_at(99, 100) == 1e-3


@pytest.mark.parametrize("num_pairs", [300, 6000, 55000])
def test_default_length_is_about_the_same_number_of_steps(num_pairs: int):
    """Small data sets are shown more often, so that training takes as long."""
    settings = default_recipe(PyramidSpec(), num_pairs, 784)
    steps = settings.epochs * -(-num_pairs // 64)
    assert abs(steps - DEFAULT_STEPS) <= 0.05 * DEFAULT_STEPS
    assert settings.patience is None


def test_annealed_rate_rises_and_falls_to_nothing():
    """The rate warms up, peaks near the setting and ends at almost zero."""
    settings = Recipe(epochs=1, learning_rate=0.01)
    rates = [settings.rate_at(step, 1000) for step in range(1000)]
    assert rates[0] < 0.001
    assert max(rates) == pytest.approx(0.01, rel=0.05)
    assert rates[-1] < 1e-6


def test_what_the_user_chose_stands():
    """Chosen settings replace the recipe's; None leaves them, and the rate follows the optimizer."""
    settings = default_recipe(PyramidSpec(), 1000, 784, epochs=3, optimizer="adam", patience=None)
    assert (settings.epochs, settings.optimizer, settings.learning_rate) == (3, "adam", 1e-3)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": -1.0}, {"learning_rate": float("nan")}, {"optimizer": "magic"},
     {"loss": "mae"}, {"patience": 0}, {"seed": -1}, {"threads": 0}, {"epochs": 10**400}, {"batch_size": 10**400},
     {"learning_rate": 10**400}, {"learning_rate": float("inf")}, {"patience": 10**400}, {"threads": 1000},
     {"keep": "worst"}],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong: dict[str, object]):
    """Settings that cannot be are refused by name before any work."""
    with pytest.raises(InputError):
        Recipe(**({"epochs": 1} | wrong))
    with pytest.raises(InputError):
        default_recipe(PyramidSpec(), 100, 784, **wrong)


def test_the_loss_follows_the_output():
    """Cross-entropy for a sigmoid, squared errors for a residual, unless another is chosen."""
    for spec, loss in ((PyramidSpec(), "bce"), (PlainSpec(output="residual"), "mse")):
        assert default_recipe(spec, 100, 784).loss == loss
    assert default_recipe(PyramidSpec(), 100, 784, loss="mse").loss == "mse"


@pytest.mark.parametrize(("pixels", "batch_size"), [(1, 64), (784, 64), (64 * 64, 12), (512 * 512, 1)])
def test_large_images_come_in_smaller_batches(pixels: int, batch_size: int):
    """A batch holds about the same number of pixels, so that memory and time stay the same."""
    assert default_recipe(PyramidSpec(), 1000, pixels).batch_size == batch_size
