"""Networks in float64, layer by layer, straight from what the layers say: what the engine is held to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.network.layers import RMS_EPSILON, Kind, Layer, Network, size_at_scale

Tensor = NDArray[np.float64]


def run_network(network: Network, weights: Mapping[str, NDArray[Any]], noisy: NDArray[Any]) -> tuple[Tensor, float]:
    """The denoised image (H, W, C) of a noisy one, and the largest value in any layer."""
    values = run_layers(network, weights, noisy)
    return values["denoised"].transpose(1, 2, 0), max(np.abs(value).max() for value in values.values())


def run_layers(network: Network, weights: Mapping[str, NDArray[Any]], noisy: NDArray[Any]) -> dict[str, Tensor]:
    """All tensors (C, H, W) by name."""
    values = {"noisy": noisy.astype(np.float64).transpose(2, 0, 1)}
    exact = {name: weight.astype(np.float64) for name, weight in weights.items()}
    for layer in network.layers:
        size = size_at_scale(*noisy.shape[:2], layer.scale)
        values[layer.output] = run_layer(layer, [values[name] for name in layer.inputs], exact, size)
    return values


def batch_loss(
    network: Network,
    weights: Mapping[str, NDArray[Any]],
    noisy: Sequence[NDArray[Any]],
    clean: Sequence[NDArray[Any]],
    loss: str,
) -> float:
    """Of images (H, W, C): the mean over all pixels and channels, for a residual of the unclipped difference."""
    last = network.layers[-1]
    total = 0.0
    for x, wanted in zip(noisy, clean, strict=True):
        found = run_layers(network, weights, x)[last.inputs[-1]].transpose(1, 2, 0)
        if last.kind is Kind.RESIDUAL:
            total += float(((x - found - wanted) ** 2).sum())
        elif loss == "bce":
            total += float((np.logaddexp(0, found) - found * wanted).sum())
        else:
            total += float(((1 / (1 + np.exp(-found)) - wanted) ** 2).sum())
    return total / sum(x.size for x in noisy)


def run_layer(layer: Layer, inputs: list[Tensor], weights: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
    """A layer's output (C, H, W) of that size."""
    x = inputs[0]
    match layer.kind:
        case Kind.CONV | Kind.GATED_CONV:
            kernel = weights[layer.weight or ""]
            if layer.gain:
                kernel = kernel * weights[layer.gain][:, None, None, None]
            result = np.einsum("oikl,iklhw->ohw", kernel, neighbours(x, layer.kernel))
            if layer.bias:
                result = result + weights[layer.bias][:, None, None]
            return result[: layer.channels] * result[layer.channels :] if layer.kind is Kind.GATED_CONV else result
        case Kind.DEPTHWISE:
            return np.einsum("ckl,cklhw->chw", weights[layer.weight or ""][:, 0], neighbours(x, layer.kernel))
        case Kind.RELU:
            return np.maximum(x, 0)
        case Kind.RMS_NORM:
            return x / np.sqrt((x**2).mean(0) + RMS_EPSILON)
        case Kind.ADD:
            return x + inputs[1]
        case Kind.MAX_POOL:
            return quarters(x, -np.inf).max((2, 4))
        case Kind.MEAN_POOL:
            return quarters(x, 0.0).mean((2, 4))
        case Kind.UPSAMPLE_NEAREST:
            return x.repeat(2, 1).repeat(2, 2)[:, : size[0], : size[1]]
        case Kind.UPSAMPLE_BILINEAR:
            return double(double(x, 1), 2)[:, : size[0], : size[1]]
        case Kind.RESIDUAL:
            return np.clip(x - inputs[1], 0, 1)
        case Kind.SIGMOID:
            return 1 / (1 + np.exp(-x))


def neighbours(x: Tensor, kernel: int) -> Tensor:
    """(C, k, k, H, W): what lies around each pixel, zeros beyond the edge."""
    padded = np.pad(x, ((0, 0), *[(kernel // 2, kernel // 2)] * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))
    return windows.transpose(0, 3, 4, 1, 2)


def quarters(x: Tensor, beyond: float) -> Tensor:
    """(C, H / 2, 2, W / 2, 2), filled up where a side is odd."""
    c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, h % 2), (0, w % 2)), constant_values=beyond)
    return padded.reshape(c, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2)


def double(x: Tensor, axis: int) -> Tensor:
    """Twice as long along an axis, on lines between pixels' centres, the edge repeated."""
    edge = np.take(x, [0], axis), np.take(x, [-1], axis)
    before = np.concatenate([edge[0], x], axis).take(range(x.shape[axis]), axis)
    after = np.concatenate([x, edge[1]], axis).take(range(1, x.shape[axis] + 1), axis)
    return np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1).reshape(
        *(2 * side if i == axis else side for i, side in enumerate(x.shape))
    )
