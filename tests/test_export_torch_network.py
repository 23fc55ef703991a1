import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.export.torch import TorchNetwork
from smidgen.network.spec import PlainSpec, PyramidSpec, Spec
from smidgen.training.start import draw_weights


def untrained(spec: Spec) -> TorchNetwork:
    return TorchNetwork(spec.network(), draw_weights(spec.network(), 0))


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.booleans())
def test_any_size_gives_its_own_size_back(height: int, width: int, channels: int, plain: bool):
    """Every image from 1 x 1 on comes out in its size and number of channels."""
    spec = PlainSpec(channels=channels, widths=(3, 2)) if plain else PyramidSpec(channels=channels, width=3, hidden=2)
    with torch.no_grad():
        assert untrained(spec)(torch.rand(2, channels, height, width)).shape == (
            2,
            channels,
            height,
            width,
        )


def test_an_untrained_residual_changes_nothing():
    """Before training it gives the noisy image back, clipped to [0, 1]."""
    model = untrained(PyramidSpec(width=3, hidden=2, output="residual"))
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
    network = PlainSpec().network()
    ours = TorchNetwork(network, {
        weight.name: tensor.detach().numpy()
        for weight, tensor in zip(network.weights, stack.parameters(), strict=True)
    })  # fmt: skip
    image = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(ours(image), stack(image))


def test_weights_go_in_and_come_back():
    """The module gives back the very numbers it took, in arrays of its own."""
    spec = PyramidSpec(width=3, hidden=2)
    weights = draw_weights(spec.network(), 0)
    found = TorchNetwork(spec.network(), weights).export_weights()
    assert sum(array.size for array in found.values()) == spec.num_parameters
    for name, array in found.items():
        np.testing.assert_array_equal(array, weights[name])
        assert not np.shares_memory(array, weights[name])


@pytest.mark.parametrize("spec", [PlainSpec(), PyramidSpec()])
def test_same_seed_same_start(spec: Spec):
    """Starting weights depend on the seed alone."""
    first, again, other = (draw_weights(spec.network(), seed) for seed in (5, 5, 6))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert any((first[name] != other[name]).any() for name in first)
