"""The model file: one ONNX file with what the model says of itself as metadata."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.origin import Origin
from smidgen.data.scale import Scale, Scales
from smidgen.errors import FileError, InputError, SmidgenError
from smidgen.files import read_file, write_whole
from smidgen.model import onnx_format
from smidgen.model.graph import LEARNED, make_onnx
from smidgen.model.records import Judged, ModelInfo, from_plain, to_plain
from smidgen.network.spec import spec_from_dict, spec_to_dict
from smidgen.training.recipe import Recipe

Weights = dict[str, NDArray[np.float32]]

METADATA_KEY = "smidgen"
_FORMAT = 2
_EXPECTED = "an ONNX file that 'smidgen train' wrote"
# Of a network of two million learned numbers.
_MOST_BYTES = 8 * 2**20


@dataclass(frozen=True, kw_only=True)
class _Metadata:
    """`ModelInfo` as it stands in the file."""

    format: int
    spec: dict[str, Any]
    num_parameters: int
    budget: int
    origin: Origin
    scales: Scales
    recipe: Recipe | None
    best_epoch: int
    ending: str
    judged: Judged | None


def describe_model(info: ModelInfo) -> dict[str, Any]:
    """What a model says about itself, as it stands in its file."""
    about = {**vars(info), "spec": spec_to_dict(info.spec)}
    return dict(to_plain(_Metadata(format=_FORMAT, num_parameters=info.spec.num_parameters, **about)))


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
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise SmidgenError(f"The learned tensor {name} holds NaN or infinity; the model was not written.")
    made = make_onnx(info.spec.network(), weights)
    made.metadata_props.add(key=METADATA_KEY, value=json.dumps(describe_model(info), sort_keys=True))
    return bytes(made.SerializeToString(deterministic=True))


def read_model(path: Path) -> tuple[ModelInfo, Weights]:
    """What a model file says about itself, and its learned tensors by name.

    Raises:
        FileError: missing, damaged, or not a model of ours; see `parse_model`.
    """
    return parse_model(read_content(path), str(path))


def parse_model(content: bytes, name: str) -> tuple[ModelInfo, Weights]:
    """What a model file says about itself, and its learned tensors by name.

    Nothing of the file is run or believed: besides its description it must be, byte for byte once it is parsed,
    the file that its own description and numbers make.

    Args:
        content: of the file.
        name: to call it by in errors.

    Raises:
        FileError: damaged, or not a model of ours.
    """
    try:
        found = onnx_format.parse(content)
        if not content:
            raise FileError(f"{name} is empty", expected=_EXPECTED)
        texts = [entry.value for entry in found.metadata_props if entry.key == METADATA_KEY]
        if not texts:
            raise FileError(f"{name} is an ONNX file, but not a Smidgen model", expected=_EXPECTED)
        info, num_parameters = _read_metadata(texts[-1], name)
        learned = [tensor for tensor in found.graph.initializer if tensor.name.startswith(LEARNED)]
        weights = {tensor.name.removeprefix(LEARNED): onnx_format.read_floats(tensor) for tensor in learned}
    except FileError:
        raise
    except (ValueError, TypeError) as error:  # a text that is no Unicode is bytes
        raise FileError(f"{name} cannot be read as a model ({error})", expected=_EXPECTED) from None
    # The count is a formula, so an absurd description ends here, before its layers are made.
    count = sum(weight.size for weight in weights.values())
    if not info.spec.num_parameters == num_parameters == count:
        raise FileError(f"{name} does not hold the learned tensors that it describes")
    network = info.spec.network()
    if {weight.name: weight.shape for weight in network.weights} != {key: w.shape for key, w in weights.items()}:
        raise FileError(f"{name} does not hold the learned tensors that it describes")
    if not all(np.isfinite(weight).all() for weight in weights.values()):
        raise FileError(f"{name} holds learned numbers that are NaN or infinite")
    del found.metadata_props[:]
    made = make_onnx(network, weights)
    if found.SerializeToString(deterministic=True) != made.SerializeToString(deterministic=True):
        raise FileError(
            f"{name} holds a graph that does not match its description",
            expected=_EXPECTED,
            remedy="Use the version of Smidgen that wrote it",
        )
    return info, weights


def _read_metadata(text: str, name: str) -> tuple[ModelInfo, int]:
    """What a model says about itself, and how many learned numbers it claims to have."""
    try:
        content = json.loads(text)
        number = content["format"]
        if number == 1:
            content = _upgrade(content)
        elif number != _FORMAT:
            raise FileError(
                f"{name} has model format {number!r:.20}",
                expected=f"format 1 or {_FORMAT}",
                remedy="Use the version of Smidgen that wrote it, or a newer one",
            )
        found = from_plain(_Metadata, content)
        about = {key: value for key, value in vars(found).items() if key not in ("format", "num_parameters")}
        return ModelInfo(**about | {"spec": spec_from_dict(found.spec)}), found.num_parameters
    except FileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, InputError) as error:
        raise FileError(f"{name} has a description that cannot be read ({error})") from None


def _upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """Metadata of format 1 in the form of format 2."""
    origin, recipe = dict(content["dataset"]), dict(content["training"])
    noisy, clean = (Scale(*content[key]) for key in ("noisy_range", "clean_range"))
    x = origin.get("found", {}).get("X")
    seen = noisy.widen(x["low"], x["high"]) if x else noisy
    judged = copy.deepcopy(content["scores"]) or None
    # Of the intervals format 1 kept the ends, not the number of images.
    legibility = (judged["scores"].get("legibility") or {}) if judged else {}
    for interval in legibility.values():
        interval["n"] = content["scores"]["n"]
    return content | {
        "origin": origin,
        "scales": to_plain(Scales(noisy, clean, seen)),
        "best_epoch": recipe.get("best_epoch", 0),
        "ending": recipe.get("ending", ""),
        "recipe": recipe or None,
        "judged": judged,
    }


def read_content(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        FileError: it cannot be read, or is larger than any model.
    """
    return read_file(path, _MOST_BYTES)
