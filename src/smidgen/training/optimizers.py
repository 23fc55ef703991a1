"""How gradients change a network's weights: SOAP, Adam, AdamW and gradient descent with momentum, in numpy.

A network this small has a few thousand numbers in some twenty tensors, so a step costs what its calls cost: all lie in
one vector. Every sum is made in one order on any number of threads, so that a repeated training gives the same bits.
"""

import abc
import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from smidgen.training.matrices import Floats, find_eigenvectors, multiply, orthonormalise, transpose

Gradients = Mapping[str, NDArray[np.floating]]

_EPSILON = 1e-8
_SIDES = ("left", "right")


class Optimizer(abc.ABC):
    """Changes weights in place, one step at a time; `make_optimizer` makes one.

    What is no number in the gradients becomes such in the weights and the state, and is no error.
    """

    decay = 0.0

    def __init__(self, name: str, weights: Mapping[str, Floats]) -> None:
        """Take the arrays of `weights`, of one or more dimensions each, as those to change."""
        self._name = name
        self._weights = dict(weights)
        self._steps = np.zeros((), np.int64)
        self._kept: dict[str, NDArray[np.generic]] = {f"{name}.step": self._steps}
        self._size = sum(weight.size for weight in weights.values())
        self._both = np.zeros((2, self._size), np.float32)  # side by side, to be rotated together
        self._gradient, self._mean = self._both
        self._gradients = self._split(self._gradient)
        self._keep("mean", self._mean)
        self._update = self._zeros()
        self._updates = self._split(self._update)

    def step(self, gradients: Gradients, rate: float) -> None:
        """Make one step.

        Args:
            gradients: of each weight by its name, in its shape.
            rate: the learning rate of this step.
        """
        self._steps += 1
        with np.errstate(all="ignore"):
            for name, place in self._gradients.items():
                place[...] = gradients[name]
            self._find_update(rate)
            for name, weight in self._weights.items():
                if self.decay:
                    weight *= 1 - rate * self.decay
                weight -= self._updates[name]

    @property
    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all that later steps depend on, besides the weights, named `optimizer.weight.quantity`."""
        return {name: array.copy() for name, array in self._kept.items()}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from a `state`: the steps that follow are the same to the bit.

        Raises:
            ValueError: it is of another optimizer or of other weights.
        """
        shapes = {name: (array.shape, array.dtype) for name, array in self._kept.items()}
        if {name: (array.shape, array.dtype) for name, array in state.items()} != shapes:
            raise ValueError(f"this is no state of {self._name} for these weights")
        for name, array in self._kept.items():
            array[...] = state[name]

    @abc.abstractmethod
    def _find_update(self, rate: float) -> None:
        """Put into `_update` what `_gradient` takes from the weights, and go on with the state."""

    def _split(self, vector: Floats) -> dict[str, Floats]:
        """Views of each weight's part of a vector of all, in its shape."""
        ends = itertools.accumulate(weight.size for weight in self._weights.values())
        return {
            name: vector[end - weight.size : end].reshape(weight.shape)
            for (name, weight), end in zip(self._weights.items(), ends, strict=True)
        }

    def _keep(self, quantity: str, vector: Floats) -> Floats:
        """Make a vector of all weights part of the state."""
        self._kept |= {f"{self._name}.{name}.{quantity}": view for name, view in self._split(vector).items()}
        return vector

    def _zeros(self) -> Floats:
        return np.zeros(self._size, np.float32)


def make_optimizer(name: str, weights: Mapping[str, Floats]) -> Optimizer:
    """A fresh optimizer, "soap", "adam", "adamw" or "sgd", that changes the arrays of `weights` in place."""
    match name:
        case "soap":
            return Soap(name, weights)
        case "adam":
            return Adam(name, weights)
        case "adamw":
            return AdamW(name, weights)
        case "sgd":
            return Momentum(name, weights)
    raise ValueError(f"there is no optimizer {name!r}")


def clip_norm(gradients: Gradients, longest: float) -> dict[str, NDArray[np.floating]]:
    """The gradients, all shortened by one factor where their common Euclidean length is above `longest`.

    The rule is that of torch's `clip_grad_norm_`. One that is no number makes all so.
    """
    flat = np.concatenate([gradient.ravel() for gradient in gradients.values()], dtype=np.float64)
    with np.errstate(all="ignore"):
        # Not by BLAS, which may sum long vectors on several threads.
        length = math.sqrt(np.square(flat).sum())
        factor = longest / (length + 1e-6)
        factor = 1.0 if factor > 1 else factor
        return {name: gradient * factor for name, gradient in gradients.items()}


