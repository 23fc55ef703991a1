from pathlib import Path

import numpy as np
import pytest

from smidgen.errors import PairsError
from smidgen.runtime import Runtime


def test_parts_equal_the_whole(tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    """Many images are denoised a part at a time with the same result, and stay unchanged."""
    runtime = Runtime(tiny_model)
    noisy = np.random.default_rng(0).random((7, 6, 6, 1), dtype=np.float32)
    before, whole = noisy.copy(), runtime.denoise(noisy)
    monkeypatch.setattr("smidgen.runtime._PIXELS_AT_ONCE", 80)
    np.testing.assert_allclose(runtime.denoise(noisy), whole, atol=1e-6)
    np.testing.assert_array_equal(noisy, before)


def test_a_run_folder_is_a_model_too(tiny_model: Path):
    """A folder stands for the model file in it."""
    tiny_model.rename(tiny_model.parent / "model.onnx")
    assert Runtime(tiny_model.parent).info.budget == 3600


def test_wrong_channels_are_refused(tiny_model: Path):
    """Colour images for a grey model are an error that names both."""
    with pytest.raises(PairsError, match="1 channels"):
        Runtime(tiny_model).denoise(np.zeros((1, 5, 5, 3), np.float32))
