"""A network as ONNX operators: the graph that a model file of its spec holds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.model import onnx_format
from smidgen.network.layers import RMS_EPSILON, Kind, Layer, Network

OPSET = 17
LEARNED = "learned."
_IR_VERSION = 8


def make_onnx(network: Network, weights: Mapping[str, NDArray[np.float32]]) -> Any:
    """An `onnx_format.Model` of plain operators: `noisy` -> `denoised`, (N, C, H, W) of any size.

    Args:
        network: the layers.
        weights: its learned tensors by name, each stored once.
    """
    writer = _GraphWriter()
    for layer in network.layers:
        writer.write(layer)
    stored = {LEARNED + weight.name: np.asarray(weights[weight.name], np.float32) for weight in network.weights}
    graph = onnx_format.Graph(
        name="denoiser",
        node=writer.nodes,
        initializer=[onnx_format.make_tensor(name, value) for name, value in (stored | writer.constants).items()],
        input=[onnx_format.make_value("noisy", network.channels)],
        output=[onnx_format.make_value("denoised", network.channels)],
    )
    operators = onnx_format.OperatorSet(domain="", version=OPSET)
    return onnx_format.Model(ir_version=_IR_VERSION, producer_name="smidgen", graph=graph, opset_import=[operators])


class _GraphWriter:
    """Layers as ONNX nodes."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._halves: set[tuple[str, str]] = set()

    def write(self, layer: Layer) -> None:
        """Add the nodes of one layer."""
        x, out = layer.inputs[0], layer.output
        edge = [layer.kernel // 2] * 4
        match layer.kind:
            case Kind.CONV:
                self._add("Conv", [x, *self._kernel_and_bias(layer)], out, pads=edge)
            case Kind.GATED_CONV:
                # Two convolutions with half of the kernel each: cheaper than cutting their result.
                halves = [self._half(name, layer.channels) for name in self._kernel_and_bias(layer)]
                for side, parts in zip(("left", "right"), zip(*halves, strict=True), strict=True):
                    self._add("Conv", [x, *parts], f"{out}.{side}", pads=edge)
                self._add("Mul", [f"{out}.left", f"{out}.right"], out)
            case Kind.DEPTHWISE:
                self._add("Conv", [x, f"{LEARNED}{layer.weight}"], out, pads=edge, group=layer.channels)
            case Kind.RELU:
                self._add("Relu", [x], out)
            case Kind.RMS_NORM:
                square = self._add("Mul", [x, x], f"{out}.square")
                # The mean as a convolution with 1/C, which runtimes compute faster than a reduction.
                epsilon = self._constant("epsilon", np.array([RMS_EPSILON], np.float32))
                raised = self._add("Conv", [square, self._mean_kernel(layer.channels), epsilon], f"{out}.raised")
                root = self._add("Sqrt", [raised], f"{out}.root")
                self._add("Div", [x, root], out)
            case Kind.ADD:
                self._add("Add", list(layer.inputs), out)
            case Kind.MAX_POOL:
                self._add("MaxPool", [x], out, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1])
            case Kind.MEAN_POOL:
                self._add(
                    "AveragePool", [x], out, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1
                )
            case Kind.UPSAMPLE_NEAREST:
                ways = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                self._upsample(x, layer.inputs[1], out, ways)
            case Kind.UPSAMPLE_BILINEAR:
                ways = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
                self._upsample(x, layer.inputs[1], out, ways)
            case Kind.SIGMOID:
                self._add("Sigmoid", [x], out)
            case Kind.RESIDUAL:
                difference = self._add("Sub", list(layer.inputs), f"{out}.unclipped")
                ends = [self._constant(name, np.float32(end)) for name, end in (("black", 0), ("white", 1))]
                self._add("Clip", [difference, *ends], out)

    def _add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        made = [onnx_format.make_attribute(name, attributes[name]) for name in sorted(attributes)]
        self.nodes.append(onnx_format.Node(input=inputs, output=[output], name=output, op_type=op, attribute=made))
        return output

    def _constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def _kernel_and_bias(self, layer: Layer) -> list[str]:
        kernel = f"{LEARNED}{layer.weight}"
        if layer.gain:  # runtimes fold this product of constants when they load the file
            axes = self._constant("gain_axes", np.array([1, 2, 3], np.int64))
            gain = self._add("Unsqueeze", [f"{LEARNED}{layer.gain}", axes], f"{layer.output}.gain")
            kernel = self._add("Mul", [kernel, gain], f"{layer.output}.kernel")
        return [kernel, f"{LEARNED}{layer.bias}"] if layer.bias else [kernel]

    def _mean_kernel(self, channels: int) -> str:
        """A kernel (1, C, 1, 1) of 1/C, which runtimes compute once when they load the file."""
        name = f"mean_of_{channels}"
        if name not in self.constants:
            value = np.array([1 / channels], np.float32)
            shape = self._constant(name, np.array([1, channels, 1, 1], np.int64))
            self._add("ConstantOfShape", [shape], f"{name}.kernel", value=value)
        return f"{name}.kernel"

    def _half(self, name: str, channels: int) -> tuple[str, str]:
        """The first and the last `channels` rows of a kernel or bias; cut once, however often it is used."""
        names = f"{name}.left", f"{name}.right"
        if names not in self._halves:
            self._halves.add(names)
            axis = self._constant("first_axis", np.array([0], np.int64))
            for half, start in zip(names, (0, channels), strict=True):
                edges = [self._constant(f"row{row}", np.array([row], np.int64)) for row in (start, start + channels)]
                self._add("Slice", [name, *edges, axis], half)
        return names

    def _upsample(self, x: str, like: str, out: str, ways: dict[str, str]) -> None:
        """Double, then cut to the size of `like`, which is one less where that size is odd."""
        scales = self._constant("double", np.array([1, 1, 2, 2], np.float32))
        doubled = self._add("Resize", [x, "", scales], f"{out}.doubled", **ways)
        size = self._add("Shape", [like], f"{out}.size", start=2)
        start = self._constant("zero", np.array([0, 0], np.int64))
        axes = self._constant("axes", np.array([2, 3], np.int64))
        self._add("Slice", [doubled, start, size, axes], out)
