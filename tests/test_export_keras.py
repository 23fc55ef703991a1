from pathlib import Path

import numpy as np
import pytest

from smidgen.export.keras import build_keras, explain_count, import_keras, save_keras
from smidgen.network.spec import PlainSpec, PyramidSpec, Spec, default_spec
from tests.conftest import random_weights, runtime_of

SPECS = [PlainSpec(), PyramidSpec(channels=3, width=3, hidden=4, scales=3, passes=2), default_spec()]


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
