"""A network as a list of layers: what torch, ONNX and every other back end is built from.

Tensors are named. `noisy` is the input, the last layer's output is `denoised`. A tensor at scale s
has one pixel for 2**s x 2**s pixels of the image, rounded up, so every size from 1 x 1 on works.
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a layer does. Shapes are (N, C, H, W)."""

    CONV = "conv"  # zero padding, same size; weights: kernel (O, I, k, k), then bias (O,), gain (O,)
    DEPTHWISE = "depthwise"  # one k x k filter a channel; weight: kernel (C, 1, k, k)
    GATED_CONV = "gated_conv"  # a conv to twice the channels; the first half times the second half
    RELU = "relu"
    RMS_NORM = "rms_norm"  # each pixel divided by the root mean square over its channels
    ADD = "add"
    MAX_POOL = "max_pool"  # 2 x 2, the last row and column alone where the size is odd
    MEAN_POOL = "mean_pool"  # 2 x 2, zeros beyond the edge
    # To twice the size, cut to the size of the second input: each pixel twice both ways, or
    # straight lines between the pixels' centres (weights 1/4 and 3/4), the edge repeated.
    UPSAMPLE_NEAREST = "upsample_nearest"
    UPSAMPLE_BILINEAR = "upsample_bilinear"
    # The last layer is one of these; what it gives lies in [0, 1].
    SIGMOID = "sigmoid"
    RESIDUAL = "residual"  # the first input less the second, clipped


RMS_EPSILON = 1e-3


def size_at_scale(height: int, width: int, scale: int) -> tuple[int, int]:
    """Rows and columns that a tensor at a scale has for an image of `height` x `width`."""
    step = 1 << scale
    return -(-height // step), -(-width // step)


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A learned tensor and how it starts: N(mean, std), plus `peak` at the kernel's centre."""

    name: str
    shape: tuple[int, ...]
    std: float = 0.0
    mean: float = 0.0
    peak: float = 0.0

    @property
    def size(self) -> int:
        """Learned numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One step: `output = kind(inputs; weights)`.

    Attributes:
        channels: of the output.
        scale: of the output.
        kernel: side of the filter, for convolutions.
        bias, gain: names of the weights of that role; a gain multiplies the kernel's outputs.
    """

    kind: Kind
    output: str
    inputs: tuple[str, ...]
    channels: int
    scale: int
    kernel: int = 1
    weight: str | None = None
    bias: str | None = None
    gain: str | None = None

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the learned tensors it uses."""
        return tuple(name for name in (self.weight, self.bias, self.gain) if name)


@dataclass(frozen=True, kw_only=True)
class Network:
    """Layers in the order they run, and the learned tensors they share."""

    layers: tuple[Layer, ...]
    weights: tuple[Weight, ...]
    channels: int

    @property
    def num_parameters(self) -> int:
        """Learned numbers stored; a tensor used in several places counts once."""
        return sum(weight.size for weight in self.weights)

    @property
    def stride(self) -> int:
        """Pixels of the image in one pixel of the coarsest scale."""
        return int(2 ** max(layer.scale for layer in self.layers))

    def last_uses(self) -> dict[str, int]:
        """For each tensor the number of the last layer that reads it."""
        return {name: number for number, layer in enumerate(self.layers) for name in layer.inputs}

    def channels_of(self) -> dict[str, int]:
        """Channels of each tensor."""
        return {"noisy": self.channels} | {layer.output: layer.channels for layer in self.layers}

    def multiply_accumulates(self, layer: Layer) -> float:
        """Multiply-accumulates of a layer for one pixel of the image."""
        if layer.kind is Kind.CONV:
            fan_in = self.channels_of()[layer.inputs[0]]
        elif layer.kind is Kind.GATED_CONV:
            fan_in = 2 * self.channels_of()[layer.inputs[0]]
        elif layer.kind is Kind.DEPTHWISE:
            fan_in = 1
        else:
            return 0.0
        return float(layer.kernel**2 * fan_in * layer.channels / 4**layer.scale)

    @property
    def multiply_accumulates_per_pixel(self) -> float:
        """Multiply-accumulates of all convolutions for one pixel of the image."""
        return sum(self.multiply_accumulates(layer) for layer in self.layers)

    @property
    def reach(self) -> int:
        """How many pixels away an input pixel can still change an output pixel.

        Followed from layer to layer as the interval [position - before, position + after] of the
        image that a pixel at `position` depends on.
        """
        intervals = {"noisy": (0, 0)}
        for layer in self.layers:
            before = max(intervals[name][0] for name in layer.inputs)
            after = max(intervals[name][1] for name in layer.inputs)
            if layer.kind in (Kind.CONV, Kind.GATED_CONV, Kind.DEPTHWISE):
                side = layer.kernel // 2 << layer.scale
                before, after = before + side, after + side
            elif layer.kind in (Kind.MAX_POOL, Kind.MEAN_POOL):
                after += 1 << (layer.scale - 1)
            elif layer.kind is Kind.UPSAMPLE_NEAREST:
                before += 1 << layer.scale
            elif layer.kind is Kind.UPSAMPLE_BILINEAR:
                before, after = before + (2 << layer.scale), after + (1 << layer.scale)
            intervals[layer.output] = (before, after)
        return max(intervals["denoised"])

    def work_bytes(self, height: int, width: int) -> int:
        """Memory for activations when run layer by layer in float32, at its fullest."""
        channels, last = self.channels_of(), self.last_uses()
        scales = {"noisy": 0} | {layer.output: layer.scale for layer in self.layers}

        def size(name: str) -> int:
            return 4 * channels[name] * math.prod(size_at_scale(height, width, scales[name]))

        alive, fullest = {"noisy"}, 0
        for number, layer in enumerate(self.layers):
            alive.add(layer.output)
            fullest = max(fullest, sum(size(name) for name in alive))
            alive -= {name for name in layer.inputs if last[name] == number}
        return fullest
