from pathlib import Path

import numpy as np
import pytest
import torch

import smidgen
from smidgen.errors import FileError
from smidgen.runtime import Runtime


def test_torch_answers_as_the_model_and_can_be_trained(tiny_model: Path, generator: np.random.Generator):
    """The module gives the file's answers as logits, and its weights have gradients."""
    model = smidgen.load_torch(tiny_model)
    noisy = generator.random((2, 9, 7, 1), dtype=np.float32)
    logits = model(torch.from_numpy(noisy).permute(0, 3, 1, 2))
    denoised = torch.sigmoid(logits).permute(0, 2, 3, 1).detach().numpy()
    np.testing.assert_allclose(denoised, Runtime(tiny_model).denoise(noisy), atol=1e-5)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_names_and_files_that_are_none():
    """A zoo name loads; what is no model is an error."""
    assert sum(weight.numel() for weight in smidgen.load_torch("digits-on-garments").parameters()) <= 3600
    with pytest.raises(FileError):
        smidgen.load_torch("nothing")