class Momentum(Optimizer):
    """Stochastic gradient descent with Nesterov's momentum, in the form of Sutskever et al. 2013 that torch uses."""

    momentum = 0.9

    def _find_update(self, rate: float) -> None:
        self._mean *= self.momentum  # a sum, in fact
        self._mean += self._gradient
        np.multiply(self._mean, self.momentum, out=self._update)
        self._update += self._gradient
        self._update *= rate


class Adam(Optimizer):
    """Adam, Kingma and Ba 2014, arXiv 1412.6980, algorithm 1."""

    betas = (0.9, 0.999)

    def __init__(self, name: str, weights: Mapping[str, Floats]) -> None:
        super().__init__(name, weights)
        self._square = self._keep("square", self._zeros())

    def _find_update(self, rate: float) -> None:
        _approach(self._mean, self._gradient, 1 - self.betas[0], spare=self._update)
        _add_square(self._square, self._gradient, self.betas[1], spare=self._update)
        _normalise(self._mean, self._square, int(self._steps), self.betas, out=self._update)
        self._update *= rate


class AdamW(Adam):
    """Adam with weights that decay apart from it, Loshchilov and Hutter 2017, arXiv 1711.05101, algorithm 2."""

    decay = 0.01


class Soap(Optimizer):
    """Adam on gradients rotated into the eigenvectors of Shampoo's two factors, E[G Gᵀ] and E[Gᵀ G].

    Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", arXiv 2409.11321, algorithm 3. A tensor of
    more than two dimensions is taken as a matrix (first dimension, all others), a vector as one row; a side of one has
    no factor. The first step only gathers statistics. The eigenvectors are renewed, by one step of power iteration,
    after each of the next twenty steps and then after every tenth.
    """

    betas = (0.95, 0.95)
    warming, every = 20, 10

    def __init__(self, name: str, weights: Mapping[str, Floats]) -> None:
        # Tensors of one shape lie side by side and are multiplied as a stack.
        super().__init__(name, dict(sorted(weights.items(), key=lambda item: _matrix_shape(item[1]))))
        self._square = self._keep("square", self._zeros())
        self._rotated = np.zeros_like(self._both)
        self._half = np.zeros_like(self._both)
        self._make_groups()

    def _make_groups(self) -> None:
        self._groups: list[_Group] = []
        sides = []  # each as its size, its group, 0 or 1, the group's part of the squares and its names
        end = 0
        for shape, members in itertools.groupby(self._weights, lambda name: _matrix_shape(self._weights[name])):
            names = list(members)
            stack = (len(names), *shape)
            start, end = end, end + math.prod(stack)
            vectors = (self._both, self._rotated, self._half, self._update)
            group = _Group(stack, *(vector[..., start:end] for vector in vectors))
            self._groups.append(group)
            square = self._square[start:end].reshape(stack)
            sides += [(n, group, side, square, names) for side, n in enumerate(shape) if n > 1]
        # Those of one size lie side by side, so that they are renewed together.
        sides.sort(key=lambda side: side[0])
        numbers = sum(n**2 * len(names) for n, *_, names in sides)
        all_three = self._factors, self._products, self._bases = np.zeros((3, numbers), np.float32)
        self._sizes: list[_Size] = []
        end = 0
        for n, same in itertools.groupby(sides, lambda side: side[0]):
            first, squares = end, []
            for _, group, side, square, names in same:
                start, end = end, end + n**2 * len(names)
                factor, product, basis = (vector[start:end].reshape(-1, n, n) for vector in all_three)
                group.products[side], group.bases[side] = product, basis
                squares.append((square, 1 + side))
                for index, name in enumerate(names):
                    where = f"{self._name}.{name}.{_SIDES[side]}"
                    self._kept |= {where: factor[index], f"{where}_basis": basis[index]}
            factors, _, bases = (vector[first:end].reshape(-1, n, n) for vector in all_three)
            self._sizes.append(_Size(factors, bases, squares))

    def _find_update(self, rate: float) -> None:
        for group in self._groups:
            group.multiply()
        step = int(self._steps) - 1
        if step == 0:
            self._factors[...] = self._products
            for size in self._sizes:
                size.start()
            self._update[...] = 0
            return
        beta1, beta2 = self.betas
        _approach(self._mean, self._gradient, 1 - beta1, spare=self._update)
        for group in self._groups:
            group.rotate()
        gradient, mean = self._rotated
        _add_square(self._square, gradient, beta2, spare=self._update)
        _normalise(mean, self._square, step, self.betas, out=gradient)
        gradient *= rate
        for group in self._groups:
            group.rotate_back()
        _approach(self._factors, self._products, 1 - beta2, spare=self._products)
        if step <= self.warming or step % self.every == 0:
            for size in self._sizes:
                size.renew()


