"""Products and decompositions of stacks of small matrices, with one order of every sum on any number of threads.

BLAS and LAPACK spread what is large over threads, and their number then decides how results are rounded.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Number = TypeVar("Number", np.float32, np.float64)

# What they never spread: products of so many multiplications, decompositions of matrices of so many on a side, and of
# panels of so many columns.
_MOST_AT_ONCE = 2**17
_MOST_FOR_LAPACK, _PANEL = 96, 16


def transpose(matrices: NDArray[Number]) -> NDArray[Number]:
    """Views of the transposed matrices (..., columns, rows)."""
    return matrices.swapaxes(-1, -2)


def multiply(a: NDArray[Number], b: NDArray[Number], out: NDArray[Number]) -> None:
    """Each matrix of `a` times that of `b`, put into `out`.

    Args:
        a, b, out: stacks of matrices, (..., n, m), (..., m, k) and (..., n, k); those of `a` and `b` are broadcast.
    """
    # By as many rows at once as one thread is sure to take.
    rows, inner = a.shape[-2:]
    most = max(1, _MOST_AT_ONCE // max(1, inner * b.shape[-1]))
    for start in range(0, rows, most):
        np.matmul(a[..., start : start + most, :], b, out=out[..., start : start + most, :])


def find_eigenvectors(factors: Floats) -> Floats:
    """Eigenvectors, as columns, of symmetric matrices (..., n, n) of finite numbers.

    Of those above 96 on a side it is a step of power iteration from the axes, which is exact where all rows are
    multiples of one.
    """
    if factors.shape[-1] > _MOST_FOR_LAPACK:
        return orthonormalise(factors)
    vectors: Floats = np.linalg.eigh(factors)[1]
    return vectors


def orthonormalise(matrices: Floats) -> Floats:
    """Q of the QR decomposition of square matrices (..., n, n) of finite numbers.

    Those above 96 on a side are taken a panel of columns at a time, by block reflectors I - V T Vᵀ: Schreiber and Van
    Loan 1989, "A storage-efficient WY representation for products of Householder transformations".
    """
    n = matrices.shape[-1]
    if n <= _MOST_FOR_LAPACK:
        return np.linalg.qr(matrices)[0].astype(np.float32)
    rest, reflectors = matrices.astype(np.float64), []
    for start in range(0, n, _PANEL):
        raw, tau = np.linalg.qr(rest[..., start:, start : start + _PANEL], mode="raw")
        width = tau.shape[-1]
        v = np.tril(transpose(raw), -1)
        v[..., range(width), range(width)] = 1
        diagonal = tau[..., :, None] * np.eye(width)
        t = np.linalg.solve(np.eye(width) + diagonal @ np.triu(transpose(v) @ v, 1), diagonal)
        reflectors.append((start, v, t))
        _reflect(rest[..., start:, start + width :], v, transpose(t))
    q = np.broadcast_to(np.eye(n), matrices.shape).copy()
    for start, v, t in reversed(reflectors):
        _reflect(q[..., start:, start:], v, t)
    return q.astype(np.float32)


def _reflect(matrices: NDArray[np.float64], v: NDArray[np.float64], t: NDArray[np.float64]) -> None:
    """(I - V T Vᵀ) M, in place."""
    outer = np.empty_like(matrices)
    inner = np.empty_like(matrices[..., : v.shape[-1], :])
    multiply(t @ transpose(v), matrices, inner)
    multiply(v, inner, outer)
    matrices -= outer
