"""Reads those parts of an ONNX file that a model of ours has, without onnx, and refuses all others.

Source: onnx.proto and the protocol buffers' encoding, as documented. What is not named here (functions,
graphs within nodes, data in other files, strings, sparse tensors) ends with an error.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.model.graph import Node

Fields = dict[int, list[Any]]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# How a part is encoded, and whether it may come more than once. Another reader leaves out parts in another encoding
# and merges those that come twice, so that it would see another model than we do.
_NUMBER, _TEXT, _FLOAT, _NUMBERS, _TEXTS = (
    (frozenset({_VARINT}), False),
    (frozenset({_BYTES}), False),
    (frozenset({_FIXED32}), False),
    (frozenset({_VARINT, _BYTES}), True),
    (frozenset({_BYTES}), True),
)
Known = dict[int, tuple[frozenset[int], bool]]
_MODEL: Known = {
    1: _NUMBER, 2: _TEXT, 3: _TEXT, 4: _TEXT, 5: _NUMBER, 6: _TEXT, 7: _TEXT, 8: _TEXTS, 14: _TEXTS,
}  # fmt: skip
_OPERATORS: Known = {1: _TEXT, 2: _NUMBER}
_GRAPH: Known = {1: _TEXTS, 2: _TEXT, 5: _TEXTS, 10: _TEXT, 11: _TEXTS, 12: _TEXTS}
_NODE: Known = {1: _TEXTS, 2: _TEXTS, 3: _TEXT, 4: _TEXT, 5: _TEXTS, 6: _TEXT, 7: _TEXT}
_ATTRIBUTE: Known = {1: _TEXT, 2: _FLOAT, 3: _NUMBER, 4: _TEXT, 5: _TEXT, 8: _NUMBERS, 13: _TEXT, 20: _NUMBER}
_TENSOR: Known = {1: _NUMBERS, 2: _NUMBER, 4: _TEXTS, 7: _NUMBERS, 8: _TEXT, 9: _TEXT, 12: _TEXT}
_PAIR: Known = {1: _TEXT, 2: _TEXT}
_VALUE: Known = {1: _TEXT, 2: _TEXT, 3: _TEXT}
_TYPE: Known = {1: _TEXT}
_TENSOR_TYPE: Known = {1: _NUMBER, 2: _TEXT}
_SHAPE: Known = {1: _TEXTS}
_DIMENSION: Known = {1: _NUMBER, 2: _TEXT}
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 7: np.dtype("<i8")}
_MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class Value:
    """An input or output: its name, the number of its type (1 is float32), and its sizes or their names."""

    name: str
    type: int
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class OnnxFile:
    """What a model file holds."""

    opset: int
    nodes: tuple[Node, ...]
    tensors: dict[str, NDArray[Any]]
    inputs: tuple["Value", ...]
    outputs: tuple["Value", ...]
    metadata: dict[str, str] = field(default_factory=dict)


def read_onnx(content: bytes) -> OnnxFile:
    """Take an ONNX file apart.

    Raises:
        ValueError: damaged, or with parts that a model of ours does not have.
    """
    try:
        model = _fields(content, "the model", _MODEL)
        (opset,) = (_fields(part, "an operator set", _OPERATORS) for part in model[8])
        if _text(opset, 1):
            raise ValueError(f"operators of {_text(opset, 1)[:40]!r}")
        (graph_bytes,) = model[7]
        graph = _fields(graph_bytes, "the graph", _GRAPH)
        tensors = [_read_tensor(part) for part in graph.get(5, [])]
        if len({name for name, _ in tensors}) != len(tensors):
            raise ValueError("two tensors have one name")
        entries = (_fields(part, "metadata", _PAIR) for part in model.get(14, []))
        return OnnxFile(
            opset=_number(opset, 2),
            nodes=tuple(_read_node(part) for part in graph.get(1, [])),
            tensors=dict(tensors),
            inputs=tuple(map(_read_value, graph.get(11, []))),
            outputs=tuple(map(_read_value, graph.get(12, []))),
            metadata={_text(entry, 1): _text(entry, 2) for entry in entries},
        )
    except (KeyError, IndexError, TypeError, OverflowError, struct.error) as error:
        raise ValueError(f"not an ONNX file, or damaged: {type(error).__name__}") from None


def _read_value(content: bytes) -> Value:
    value = _fields(content, "an input or output", _VALUE)
    (kind,) = _fields(value[2][0], "a type", _TYPE)[1]
    tensor = _fields(kind, "a tensor type", _TENSOR_TYPE)
    dimensions = (_fields(part, "a size", _DIMENSION) for part in _fields(tensor[2][0], "a shape", _SHAPE).get(1, []))
    shape = tuple(_number(each, 1) if 1 in each else _text(each, 2) for each in dimensions)
    return Value(_text(value, 1), _number(tensor, 1), shape)


def _read_node(content: bytes) -> Node:
    node = _fields(content, "a node", _NODE)
    if _text(node, 7):
        raise ValueError(f"an operator of {_text(node, 7)[:40]!r}")
    (output,) = node[2]
    return Node(
        op=_text(node, 4),
        inputs=tuple(_bytes(part).decode() for part in node.get(1, [])),
        output=_bytes(output).decode(),
        attributes=dict(_read_attribute(part) for part in node.get(5, [])),
    )


def _read_attribute(content: bytes) -> tuple[str, Any]:
    attribute = _fields(content, "an attribute", _ATTRIBUTE)
    name, kind = _text(attribute, 1), _number(attribute, 20)
    if len(attribute.keys() & {2, 3, 4, 5, 8}) > 1:
        raise ValueError(f"an attribute {name[:40]!r} with several values")
    match kind:
        case 1:
            return name, struct.unpack("<f", attribute[2][-1])[0]
        case 2:
            return name, _signed(_number(attribute, 3))
        case 3:
            return name, _text(attribute, 4)
        case 4:
            return name, _read_tensor(attribute[5][-1])[1]
        case 7:
            return name, _whole_numbers(attribute.get(8, []))
        case _:
            raise ValueError(f"an attribute {name[:40]!r} of kind {kind}")


def _read_tensor(content: bytes) -> tuple[str, NDArray[Any]]:
    tensor = _fields(content, "a tensor", _TENSOR)
    name, kind = _text(tensor, 8), _TYPES.get(_number(tensor, 2))
    if kind is None:
        raise ValueError(f"the tensor {name[:40]!r} is of another type than float32 and int64")
    if len(tensor.keys() & {4, 7, 9}) > 1:
        raise ValueError(f"the tensor {name[:40]!r} holds its values twice")
    shape = _whole_numbers(tensor.get(1, []))
    if len(shape) > _MOST_DIMENSIONS or any(size < 0 for size in shape):
        raise ValueError(f"the tensor {name[:40]!r} has the shape {shape[:8]}")
    if 9 in tensor:
        values = np.frombuffer(_bytes(tensor[9][-1]), kind)
    elif kind == _TYPES[1]:
        values = np.frombuffer(b"".join(map(_bytes, tensor.get(4, []))), kind)
    else:
        values = np.array(_whole_numbers(tensor.get(7, [])), kind)
    size = 1
    for side in shape:
        size *= side
    if size != values.size:
        raise ValueError(f"the tensor {name[:40]!r} holds {values.size} values for the shape {shape}")
    return name, values.reshape(shape)


def _fields(content: Any, what: str, known: Known) -> Fields:
    """Field number -> values in order: whole numbers, or bytes for all else."""
    found: Fields = {}
    for number, kind, value in _walk(_bytes(content)):
        kinds, repeated = known.get(number, (frozenset(), False))
        if kind not in kinds or (number in found and not repeated):
            raise ValueError(f"{what} has a part {number} that models of ours do not have, or not so")
        found.setdefault(number, []).append(value)
    return found


def _walk(content: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, encoding and value of each part."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(content, place)
            yield number, kind, value
            continue
        if kind == _BYTES:
            size, place = _varint(content, place)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"not an ONNX file, or damaged: encoding {kind}")
        if place + size > len(content):
            raise ValueError("it ends too early")
        yield number, kind, content[place : place + size]
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("not an ONNX file, or damaged: an endless number")


def _whole_numbers(values: list[Any]) -> list[int]:
    """Repeated whole numbers, one by one or packed."""
    numbers: list[int] = []
    for value in values:
        if isinstance(value, int):
            numbers.append(_signed(value))
            continue
        place = 0
        while place < len(value):
            number, place = _varint(value, place)
            numbers.append(_signed(number))
    return numbers


def _signed(value: int) -> int:
    """A whole number from its 64-bit two's complement."""
    return value - 2**64 if value >= 2**63 else value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("not an ONNX file, or damaged: a number in the place of a text")
    return value


def _text(fields: Fields, number: int) -> str:
    return _bytes(fields[number][-1]).decode() if number in fields else ""


def _number(fields: Fields, number: int) -> int:
    value = fields[number][-1]
    if not isinstance(value, int):
        raise ValueError("not an ONNX file, or damaged: a text in the place of a number")
    return value