class _Group:
    """Tensors of one matrix shape: a stack (tensors, rows, columns) in one part of each vector.

    Attributes:
        stack: that shape.
        products, bases: of the left side (tensors, rows, rows) and of the right one (tensors, columns, columns); none
            of a side of one.
    """

    def __init__(self, stack: tuple[int, int, int], *vectors: Floats) -> None:
        """Take this group's part, (tensors · rows · columns,), of `both`, `rotated`, `half` and `update`."""
        self.stack = stack
        self._both, self._rotated, self._half, self._update = (
            vector.reshape(*vector.shape[:-1], *stack) for vector in vectors
        )
        self.products: dict[int, Floats] = {}
        self.bases: dict[int, Floats] = {}

    def multiply(self) -> None:
        """Make the products G Gᵀ and Gᵀ G."""
        gradient, turned = self._both[0], transpose(self._both[0])
        for side, product in self.products.items():
            if side:
                multiply(turned, gradient, product)
            else:
                multiply(gradient, turned, product)

    def rotate(self) -> None:
        """Leftᵀ V Right of the gradients and their means, from `both` into `rotated`."""
        left, right = self.bases.get(0), self.bases.get(1)
        self._between(None if left is None else transpose(left), self._both, right, self._rotated, self._half)

    def rotate_back(self) -> None:
        """Left V Rightᵀ of the first half of `rotated`, into `update`."""
        left, right = self.bases.get(0), self.bases.get(1)
        turned = None if right is None else transpose(right)
        self._between(left, self._rotated[0], turned, self._update, self._half[0])

    @staticmethod
    def _between(left: Floats | None, values: Floats, right: Floats | None, out: Floats, half: Floats) -> None:
        if left is not None and right is not None:
            multiply(values, right, half)
            multiply(left, half, out)
        elif left is not None:
            multiply(left, values, out)
        elif right is not None:
            multiply(values, right, out)
        else:
            out[...] = values


class _Size:
    """All factors and bases of one size, (factors, n, n), and what they rotate.

    `squares` are views (tensors, rows, columns) of each group, with the axis that the group's bases rotate, in the
    order of the bases.
    """

    def __init__(self, factors: Floats, bases: Floats, squares: list[tuple[Floats, int]]) -> None:
        self._factors, self._bases, self._squares = factors, bases, squares
        self._products = np.zeros_like(factors)

    def start(self) -> None:
        """The eigenvectors of the first factors."""
        self._bases[...] = self._guard(find_eigenvectors, self._factors)

    def renew(self) -> None:
        """One step of power iteration towards the eigenvectors, largest eigenvalue first."""
        multiply(self._factors, self._bases, self._products)
        order = (-(self._bases * self._products).sum(1)).argsort(1, kind="stable")
        end = 0
        for square, axis in self._squares:
            start, end = end, end + len(square)
            index = np.expand_dims(order[start:end], 3 - axis)
            square[...] = np.take_along_axis(square, index, axis)
        products = np.take_along_axis(self._products, order[:, None, :], 2)
        self._bases[...] = self._guard(orthonormalise, products)

    @staticmethod
    def _guard(find: Callable[[Floats], Floats], matrices: Floats) -> Floats | float:
        """What is found, or that it is no number, for LAPACK may not end or raise on such."""
        return find(matrices) if np.isfinite(matrices).all() else np.nan


def _matrix_shape(weight: Floats) -> tuple[int, int]:
    return (1, len(weight)) if weight.ndim == 1 else (len(weight), weight[0].size)


def _approach(mean: Floats, values: Floats, share: float, *, spare: Floats) -> None:
    """Bring the mean nearer to the values: mean + share (values - mean)."""
    np.subtract(values, mean, out=spare)
    spare *= share
    mean += spare


def _add_square(square: Floats, values: Floats, beta: float, *, spare: Floats) -> None:
    """Bring the mean square nearer to the squares: beta square + (1 - beta) values²."""
    np.multiply(values, values, out=spare)
    spare *= 1 - beta
    square *= beta
    square += spare


def _normalise(mean: Floats, square: Floats, step: int, betas: tuple[float, float], *, out: Floats) -> None:
    """Adam's update for a rate of one: the mean over the root of the square, both freed of their start at zero."""
    np.sqrt(square, out=out)
    out /= math.sqrt(1 - betas[1] ** step)
    out += _EPSILON
    np.divide(mean, out, out=out)
    out /= 1 - betas[0] ** step
