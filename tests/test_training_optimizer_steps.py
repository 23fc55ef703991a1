import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.network.spec import default_spec
from smidgen.training.optimizers import make_optimizer
from tests.test_training_optimizers import SHAPES, Arrays, Shapes, draw, shapes_of
from tests.torch_soap import SOAP


def make_oracle(name: str, weights: Arrays) -> torch.optim.Optimizer:
    """Torch's optimizer, with its own copies of the weights."""
    parameters = [torch.nn.Parameter(torch.from_numpy(weight.copy())) for weight in weights.values()]
    makers = {"soap": SOAP, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return makers[name](parameters) if name in makers else torch.optim.SGD(parameters, momentum=0.9, nesterov=True)


def oracle_step(oracle: torch.optim.Optimizer, gradients: Arrays, rate: float) -> Arrays:
    """The weights after a step."""
    group = oracle.param_groups[0]
    group["lr"] = rate
    for parameter, gradient in zip(group["params"], gradients.values(), strict=True):
        parameter.grad = torch.from_numpy(gradient.copy())
    oracle.step()
    return dict(zip(gradients, (parameter.detach().numpy() for parameter in group["params"]), strict=True))


def assert_close(found: Arrays, wanted: Arrays, atol: float) -> None:
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=atol, err_msg=name)


def assert_same_path(name: str, shapes: Shapes, steps: int, seed: int) -> None:
    """Both go the same way for hundreds of steps at changing rates."""
    generator = np.random.default_rng(seed)
    weights = draw(shapes, generator)
    oracle, optimizer = make_oracle(name, weights), make_optimizer(name, weights)
    for step in range(steps):
        gradients, rate = draw(shapes, generator), 0.02 * (1 - step / steps)
        optimizer.step(gradients, rate)
        assert_close(weights, oracle_step(oracle, gradients, rate), 2e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_takes_torchs_steps_on_the_default_network(name: str):
    """The weights stay those of torch's optimizer of the name for 300 steps."""
    assert_same_path(name, shapes_of(default_spec()), 300, 0)


@given(shapes=SHAPES, name=st.sampled_from(["adam", "adamw", "sgd"]), seed=st.integers(0, 9))
@settings(max_examples=20)
def test_takes_torchs_steps_on_any_shapes(shapes: Shapes, name: str, seed: int):
    """So they do whatever shapes the tensors have."""
    assert_same_path(name, shapes, 100, seed)


def test_soap_goes_the_oracles_way():
    """Where the first gradients have all eigenvectors, SOAP stays with its oracle in torch for 300 steps."""
    assert_same_path("soap", {"a": (6, 6), "b": (1,), "c": (4, 2, 2, 1), "d": (6, 6), "e": (1, 1, 1, 1)}, 300, 0)


def state_of(oracle: SOAP, names: list[str]) -> Arrays:
    """An oracle's state, as that of the optimizer."""
    alike: dict[tuple[int, int], list[tuple[str, torch.Tensor]]] = {}
    for name, parameter in zip(names, oracle.param_groups[0]["params"], strict=True):
        shape = (1, len(parameter)) if parameter.ndim == 1 else (len(parameter), parameter[0].numel())
        alike.setdefault(shape, []).append((name, parameter))
    state = {}
    for (rows, columns), members in alike.items():
        kept = oracle.state[members[0][1]]
        state["soap.step"] = np.array(kept["step"] + 1)
        sides = ["left", "left_basis"] * (rows > 1) + ["right", "right_basis"] * (columns > 1)
        for index, (name, parameter) in enumerate(members):
            for quantity in ("mean", "square"):
                state[f"soap.{name}.{quantity}"] = kept[quantity][index].reshape(parameter.shape).numpy().copy()
            for side in sides:
                state[f"soap.{name}.{side}"] = kept[side][index].contiguous().numpy().copy()
    return state


def is_sure(factor: np.ndarray, basis: np.ndarray) -> bool:
    """Whether rounding can neither change the order of the eigenvalues nor make up what belongs to one."""
    values, own = np.sort(np.diag(basis.T.astype(float) @ factor @ basis)), np.linalg.eigvalsh(factor.astype(float))
    return bool(np.diff(values).min() > 1e-4 * values[-1] and own[0] > 1e-4 * own[-1])


def assert_same_steps(shapes: Shapes, steps: int, seed: int) -> int:
    """From each state of the oracle, a step to the next; gives the number of bases that could be held to it.

    Eigenvectors whose eigenvalues are all zero or alike are any, and rounding chooses them: those are only held to be
    orthonormal.
    """
    generator = np.random.default_rng(seed)
    weights, names, compared = draw(shapes, generator), list(shapes), 0
    oracle, optimizer = make_oracle("soap", weights), make_optimizer("soap", weights)
    assert isinstance(oracle, SOAP)
    for step in range(steps):
        gradients, rate = draw(shapes, generator), 0.02 * (1 - step / steps)
        before = state_of(oracle, names) if step else {}
        if step:
            optimizer.restore(before)
        optimizer.step(gradients, rate)
        there = oracle_step(oracle, gradients, rate)
        assert_close(weights, there, 2e-5)
        for name, weight in weights.items():
            weight[...] = there[name]
        found, wanted = optimizer.state, state_of(oracle, names)
        assert found.keys() == wanted.keys()
        assert found["soap.step"] == wanted["soap.step"]
        for name in names:
            sides = [side for side in ("left", "right") if f"soap.{name}.{side}" in found]
            sure = [
                step > 0 and is_sure(wanted[f"soap.{name}.{side}"], before[f"soap.{name}.{side}_basis"])
                for side in sides
            ]
            for side, known in zip(sides, sure, strict=True):
                factor, basis = f"soap.{name}.{side}", f"soap.{name}.{side}_basis"
                np.testing.assert_allclose(found[factor], wanted[factor], rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(found[basis].T @ found[basis], np.eye(len(found[basis])), atol=1e-4)
                if known:
                    np.testing.assert_allclose(
                        abs(found[basis].T @ wanted[basis]), np.eye(len(found[basis])), atol=5e-3
                    )
                    compared += 1
            for quantity in ("mean", "square")[: 1 + all(sure)]:
                array = f"soap.{name}.{quantity}"
                np.testing.assert_allclose(found[array], wanted[array], rtol=1e-3, atol=1e-5)
    return compared


@pytest.mark.slow(10)
def test_soap_takes_the_oracles_steps_on_the_default_network():
    """From each of 200 states of the oracle, weights and state come where the oracle's do."""
    assert assert_same_steps(shapes_of(default_spec()), 200, 0) > 1000


@given(shapes=SHAPES, seed=st.integers(0, 9))
@settings(max_examples=8)
def test_soap_takes_the_oracles_steps_on_any_shapes(shapes: Shapes, seed: int):
    """So they do whatever shapes the tensors have."""
    assert_same_steps(shapes, 60, seed)
