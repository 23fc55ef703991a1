"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's two factors.

Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", arXiv 2409.11321,
algorithm 3. Matrices here are at most a few dozen on a side, so the basis costs little.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_WARMING = 20


class SOAP(torch.optim.Optimizer):
    """Adam on gradients rotated into the eigenvectors of E[G Gᵀ] and E[Gᵀ G].

    A tensor of more than two dimensions is taken as a matrix (first dimension, all others); a
    vector has one factor. The first step only gathers statistics.
    """

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
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = _as_matrix(parameter.grad)
                state = self.state[parameter]
                if not state:
                    _start(state, gradient)
                    continue
                state["step"] += 1
                update = self._update(state, gradient, group)
                parameter.sub_(update.reshape(parameter.shape), alpha=group["lr"])

    @staticmethod
    def _update(state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> Tensor:
        beta1, beta2 = group["betas"]
        left, right = state["left_basis"], state["right_basis"]
        state["mean"].lerp_(gradient, 1 - beta1)
        turned = left.T @ gradient @ right
        state["square"].mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
        mean = left.T @ state["mean"] @ right / (1 - beta1 ** state["step"])
        square = state["square"] / (1 - beta2 ** state["step"])
        update: Tensor = left @ (mean / (square.sqrt() + group["eps"])) @ right.T
        state["left"].lerp_(gradient @ gradient.T, 1 - beta2)
        state["right"].lerp_(gradient.T @ gradient, 1 - beta2)
        if state["step"] % group["every"] == 0 or state["step"] <= _WARMING:
            _turn(state, "left", 0)
            _turn(state, "right", 1)
        return update


def _as_matrix(tensor: Tensor) -> Tensor:
    return tensor.reshape(1, -1) if tensor.ndim < 2 else tensor.reshape(len(tensor), -1)


def _start(state: dict[str, Any], gradient: Tensor) -> None:
    state["step"] = 0
    state["mean"] = torch.zeros_like(gradient)
    state["square"] = torch.zeros_like(gradient)
    state["left"], state["right"] = gradient @ gradient.T, gradient.T @ gradient
    state["left_basis"] = torch.linalg.eigh(state["left"])[1]
    state["right_basis"] = torch.linalg.eigh(state["right"])[1]


def _turn(state: dict[str, Any], side: str, dimension: int) -> None:
    """One step of power iteration towards the eigenvectors, largest eigenvalue first."""
    factor, basis = state[side], state[f"{side}_basis"]
    if len(factor) == 1:
        return
    order = (basis.T @ factor @ basis).diagonal().argsort(descending=True)
    state["square"] = state["square"].index_select(dimension, order)
    state[f"{side}_basis"] = torch.linalg.qr(factor @ basis[:, order])[0]
