"""The model file: one ONNX file with its spec, ranges, provenance and scores as metadata."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.scale import Scale, Scales
from smidgen.errors import FileError, InputError, MissingPartError, SmidgenError
from smidgen.files import write_whole
from smidgen.model.graph import INPUT, LEARNED, OPSET, OUTPUT, Node, make_graph
from smidgen.model.metadata import check_metadata, make_printable
from smidgen.model.onnx_file import Value, read_onnx
from smidgen.network.layers import Network
from smidgen.network.spec import Spec, spec_from_dict, spec_to_dict

if TYPE_CHECKING:
    import onnx

    from smidgen.data.pairs import Dataset
    from smidgen.training.recipe import Recipe

Weights = dict[str, NDArray[np.float32]]

FORMAT_VERSION = 1
METADATA_KEY = "smidgen"
_IR_VERSION = 8
_FLOAT = 1  # as ONNX counts types
_EXPECTED = "an ONNX file that 'smidgen train' wrote"
MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model file says about itself.

    Attributes:
        spec: of the network.
        budget: it was made for.
        dataset: name, fingerprint, licence and sizes of what it was trained on.
        noisy_scale, clean_scale: the rules for original values.
        training: the settings, seed included, and how it went.
        scores: with their conditions.
    """

    spec: Spec
    budget: int
    dataset: dict[str, Any] = field(default_factory=dict)
    noisy_scale: Scale = Scale()
    clean_scale: Scale = Scale()
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def scales(self) -> Scales:
        """How it takes values; where it does not say what X held in training, X kept to its range."""
        found = self.dataset.get("found", {}).get("X")
        seen = self.noisy_scale.widen(found["low"], found["high"]) if found else self.noisy_scale
        return Scales(self.noisy_scale, self.clean_scale, seen)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the images it was trained on; 28 x 28 where it does not say."""
        shape = self.dataset.get("shape") or []
        return (shape[0], shape[1]) if len(shape) == 3 and min(shape) > 0 else (28, 28)

    def to_json(self) -> str:
        """The metadata as it stands in the file."""
        content = {
            "format": FORMAT_VERSION,
            "spec": spec_to_dict(self.spec),
            "num_parameters": self.spec.num_parameters,
            "budget": self.budget,
            "dataset": self.dataset,
            "noisy_scale": [self.noisy_scale.low, self.noisy_scale.high],
            "clean_scale": [self.clean_scale.low, self.clean_scale.high],
            "training": self.training,
            "scores": self.scores,
        }
        return json.dumps(make_printable(content), sort_keys=True)

    @staticmethod
    def of_training(
        dataset: "Dataset", spec: Spec, settings: "Recipe", *, budget: int, best_epoch: int, ending: str
    ) -> "ModelInfo":
        """What a training of `spec` on `dataset` has to say; scores come later."""
        return ModelInfo(
            spec=spec,
            budget=budget,
            dataset=dataset.describe(),
            noisy_scale=dataset.noisy_scale,
            clean_scale=dataset.clean_scale,
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
                    f"{source} has model format {content['format']!r:.20}",
                    expected=f"format {FORMAT_VERSION}",
                    remedy="Use the version of Smidgen that wrote it, or a newer one",
                )
            check_metadata(content)
            return ModelInfo(
                spec=spec_from_dict(content["spec"]),
                budget=int(content["budget"]),
                dataset=dict(content["dataset"]),
                noisy_scale=_read_range(content["noisy_scale"]),
                clean_scale=_read_range(content["clean_scale"]),
                training=dict(content["training"]),
                scores=dict(content["scores"]),
            )
        except FileError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError, InputError) as error:
            raise FileError(f"{source} describes itself in a way that cannot be read ({error})") from None


def _read_range(content: list[float]) -> Scale:
    low, high = map(float, content)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"values from {low:g} to {high:g}")
    return Scale(low, high)


def write_model(path: Path, info: ModelInfo, weights: Weights) -> None:
    """Write a model file, replaced whole; see `pack_model`.

    Raises:
        FileError: it cannot be written.
        SmidgenError: a weight is not a finite number.
    """
    write_whole(path, pack_model(info, weights))


def import_onnx() -> Any:
    """The package that model files are written with.

    Raises:
        MissingPartError: it is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingPartError("onnx", "Writing a model file", "train") from None
    return onnx


