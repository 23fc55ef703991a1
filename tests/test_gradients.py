"""The engine's gradients: held to references in float64, and to themselves."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smidgen.engine.library import levels
from smidgen.engine.native import Engine, Stop
from smidgen.errors import StoppedError
from smidgen.export.torch import TorchNetwork
from smidgen.network.spec import PlainSpec, PyramidSpec, Spec
from tests.measured import run_measured
from tests.reference import batch_loss
from tests.test_engine import calm_weights, image_of, plains, pyramids

ROOT = Path(__file__).parents[1]
Size = tuple[int, int]

sizes = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 100)), min_size=1, max_size=4)
batches = st.builds(lambda found, times: [size for size in found for _ in range(times)], sizes, st.integers(1, 3))

SMALL = PyramidSpec(width=5, hidden=4, scales=3, passes=2)


def losses_of(spec: Spec) -> tuple[str, ...]:
    return ("mse",) if spec.output == "residual" else ("bce", "mse")


def batch_of(spec: Spec, sizes: Sequence[Size], seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    noisy = [image_of(size, spec.channels, seed + i) for i, size in enumerate(sizes)]
    clean = [image_of(size, spec.channels, seed + 100 + i) for i, size in enumerate(sizes)]
    return noisy, clean


def by_torch(
    spec: Spec, weights: dict[str, np.ndarray], batch: tuple[list[np.ndarray], list[np.ndarray]], loss: str,
    dtype: torch.dtype = torch.float64,
) -> tuple[float, dict[str, np.ndarray]]:  # fmt: skip
    """The same by torch's autograd."""
    model = TorchNetwork(spec.network(), weights)
    model.to(dtype)
    total = torch.zeros((), dtype=dtype)
    for pair in zip(*batch, strict=True):
        noisy, clean = (torch.from_numpy(x).permute(2, 0, 1)[None].to(dtype) for x in pair)
        values = model(noisy)
        if loss == "bce":
            part = F.binary_cross_entropy_with_logits(values, clean, reduction="sum")
        else:
            part = F.mse_loss(values if model.residual else model.finish(values), clean, reduction="sum")
        total = total + part / sum(x.size for x in batch[0])
    gradients = torch.autograd.grad(total, list(model.parameters()))
    return total.item(), {w.name: g.numpy() for w, g in zip(spec.network().weights, gradients, strict=True)}


