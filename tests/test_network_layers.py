import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from smidgen.export.torch import TorchNetwork
from smidgen.network.spec import PlainSpec, PyramidSpec
from smidgen.training.start import draw_weights

SPECS = [
    PlainSpec(),
    PlainSpec(widths=(5, 4, 3), channels=2),
    PyramidSpec(width=4, hidden=3, scales=3, kernel=5),
    PyramidSpec(width=3, hidden=4, scales=2, passes=2, kernel=3),
    PyramidSpec(width=3, hidden=4, scales=1, kernel=7),
    PlainSpec(widths=(4, 3), output="residual"),
    PyramidSpec(width=4, hidden=3, scales=2, output="residual"),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_reach_is_never_exceeded(spec: PlainSpec | PyramidSpec):
    """Changing one pixel changes nothing further away than the reach, and reaches nearly that far."""
    network = spec.network()
    model = TorchNetwork(network, draw_weights(network, 0)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    side = 3 * network.stride * (1 + 2 * network.reach // network.stride) + 5
    furthest, generator = 0, torch.Generator().manual_seed(2)
    for place in range(side // 2, side // 2 + network.stride):
        image = torch.rand(1, spec.channels, side, side, dtype=torch.double, generator=generator).requires_grad_()
        model(image)[0, 0, place, place].backward()
        rows, columns = np.nonzero(image.grad.abs().sum(1)[0].numpy())
        furthest = max([furthest, *abs(rows - place), *abs(columns - place)])  # none where all ReLUs are shut
    assert furthest <= network.reach
    if isinstance(spec, PyramidSpec):  # max-pooling passes one of four gradients, so plain only bounds it
        assert furthest > network.reach - network.stride


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_cost_agrees_with_torch(spec: PlainSpec | PyramidSpec):
    """Multiply-accumulates a pixel are half the floating-point operations torch counts."""
    network = spec.network()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        TorchNetwork(network, draw_weights(network, 0))(torch.zeros(1, spec.channels, 64, 64))
    assert network.multiply_accumulates_per_pixel == pytest.approx(counter.get_total_flops() / 2 / 64**2)


def test_work_memory_by_hand():
    """A 3x3 chain of known sizes needs what one counts by hand."""
    # The fullest moment of 16-8 | 8-16-1: 16 channels before and after a ReLU, and the input,
    # which is kept because the last up-sampling takes its size.
    assert PlainSpec().network().work_bytes(28, 28) == 4 * 28 * 28 * (16 + 16 + 1)


def test_a_residual_keeps_the_noisy_image():
    """It is needed once more at the end, beside what is taken from it; nothing else changes."""
    plain, residual = (PyramidSpec(scales=1, output=output).network() for output in ("sigmoid", "residual"))
    assert residual.layers[-1].inputs == ("noisy", plain.layers[-1].inputs[0])
    assert residual.work_bytes(9, 9) == plain.work_bytes(9, 9) + 4 * 9 * 9
    assert residual.weights == plain.weights
    assert residual.reach == plain.reach


def test_stride_is_that_of_the_coarsest_scale():
    """Tiles begin on multiples of this."""
    assert PyramidSpec(scales=4).network().stride == 8
    assert PlainSpec().network().stride == 4
