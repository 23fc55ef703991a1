import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.network.spec import PlainSpec, Spec, default_spec
from smidgen.training.optimizers import clip_norm, make_optimizer

NAMES = ("soap", "adam", "adamw", "sgd")
Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]
ODD: Shapes = {
    "a": (1,),
    "b": (5, 1),
    "c": (3, 4),
    "d": (4,),
    "e": (2, 2, 3, 1),
    "f": (4, 3),
    "g": (1, 1, 1, 1),
    "h": (1, 7),
}
SHAPES = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple), min_size=1, max_size=6).map(
    lambda shapes: {f"weight{number}": shape for number, shape in enumerate(shapes)}
)


def shapes_of(spec: Spec) -> Shapes:
    return {weight.name: weight.shape for weight in spec.network().weights}


def draw(shapes: Shapes, generator: np.random.Generator) -> Arrays:
    return {name: generator.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def loss_after(name: str, steps: int) -> float:
    """A badly scaled, rotated least-squares problem in matrix form."""
    generator = np.random.default_rng(0)
    mixing = np.linalg.qr(generator.standard_normal((8, 8)))[0] * np.logspace(0, -2, 8)
    wanted = mixing @ generator.standard_normal((8, 5)) + 1
    weights = {"weight": np.zeros((8, 5), np.float32), "bias": np.zeros(5, np.float32)}
    optimizer = make_optimizer(name, weights)
    for step in range(steps):
        error = (mixing @ weights["weight"] + weights["bias"] - wanted) / 20
        optimizer.step({"weight": mixing.T @ error, "bias": error.sum(0)}, 0.05 * (1 - step / steps))
    return float(np.square(mixing @ weights["weight"] + weights["bias"] - wanted).mean())


def test_soap_solves_what_adam_leaves_unsolved():
    """On a badly scaled, rotated problem SOAP ends far below Adam at the same rate and steps."""
    assert loss_after("soap", 400) < 0.1 * loss_after("adam", 400)


@pytest.mark.parametrize("name", NAMES)
@given(shapes=SHAPES, stop=st.integers(0, 31))
@settings(max_examples=6)
def test_goes_on_from_a_saved_state_to_the_bit(name: str, shapes: Shapes, stop: int):
    """Stopped at any step, saved in a file and read into a fresh optimizer, a training takes the very same steps."""

    def run(stop: int | None) -> tuple[Arrays, Arrays]:
        generator = np.random.default_rng(1)
        weights = draw(shapes, generator)
        optimizer = make_optimizer(name, weights)
        for step in range(32):
            if step == stop:
                file = io.BytesIO()
                np.savez(file, **optimizer.state)
                file.seek(0)
                optimizer = make_optimizer(name, weights := {key: weight.copy() for key, weight in weights.items()})
                with np.load(file) as saved:
                    optimizer.restore(saved)
            optimizer.step(draw(shapes, generator), 0.01)
        return weights, optimizer.state

    for through, resumed in zip(run(None), run(stop), strict=True):
        assert {key: array.tobytes() for key, array in through.items()} == {
            key: array.tobytes() for key, array in resumed.items()
        }


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_a_copy(name: str, generator: np.random.Generator):
    """What was taken as the state does not change with later steps."""
    weights = draw(ODD, generator)
    optimizer = make_optimizer(name, weights)
    optimizer.step(draw(ODD, generator), 0.01)
    state = optimizer.state
    kept = {key: array.copy() for key, array in state.items()}
    optimizer.step(draw(ODD, generator), 0.01)
    for key, array in kept.items():
        np.testing.assert_array_equal(state[key], array)
    assert not np.array_equal(optimizer.state[f"{name}.c.mean"], state[f"{name}.c.mean"])


@pytest.mark.parametrize("name", NAMES)
def test_refuses_the_state_of_another(name: str, generator: np.random.Generator):
    """A state of other weights or of another optimizer is refused, and the state stays what it was."""
    optimizer = make_optimizer(name, draw(ODD, generator))
    optimizer.step(draw(ODD, generator), 0.01)
    before = optimizer.state
    for other in (
        make_optimizer("sgd" if name == "soap" else "soap", draw(ODD, generator)),
        make_optimizer(name, draw(ODD | {"c": (4, 4)}, generator)),
    ):
        with pytest.raises(ValueError, match=f"no state of {name}"):
            optimizer.restore(other.state)
    for key, array in optimizer.state.items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_changes_the_weights_in_place(name: str, dtype: type, generator: np.random.Generator):
    """The arrays that were given change, whatever floats the gradients are, and the gradients stay."""
    weights = draw(ODD, generator)
    arrays, before = list(weights.values()), {key: weight.copy() for key, weight in weights.items()}
    gradients = {key: array.astype(dtype) for key, array in draw(ODD, generator).items()}
    kept = {key: array.copy() for key, array in gradients.items()}
    optimizer = make_optimizer(name, weights)
    for _ in range(3):
        optimizer.step(gradients, 0.01)
    for array, (key, weight) in zip(arrays, weights.items(), strict=True):
        assert array is weight
        assert weight.dtype == np.float32
        assert (weight != before[key]).all()
        np.testing.assert_array_equal(gradients[key], kept[key])


def test_there_is_no_other_optimizer():
    """An unknown name is refused."""
    with pytest.raises(ValueError, match="no optimizer 'lion'"):
        make_optimizer("lion", {})


@pytest.mark.parametrize("spoiled_at", [0, 1, 15])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_is_no_error(name: str, value: float, spoiled_at: int, generator: np.random.Generator):
    """Gradients that are no numbers, or whose squares are none, neither stop nor warn; the weights tell of NaN."""
    weights = draw(ODD, generator)
    optimizer = make_optimizer(name, weights)
    for step in range(25):
        gradients = draw(ODD, generator)
        if step == spoiled_at:
            gradients["c"][0, 0] = value
        optimizer.step(gradients, 0.01)
    if np.isnan(value):
        assert np.isnan(weights["c"]).any()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_zero_change_nothing(name: str, generator: np.random.Generator):
    """Without any gradient the weights stay, but that AdamW's decay."""
    weights = draw(ODD, generator)
    before = {key: weight.copy() for key, weight in weights.items()}
    optimizer = make_optimizer(name, weights)
    for _ in range(25):
        optimizer.step({key: np.zeros_like(weight) for key, weight in weights.items()}, 0.1)
    for key, weight in before.items():
        np.testing.assert_allclose(weights[key], weight * (0.999**25 if name == "adamw" else 1), rtol=1e-5)


BITS = """
import hashlib, sys
import numpy as np
from smidgen.training.optimizers import clip_norm, make_optimizer
name, *shapes = sys.argv[1:]
shapes = {shape: tuple(map(int, shape.split("x")[1:])) for shape in shapes}
generator = np.random.default_rng(0)
draw = lambda: {key: generator.standard_normal(shape, dtype=np.float32) for key, shape in shapes.items()}
weights = draw()
optimizer = make_optimizer(name, weights)
for _ in range(22):
    optimizer.step(clip_norm(draw(), 1.0), 0.01)
print(hashlib.sha256(b"".join(array.tobytes() for array in [*weights.values(), *optimizer.state.values()])).hexdigest())
"""


@pytest.mark.parametrize("name", NAMES)
def test_the_bits_do_not_depend_on_threads(name: str):
    """With BLAS on one thread or more, weights and state are the same to the bit, also of larger networks."""
    shapes = [*shapes_of(default_spec()).values(), *shapes_of(PlainSpec()).values()]
    shapes += [(130, 65), (65, 1, 13, 13), (1, 20, 3, 3), (300,)] if name == "soap" else [(11000,)]
    words = [f"{number}x{'x'.join(map(str, shape))}" for number, shape in enumerate(shapes)]

    def run(threads: int) -> str:
        environment = os.environ | {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", BITS, name, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert run(1) == run(2)


@given(
    shapes=SHAPES,
    size=st.sampled_from([1e-6, 0.1, 1.0, 1e3]),
    longest=st.sampled_from([0.5, 1.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_clips_as_torch_does(shapes: Shapes, size: float, longest: float, dtype: type):
    """Gradients are shortened to the longest common length by torch's rule, in their own type."""
    gradients = {key: (size * array).astype(dtype) for key, array in draw(shapes, np.random.default_rng(0)).items()}
    parameters = [torch.nn.Parameter(torch.from_numpy(array.copy())) for array in gradients.values()]
    for parameter in parameters:
        parameter.grad = parameter.detach().clone()
    torch.nn.utils.clip_grad_norm_(parameters, longest)
    clipped = clip_norm(gradients, longest)
    assert list(clipped) == list(gradients)
    for array, parameter in zip(clipped.values(), parameters, strict=True):
        assert parameter.grad is not None
        assert array.dtype == dtype
        np.testing.assert_allclose(array, parameter.grad.numpy(), rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clipping_what_is_no_number_says_so(value: float):
    """A gradient that is no number makes all so, or zero beside infinity, as torch does; none of it warns."""
    clipped = clip_norm({"a": np.array([1, value], np.float32), "b": np.ones(3)}, 1.0)
    assert np.isnan(clipped["a"][1])
    np.testing.assert_array_equal(clipped["b"], np.full(3, np.nan if np.isnan(value) else 0.0))
