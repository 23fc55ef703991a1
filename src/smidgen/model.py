"""The model file: one ONNX file with its spec, ranges, provenance and scores as metadata."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError, MissingPartError, SmidgenError
from smidgen.files import write_whole
from smidgen.network.layers import RMS_EPSILON, Kind, Layer, Network
from smidgen.network.spec import Spec, spec_from_dict, spec_to_dict
from smidgen.pairs.ranges import Range

if TYPE_CHECKING:
    import onnx

    from smidgen.pairs.pairs import Dataset
    from smidgen.training.settings import TrainingSettings

Weights = dict[str, NDArray[np.float32]]

FORMAT_VERSION = 1
METADATA_KEY = "smidgen"
_OPSET = 17
_IR_VERSION = 8
_PREFIX = "learned."
MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model file says about itself.

    Attributes:
        spec: of the network.
        budget: it was made for.
        dataset: name, fingerprint, licence and sizes of what it was trained on.
        noisy_range, clean_range: the rules for original values.
        training: the settings, seed included, and how it went.
        scores: with their conditions.
    """

    spec: Spec
    budget: int
    dataset: dict[str, Any] = field(default_factory=dict)
    noisy_range: Range = Range()
    clean_range: Range = Range()
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The metadata as it stands in the file."""
        content = {
            "format": FORMAT_VERSION,
            "spec": spec_to_dict(self.spec),
            "num_parameters": self.spec.num_parameters,
            "budget": self.budget,
            "dataset": self.dataset,
            "noisy_range": [self.noisy_range.low, self.noisy_range.high],
            "clean_range": [self.clean_range.low, self.clean_range.high],
            "training": self.training,
            "scores": self.scores,
        }
        return json.dumps(content, sort_keys=True)

    @staticmethod
    def of_training(
        dataset: "Dataset", spec: Spec, settings: "TrainingSettings", *, budget: int, best_epoch: int, ending: str
    ) -> "ModelInfo":
        """What a training of `spec` on `dataset` has to say; scores come later."""
        return ModelInfo(
            spec=spec,
            budget=budget,
            dataset=dataset.describe(),
            noisy_range=dataset.noisy_range,
            clean_range=dataset.clean_range,
            training=settings.to_dict() | {"best_epoch": best_epoch, "ending": ending},
        )

    @staticmethod
    def from_json(text: str, source: str) -> "ModelInfo":
        """The inverse of `to_json`.

        Raises:
            FileError: it cannot be understood.
        """
        try:
            content = json.loads(text)
            if content["format"] != FORMAT_VERSION:
                raise FileError(
                    f"{source} has model format {content['format']}",
                    expected=f"format {FORMAT_VERSION}",
                    remedy="Use the version of Smidgen that wrote it, or a newer one",
                )
            return ModelInfo(
                spec=spec_from_dict(content["spec"]),
                budget=int(content["budget"]),
                dataset=dict(content["dataset"]),
                noisy_range=Range(*map(float, content["noisy_range"])),
                clean_range=Range(*map(float, content["clean_range"])),
                training=dict(content["training"]),
                scores=dict(content["scores"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(f"{source} describes itself in a way that cannot be read ({error})") from None


def write_model(path: Path, info: ModelInfo, weights: Weights) -> None:
    """Write a model file, replaced whole; see `pack_model`.

    Raises:
        FileError: it cannot be written.
        SmidgenError: a weight is not a finite number.
    """
    write_whole(path, pack_model(info, weights))


def pack_model(info: ModelInfo, weights: Weights) -> bytes:
    """The content of a model file.

    Args:
        info: what it says about itself.
        weights: the learned tensors of `info.spec`, by name.

    Raises:
        SmidgenError: a weight is not a finite number.
    """
    try:
        import onnx
    except ImportError:
        raise MissingPartError("onnx", "Writing a model file", "train") from None
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise SmidgenError(f"The learned tensor {name} holds NaN or infinity; the model is not written.")
    proto = build_onnx(info.spec.network(), weights)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, info.to_json()
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def build_onnx(network: Network, weights: Weights) -> "onnx.ModelProto":
    """The network in plain ONNX operators: `noisy` -> `denoised`, (N, C, H, W) of any size."""
    from onnx import TensorProto, helper, numpy_helper

    writer = _GraphWriter(network)
    for layer in network.layers:
        writer.write(layer)
    stored = [
        numpy_helper.from_array(np.ascontiguousarray(weights[weight.name], np.float32), _PREFIX + weight.name)
        for weight in network.weights
    ]
    fixed = [numpy_helper.from_array(value, name) for name, value in writer.constants.items()]
    shape: list[str | int] = ["N", network.channels, "H", "W"]
    graph = helper.make_graph(
        writer.nodes,
        "denoiser",
        [helper.make_tensor_value_info("noisy", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("denoised", TensorProto.FLOAT, shape)],
        stored + fixed,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="smidgen"
    )


def read_model(path: Path) -> tuple[ModelInfo, Weights]:
    """What a model file says about itself, and its learned tensors by name.

    Raises:
        FileError: missing, damaged, not a model of ours, or its tensors are not those of its spec.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise MissingPartError("onnx", "Reading a model's weights", "export") from None
    content = read_content(path)
    try:
        proto = onnx.load_model_from_string(content)
        weights = {
            tensor.name.removeprefix(_PREFIX): np.asarray(numpy_helper.to_array(tensor), np.float32)
            for tensor in proto.graph.initializer
            if tensor.name.startswith(_PREFIX)
        }
    except Exception as error:  # protobuf raises nearly anything on damaged input
        raise FileError(f"{path} cannot be read as a model ({type(error).__name__})") from None
    texts = {entry.key: entry.value for entry in proto.metadata_props}
    if METADATA_KEY not in texts:
        raise FileError(f"{path} is an ONNX file, but not a Smidgen model", expected="a file 'smidgen train' wrote")
    info = ModelInfo.from_json(texts[METADATA_KEY], str(path))
    expected = {weight.name: weight.shape for weight in info.spec.network().weights}
    if expected != {name: weight.shape for name, weight in weights.items()}:
        raise FileError(f"{path} holds other learned tensors than its description says")
    return info, weights


