from pathlib import Path

import numpy as np
import pytest

from smidgen.data.scale import Scale
from smidgen.export.keras import build_keras, explain_count, import_keras, save_keras
from smidgen.network.spec import OUTPUTS, PlainSpec, PyramidSpec, Spec, default_spec
from tests.conftest import random_weights, runtime_of

SPECS = [PlainSpec(), PyramidSpec(channels=3, width=3, hidden=4, scales=3, passes=2),
         PyramidSpec(width=3, hidden=4, scales=2, passes=2, tied=False), default_spec(),
         PlainSpec(channels=3, widths=(4,), output="residual"),
         PyramidSpec(width=3, hidden=4, output="residual")]  # fmt: skip


@pytest.mark.parametrize("size", [(28, 28), (13, 10)], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_keras_answers_as_the_model_before_and_after_saving(
    tmp_path: Path, spec: Spec, size: tuple[int, int], generator: np.random.Generator
):
    """The built model, and the ones loaded from .keras and .h5 by Keras alone, agree; every number is explained."""
    weights = random_weights(spec, generator)
    model = build_keras(spec.network(), weights, size)
    noisy = generator.random((3, *size, spec.channels), dtype=np.float32)
    expected = runtime_of(spec, weights).denoise(noisy)
    np.testing.assert_allclose(model.predict(noisy, verbose=0), expected, atol=1e-5)
    assert model.count_params() == sum(explain_count(spec.network()).values())
    for ending in ("keras", "h5"):
        save_keras(model, tmp_path / f"m.{ending}")
        loaded = import_keras().models.load_model(tmp_path / f"m.{ending}", compile=False)
        np.testing.assert_allclose(loaded.predict(noisy, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("output", OUTPUTS)
def test_keras_takes_and_gives_values_on_the_scales_of_the_data(
    tmp_path: Path, output: str, generator: np.random.Generator
):
    """X's values go in, also those that noise brought beyond X's scale, and y's come out; the name tells both."""
    spec = PyramidSpec(width=3, hidden=4, scales=2, output=output)
    weights = random_weights(spec, generator)
    scales = {"noisy_scale": Scale(-1, 1), "clean_scale": Scale(0, 6700)}
    model = build_keras(spec.network(), weights, (7, 9), **scales)
    noisy = generator.uniform(-0.5, 1.5, (3, 7, 9, 1)).astype(np.float32)
    expected = 6700 * runtime_of(spec, weights).denoise(noisy)
    for ending in ("keras", "h5"):
        save_keras(model, tmp_path / f"m.{ending}")
        loaded = import_keras().models.load_model(tmp_path / f"m.{ending}", compile=False)
        np.testing.assert_allclose(loaded.predict(2 * noisy - 1, verbose=0), expected, rtol=0, atol=0.067)
        assert loaded.name == "denoiser_x_-1_to_1_y_0_to_6700"
        assert loaded.output_names == ["denoised"]
    assert model.count_params() == sum(explain_count(spec.network()).values())


def test_no_scaling_where_values_are_0_to_1(generator: np.random.Generator):
    """A model of values in [0, 1] has no layers that would change nothing."""
    spec = PlainSpec(widths=(2,))
    model = build_keras(spec.network(), random_weights(spec, generator), (4, 4))
    assert not any(type(layer).__name__ == "Rescaling" for layer in model.layers)


def test_plain_is_as_long_as_in_the_exercise():
    """The classic network has 3,217 numbers in Keras too, not one more."""
    spec = PlainSpec()
    weights = random_weights(spec, np.random.default_rng(0))
    assert build_keras(spec.network(), weights, (28, 28)).count_params() == 3217


def test_shared_weights_are_one_layer():
    """A kernel used at several places is one Keras layer called several times."""
    spec = PyramidSpec(width=2, hidden=2, scales=3, passes=2, kernel=3)
    model = build_keras(spec.network(), random_weights(spec, np.random.default_rng(0)), (8, 8))
    assert sum(layer.name == "down_around" for layer in model.layers) == 1
    assert len(model.get_layer("down_around")._inbound_nodes) == 6
