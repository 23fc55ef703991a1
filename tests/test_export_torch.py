from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import smidgen
from smidgen.data.scale import Scale, Scales
from smidgen.errors import FileError
from smidgen.model.file import write_model
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from tests.conftest import TINY, random_weights


@pytest.mark.parametrize(("output", "finish"), [("sigmoid", torch.sigmoid), ("residual", lambda x: x.clamp(0, 1))])
def test_torch_answers_as_the_model_and_can_be_trained(
    tmp_path: Path, output: str, finish: Callable[[torch.Tensor], torch.Tensor], generator: np.random.Generator
):
    """The module gives the file's answers, and before they are brought to [0, 1]; its weights have gradients."""
    path, spec = tmp_path / "m.onnx", replace(TINY, output=output)
    write_model(path, ModelInfo(spec=spec, budget=3600), random_weights(spec, generator))
    model = smidgen.load_torch(path)
    noisy = generator.uniform(-0.5, 1.5, (2, 9, 7, 1)).astype(np.float32)
    given = torch.from_numpy(noisy).permute(0, 3, 1, 2)
    denoised = model.denoise(given).permute(0, 2, 3, 1).detach().numpy()
    np.testing.assert_allclose(denoised, Runtime(path).denoise(noisy), atol=1e-5)
    values = model(given)
    torch.testing.assert_close(finish(values), model.denoise(given))
    values.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_module_knows_the_scales(tmp_path: Path, generator: np.random.Generator):
    """With its rules for X and y, the module gives what the runtime gives for values on X's scale."""
    path = tmp_path / "m.onnx"
    info = ModelInfo(spec=TINY, budget=3600, scales=Scales(Scale(0, 2), Scale(0, 255), Scale(0, 2)))
    write_model(path, info, random_weights(TINY, generator))
    values = generator.uniform(0, 2, (2, 9, 7, 1))
    model = smidgen.load_torch(path)
    with torch.no_grad():
        denoised = model.denoise(torch.from_numpy(model.noisy_scale.normalise(values)).permute(0, 3, 1, 2))
    denoised = model.clean_scale.restore(denoised.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(denoised, Runtime(path).denoise_values(values), atol=255e-5)


def test_names_and_files_that_are_none():
    """A zoo name loads; what is no model is an error."""
    assert sum(weight.numel() for weight in smidgen.load_torch("digits-on-garments").parameters()) <= 3600
    with pytest.raises(FileError):
        smidgen.load_torch("nothing")