def pack_model(info: ModelInfo, weights: Weights) -> bytes:
    """The content of a model file.

    Args:
        info: what it says about itself.
        weights: the learned tensors of `info.spec`, by name.

    Raises:
        SmidgenError: a weight is not a finite number.
    """
    onnx = import_onnx()
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

    def make_node(node: Node) -> "onnx.NodeProto":
        attributes = {
            name: helper.make_tensor(name, TensorProto.FLOAT, value.shape, value) if name == "value" else value
            for name, value in node.attributes.items()
        }
        return helper.make_node(node.op, node.inputs, [node.output], name=node.output, **attributes)

    graph = make_graph(network)
    stored = [
        numpy_helper.from_array(np.ascontiguousarray(weights[weight.name], np.float32), LEARNED + weight.name)
        for weight in network.weights
    ]
    fixed = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    shape = _shape(network)
    proto = helper.make_graph(
        [make_node(node) for node in graph.nodes],
        "denoiser",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)],
        stored + fixed,
    )
    return helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION, producer_name="smidgen"
    )


def _shape(network: Network) -> tuple[int | str, ...]:
    """Of what comes in and goes out: any number of images of any size."""
    return "N", network.channels, "H", "W"


def read_model(path: Path) -> tuple[ModelInfo, Weights]:
    """What a model file says about itself, and its learned tensors by name.

    Raises:
        FileError: missing, damaged, or not a model of ours; see `parse_model`.
    """
    return parse_model(read_content(path), str(path))


def parse_model(content: bytes, name: str) -> tuple[ModelInfo, Weights]:
    """What a model file says about itself, and its learned tensors by name.

    Nothing of the file is run or believed: its graph must be, node by node, the one that its own
    description makes. So it can hold no other operators, loops, paths or sizes than ours do.

    Args:
        content: of the file.
        name: to call it by in errors.

    Raises:
        FileError: damaged, or not a model of ours.
    """
    try:
        file = read_onnx(content)
    except ValueError as error:
        raise FileError(f"{name} cannot be read as a model ({error})", expected=_EXPECTED) from None
    if METADATA_KEY not in file.metadata:
        raise FileError(f"{name} is an ONNX file, but not a Smidgen model", expected=_EXPECTED)
    info = ModelInfo.from_json(file.metadata[METADATA_KEY], name)
    learned = {key.removeprefix(LEARNED): value for key, value in file.tensors.items() if key.startswith(LEARNED)}
    # The count is a formula, so an absurd description ends here, before its layers are made.
    if info.spec.num_parameters != sum(value.size for value in learned.values()):
        raise FileError(f"{name} holds other learned tensors than its description says")
    network = info.spec.network()
    if {weight.name: weight.shape for weight in network.weights} != {k: v.shape for k, v in learned.items()} or any(
        value.dtype != np.float32 for value in learned.values()
    ):
        raise FileError(f"{name} holds other learned tensors than its description says")
    if not all(np.isfinite(value).all() for value in learned.values()):
        raise FileError(f"{name} holds learned numbers that are NaN or infinite")
    graph = make_graph(network)
    constants = {key: value for key, value in file.tensors.items() if not key.startswith(LEARNED)}
    shape = _shape(network)
    same = (
        file.opset == OPSET
        and file.inputs == (Value(INPUT, _FLOAT, shape),)
        and file.outputs == (Value(OUTPUT, _FLOAT, shape),)
        and constants.keys() == graph.constants.keys()
        and all(_same(value, graph.constants[key]) for key, value in constants.items())
        and len(file.nodes) == len(graph.nodes)
        and all(_same_node(found, made) for found, made in zip(file.nodes, graph.nodes, strict=True))
    )
    if not same:
        raise FileError(
            f"{name} holds another graph than its description makes",
            expected=_EXPECTED,
            remedy="Use the version of Smidgen that wrote it",
        )
    return info, learned


def _same_node(found: Node, made: Node) -> bool:
    return (found.op, found.inputs, found.output) == (made.op, made.inputs, made.output) and (
        found.attributes.keys() == made.attributes.keys()
        and all(_same(value, made.attributes[name]) for name, value in found.attributes.items())
    )


def _same(found: Any, made: Any) -> bool:
    if isinstance(found, np.ndarray) and isinstance(made, np.ndarray):
        return found.dtype == made.dtype and np.array_equal(found, made)
    return not isinstance(found, np.ndarray) and not isinstance(made, np.ndarray) and bool(found == made)


def open_session(content: bytes, name: str, threads: int = 0) -> tuple[Any, ModelInfo]:
    """An ONNX Runtime session on a model file's content, and what the file says about itself.

    Args:
        content: of the file.
        name: to call it by in errors.
        threads: of the processor; 0 uses all cores.

    Raises:
        FileError: damaged, or not a model of ours; see `parse_model`.
    """
    import onnxruntime

    info, _ = parse_model(content, name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.enable_mem_pattern = False  # it takes the memory of all layers at once
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]), info
    except Exception as error:  # ONNX Runtime has a dozen kinds of its own
        raise FileError(
            f"{name} cannot be read as a model ({str(error).splitlines()[0][:100]})", expected=_EXPECTED
        ) from None


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