def open_session(content: bytes, name: str, threads: int = 0) -> Any:
    """An ONNX Runtime session on a model file's content; `threads` of 0 uses all cores.

    Raises:
        FileError: damaged, or not a model of ours; it calls the model by `name`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.enable_mem_pattern = False  # it takes the memory of all layers at once
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a dozen kinds of its own
        raise FileError(
            f"{name} cannot be read as a model ({str(error).splitlines()[0][:100]})",
            expected="an ONNX file that 'smidgen train' wrote",
        ) from None
    if METADATA_KEY not in session.get_modelmeta().custom_metadata_map:
        raise FileError(f"{name} is an ONNX file, but not a Smidgen model", expected="a file 'smidgen train' wrote")
    return session


def read_content(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        FileError: it cannot be read, or is larger than any model.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(f"{path} is larger than any model of ours", expected=f"at most {MOST_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise FileError(
            f"the model {path} cannot be read ({error.strerror})", expected="a model file or a run folder"
        ) from None


class _GraphWriter:
    """Layers as ONNX nodes."""

    def __init__(self, network: Network) -> None:
        self._network = network
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
                self._add("Conv", [x, f"{_PREFIX}{layer.weight}"], out, pads=edge, group=layer.channels)
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

    def _add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def _kernel_and_bias(self, layer: Layer) -> list[str]:
        kernel = f"{_PREFIX}{layer.weight}"
        if layer.gain:  # runtimes fold this product of constants when they load the file
            axes = self._constant("gain_axes", np.array([1, 2, 3], np.int64))
            gain = self._add("Unsqueeze", [f"{_PREFIX}{layer.gain}", axes], f"{layer.output}.gain")
            kernel = self._add("Mul", [kernel, gain], f"{layer.output}.kernel")
        return [kernel, f"{_PREFIX}{layer.bias}"] if layer.bias else [kernel]

    def _mean_kernel(self, channels: int) -> str:
        """A kernel (1, C, 1, 1) of 1/C, which runtimes compute once when they load the file."""
        from onnx import helper

        name = f"mean_of_{channels}"
        if name not in self.constants:
            value = helper.make_tensor("value", 1, [1], [1 / channels])  # 1: float32
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
