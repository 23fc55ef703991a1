import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.network.spec import PlainSpec, PyramidSpec
from smidgen.training.torch_network import TorchNetwork, _Gate, _RmsNorm


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.booleans())
def test_any_size_gives_its_own_size_back(height: int, width: int, channels: int, plain: bool):
    """Every image from 1 x 1 on comes out in its size and number of channels."""
    spec = PlainSpec(channels=channels, widths=(3, 2)) if plain else PyramidSpec(channels=channels, width=3, hidden=2)
    with torch.no_grad():
        assert TorchNetwork(spec.network())(torch.rand(2, channels, height, width)).shape == (
            2,
            channels,
            height,
            width,
        )


def test_an_untrained_residual_changes_nothing():
    """Before training it gives the noisy image back, clipped to [0, 1]."""
    model = TorchNetwork(PyramidSpec(width=3, hidden=2, output="residual").network())
    noisy = 3 * torch.rand(2, 1, 9, 7) - 1
    with torch.no_grad():
        torch.testing.assert_close(model(noisy), noisy)
        torch.testing.assert_close(model.denoise(noisy), noisy.clamp(0, 1))


def test_plain_is_the_classic_keras_stack():
    """The baseline equals the well-known stack of layers written out with torch's own modules."""
    nn = torch.nn
    stack = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(16, 1, 3, padding=1),
    )  # fmt: skip
    ours = TorchNetwork(PlainSpec().network())
    ours.import_weights({
        weight.name: tensor.detach().numpy()
        for weight, tensor in zip(ours.network.weights, stack.parameters(), strict=True)
    })  # fmt: skip
    image = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(ours(image), stack(image))


def test_weights_go_out_and_come_back():
    """Exported weights make another network the same."""
    spec = PyramidSpec(width=3, hidden=2)
    first, second = (TorchNetwork(spec.network(), torch.Generator().manual_seed(seed)) for seed in (0, 1))
    image = torch.rand(1, 1, 9, 9)
    second.import_weights(first.export_weights())
    assert sum(array.size for array in first.export_weights().values()) == spec.num_parameters
    torch.testing.assert_close(first(image), second(image))


@pytest.mark.parametrize("spec", [PlainSpec(), PyramidSpec()])
def test_same_seed_same_start(spec: PlainSpec | PyramidSpec):
    """Starting weights depend on the seed alone."""
    starts = [TorchNetwork(spec.network(), torch.Generator().manual_seed(5)).export_weights() for _ in range(2)]
    for name in starts[0]:
        np.testing.assert_array_equal(starts[0][name], starts[1][name])


@pytest.mark.parametrize("function", [_Gate, _RmsNorm])
def test_own_gradients_are_right(function: type[torch.autograd.Function]):
    """The gradients written by hand equal those by finite differences."""
    x = torch.randn(2, 6, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(function.apply, (x,))
