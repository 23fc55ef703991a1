"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's two factors.

Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", arXiv 2409.11321,
algorithm 3. Matrices here are at most a few dozen on a side, so the basis costs little; what costs
is the number of operations, so tensors of one shape are stepped together.
"""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_WARMING = 20


class SOAP(torch.optim.Optimizer):
    """Adam on gradients rotated into the eigenvectors of E[G Gᵀ] and E[Gᵀ G].

    A tensor of more than two dimensions is taken as a matrix (first dimension, all others); a
    vector has one factor. The first step only gathers statistics. All tensors must have gradients.
    """

    # Torch wraps these so that its compiler leaves them alone, and imports all of it, which takes a second, for that.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        precondition_every: int = 10,
    ) -> None:
        """`precondition_every`: steps between two turns of the basis."""
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "every": precondition_every})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step; the gradients must be there."""
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Any]] = {}
            for parameter in group["params"]:
                alike.setdefault(_matrix_shape(parameter), []).append(parameter)
            for shape, parameters in alike.items():
                gradients = torch.stack([parameter.grad.reshape(shape) for parameter in parameters])
                state = self.state[parameters[0]]  # of all of this shape
                if not state:
                    _start(state, gradients)
                    continue
                state["step"] += 1
                for parameter, update in zip(parameters, self._update(state, gradients, group), strict=True):
                    parameter.sub_(update.reshape(parameter.shape), alpha=group["lr"])

    @staticmethod
    def _update(state: dict[str, Any], gradients: Tensor, group: dict[str, Any]) -> Tensor:
        """What to subtract, per unit of rate; everything is (tensors, rows, columns)."""
        beta1, beta2 = group["betas"]
        left, right = state["left_basis"], state["right_basis"]
        state["mean"].lerp_(gradients, 1 - beta1)
        turned = left.mT @ gradients @ right
        state["square"].mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
        mean = left.mT @ state["mean"] @ right / (1 - beta1 ** state["step"])
        square = state["square"] / (1 - beta2 ** state["step"])
        update: Tensor = left @ (mean / (square.sqrt() + group["eps"])) @ right.mT
        state["left"].lerp_(gradients @ gradients.mT, 1 - beta2)
        state["right"].lerp_(gradients.mT @ gradients, 1 - beta2)
        if state["step"] % group["every"] == 0 or state["step"] <= _WARMING:
            _turn(state, "left", 1)
            _turn(state, "right", 2)
        return update


def _matrix_shape(tensor: Tensor) -> tuple[int, int]:
    return (1, len(tensor)) if tensor.ndim == 1 else (len(tensor), tensor[0].numel())


def _start(state: dict[str, Any], gradients: Tensor) -> None:
    state["step"] = 0
    state["mean"] = torch.zeros_like(gradients)
    state["square"] = torch.zeros_like(gradients)
    state["left"], state["right"] = gradients @ gradients.mT, gradients.mT @ gradients
    state["left_basis"] = torch.linalg.eigh(state["left"])[1]
    state["right_basis"] = torch.linalg.eigh(state["right"])[1]


def _turn(state: dict[str, Any], side: str, dimension: int) -> None:
    """One step of power iteration towards the eigenvectors, largest eigenvalue first."""
    factor, basis = state[side], state[f"{side}_basis"]
    if factor.shape[-1] == 1:
        return
    order = (basis.mT @ factor @ basis).diagonal(dim1=1, dim2=2).argsort(descending=True)
    index = order[:, :, None] if dimension == 1 else order[:, None, :]
    state["square"] = state["square"].take_along_dim(index, dimension)
    state[f"{side}_basis"] = torch.linalg.qr(factor @ basis.take_along_dim(order[:, None, :], 2))[0]