def errors_of(found: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> tuple[float, float]:
    """The largest difference in any number: by the largest of all, and by the largest of its tensor.

    By a thousandth of the largest of all where its tensor has but smaller ones.
    """
    most = max(1e-30, *(np.abs(x).max() for x in exact.values()))
    apart = {name: np.abs(found[name] - x).max() for name, x in exact.items()}
    own = max(apart[name] / max(np.abs(x).max(), 1e-3 * most) for name, x in exact.items())
    return max(apart.values()) / most, own


@given(spec=pyramids | plains, sizes=batches, seed=st.integers(0, 99), level=st.sampled_from(levels()), data=st.data())
@settings(max_examples=60)
def test_gradients_of_any_network_on_any_sizes_are_those_of_autograd(
    spec: Spec, sizes: list[Size], seed: int, level: str, data: st.DataObject
):
    """Gradients are within 1e-5 of the largest of torch's in float64, and each tensor's within 1e-3 of its own.

    Or less than ten times as far as torch in float32: the norm of very few channels, and slopes that add up to nearly
    nothing, leave few digits.
    """
    loss = data.draw(st.sampled_from(losses_of(spec)))
    weights, batch = calm_weights(spec, seed), batch_of(spec, sizes, seed)
    total, gradients = Engine(spec, weights, 2, level).gradients(*batch, loss)
    exact_total, exact = by_torch(spec, weights, batch, loss)
    assert total == pytest.approx(exact_total, rel=1e-5)
    errors = errors_of(gradients, exact)
    if errors[0] > 1e-5 or errors[1] > 1e-3:
        bounds = errors_of(by_torch(spec, weights, batch, loss, torch.float32)[1], exact)
        assert errors[0] <= 10 * bounds[0]
        assert errors[1] <= 10 * bounds[1]


@given(spec=pyramids, sizes=batches, seed=st.integers(0, 99), data=st.data())
@settings(max_examples=20)
@example(spec=PyramidSpec(width=16, hidden=21), sizes=[(28, 28)] * 3, seed=0, data=None)
def test_gradients_are_slopes_of_the_loss(spec: Spec, sizes: list[Size], seed: int, data: st.DataObject | None):
    """The loss by the layers in float64 changes along a random direction as the gradients say."""
    loss = data.draw(st.sampled_from(losses_of(spec))) if data else "bce"
    weights, batch = calm_weights(spec, seed), batch_of(spec, sizes, seed)
    total, gradients = Engine(spec, weights).gradients(*batch, loss)
    generator, network = np.random.default_rng(seed), spec.network()
    assert total == pytest.approx(batch_loss(network, weights, *batch, loss), rel=1e-5)
    direction = {name: generator.standard_normal(w.shape) for name, w in weights.items()}
    step, around = 1e-5, []
    for sign in (1, -1):
        moved = {name: w + sign * step * direction[name] for name, w in weights.items()}
        around.append(batch_loss(network, moved, *batch, loss))
    slope = sum(float((gradients[name] * direction[name]).sum()) for name in weights)
    size = sum(float((g**2).sum()) for g in gradients.values()) ** 0.5
    assert abs((around[0] - around[1]) / (2 * step) - slope) <= 1e-4 * size


@pytest.mark.parametrize("spec", [SMALL, PlainSpec(), PyramidSpec(width=16, hidden=21)])
def test_bits_do_not_depend_on_threads(spec: Spec):
    """Any number of threads gives the same loss and gradients to the bit, for any mix of sizes."""
    batch = batch_of(spec, [(28, 28)] * 33 + [(64, 64)] * 3 + [(5, 200), (90, 130), (1, 1)])
    one = Engine(spec, calm_weights(spec, 0), threads=1).gradients(*batch, "bce")
    for threads in (2, 3, 8):
        loss, gradients = Engine(spec, calm_weights(spec, 0), threads).gradients(*batch, "bce")
        assert loss == one[0]
        for name, gradient in gradients.items():
            np.testing.assert_array_equal(gradient, one[1][name])


def test_large_images_are_computed_in_tiles_that_change_nothing():
    """The gradients of an image of a megapixel and more, made tile by tile, are those of autograd."""
    spec = PyramidSpec(width=2, hidden=2, scales=2, kernel=3)
    weights, batch = calm_weights(spec, 0), batch_of(spec, [(1101, 1003)])
    total, gradients = Engine(spec, weights).gradients(*batch, "bce")
    exact_total, exact = by_torch(spec, weights, batch, "bce")
    assert total == pytest.approx(exact_total, rel=1e-6)
    assert max(errors_of(gradients, exact)) <= 1e-5


@pytest.mark.slow(5)
@pytest.mark.parametrize("size", [(4096, 2048), (1, 10**6)])
def test_memory_is_bounded(size: Size):
    """Gradients of an image of eight megapixels, or very wide, take less than 200 MiB beside image and program."""
    program = """
import numpy, sys
from smidgen.engine.native import Engine
from smidgen.network.spec import PyramidSpec
spec = PyramidSpec(width=16, hidden=21)
weights = {weight.name: numpy.full(weight.shape, 0.01, "float32") for weight in spec.network().weights}
noisy, clean = (numpy.full((*map(int, sys.argv[1:]), 1), 0.5, "float32") for _ in range(2))
Engine(spec, weights, threads=1).gradients([noisy], [clean], "bce")
"""
    one, large = (run_measured(program, *map(str, s), folder=ROOT, seconds=60) for s in ((1, 1), size))
    assert (one.code, large.code) == (0, 0), large.message
    assert large.mebibytes - one.mebibytes - 8 * size[0] * size[1] / 2**20 < 200


def test_images_with_more_pixels_weigh_more():
    """The loss is the mean over all pixels, not over images."""
    spec = SMALL
    engine = Engine(spec, calm_weights(spec, 0))
    noisy, clean = batch_of(spec, [(10, 10), (30, 40)])
    both = engine.gradients(noisy, clean, "bce")[0]
    first, second = (engine.gradients([x], [y], "bce")[0] for x, y in zip(noisy, clean, strict=True))
    assert both == pytest.approx((100 * first + 1200 * second) / 1300, rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spec", [SMALL, PlainSpec(), PyramidSpec(width=3, hidden=3, output="residual")])
def test_odd_values_give_a_loss_that_is_no_number(value: float, spec: Spec):
    """NaN or infinity in one pixel neither crashes nor hides: the loss is not finite."""
    noisy, clean = batch_of(spec, [(20, 30)] * 5)
    noisy[3][4, 5] = value
    loss, gradients = Engine(spec, calm_weights(spec, 0)).gradients(noisy, clean, losses_of(spec)[0])
    assert not np.isfinite(loss)
    assert {name: g.shape for name, g in gradients.items()} == {w.name: w.shape for w in spec.network().weights}


def test_odd_weights_neither_crash_nor_hang():
    """A network of NaN or infinities gives a loss that is no number."""
    for value in (np.nan, np.inf):
        for spec in (SMALL, PlainSpec()):
            weights = {w.name: np.full(w.shape, value, np.float32) for w in spec.network().weights}
            assert not np.isfinite(Engine(spec, weights).gradients(*batch_of(spec, [(9, 9)]), "bce")[0])


def test_images_stay_as_they_were():
    """Inputs of any layout and type are read, not written."""
    noisy, clean = (np.asfortranarray(image_of((20, 30), seed=seed).astype(np.float64)) for seed in range(2))
    before = noisy.copy(), clean.copy()
    engine = Engine(SMALL, calm_weights(SMALL, 0))
    loss, _ = engine.gradients([noisy[::-1]], [clean[::-1]], "bce")
    np.testing.assert_array_equal((noisy, clean), before)
    assert loss == engine.gradients(*([x[::-1].astype(np.float32)] for x in before), "bce")[0]


def test_it_stops_when_asked_to():
    """Another thread ends the computing in the middle of an image; the engine can be used again."""
    spec, stop = PyramidSpec(width=32, hidden=32), Stop()
    engine = Engine(spec, calm_weights(spec, 0), threads=2)
    threading.Timer(0.2, stop.ask).start()
    with pytest.raises(StoppedError):
        engine.gradients(*batch_of(spec, [(1500, 1000)] * 4), "bce", stop)
    assert np.isfinite(engine.gradients(*batch_of(spec, [(9, 9)]), "bce")[0])


def test_too_little_memory_is_an_error():
    """Where memory ends the engine says so, and goes on with what fits."""
    code = (
        "import resource\nfrom tests.test_gradients import *\n"
        "spec = PyramidSpec(width=64, hidden=64)\nengine = Engine(spec, calm_weights(spec, 0), threads=1)\n"
        "batch = batch_of(spec, [(1024, 1024)])\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))\n"
        "try:\n    engine.gradients(*batch, 'bce')\nexcept MemoryError as error:\n    print(error)\n"
        "print(engine.gradients(*batch_of(spec, [(9, 9)]), 'bce')[0] > 0)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert said.startswith("there is not enough memory")
    assert said.endswith("True\n")


@pytest.mark.parametrize(
    ("noisy", "clean", "loss", "said"),
    [
        ([], [], "bce", "no images"),
        ([image_of((5, 6))], [image_of((6, 5))], "bce", "has a clean one of"),
        ([image_of((5, 6), 3)], [image_of((5, 6), 3)], "bce", "has shape"),
        ([np.zeros((0, 5, 1))], [np.zeros((0, 5, 1))], "bce", "not between 1 x 1"),
        ([image_of((5, 6))], [image_of((5, 6))], "l1", "no loss"),
        ([image_of((5, 6))], [], "bce", "zip"),
    ],
)
def test_what_cannot_be_is_refused(noisy: list[np.ndarray], clean: list[np.ndarray], loss: str, said: str):
    """Batches that are none, pairs that do not fit and unknown losses are errors that say so."""
    with pytest.raises(ValueError, match=said):
        Engine(SMALL, calm_weights(SMALL, 0)).gradients(noisy, clean, loss)


def test_cross_entropy_of_a_residual_is_refused():
    """It is a loss of a sigmoid."""
    spec = PyramidSpec(width=3, hidden=3, output="residual")
    with pytest.raises(ValueError, match="no loss 'bce' of a network with the output residual"):
        Engine(spec, calm_weights(spec, 0)).gradients(*batch_of(spec, [(5, 5)]), "bce")


def test_an_engine_is_used_again_and_again():
    """Batches of other sizes and with NaN, and other weights, leave nothing behind for the next batch."""
    spec = PyramidSpec(width=16, hidden=21)
    engine, batch = Engine(spec, calm_weights(spec, 0), threads=1), batch_of(spec, [(28, 28)] * 19 + [(3, 13)])
    loss, expected = engine.gradients(*batch, "bce")
    spoiled = batch_of(spec, [(28, 28)] * 19 + [(3, 13), (14, 7)] * 8)
    for image in spoiled[0]:
        image[0, 0] = np.nan
    engine.gradients(*spoiled, "bce")
    engine.set_weights({w.name: np.full(w.shape, np.nan, np.float32) for w in spec.network().weights})
    engine.gradients(*spoiled, "bce")
    engine.set_weights(calm_weights(spec, 0))
    again = engine.gradients(*batch, "bce")
    assert again[0] == loss
    for name, gradient in again[1].items():
        np.testing.assert_array_equal(gradient, expected[name])
