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

from smidgen.graph import Node

Fields = dict[int, list[Any]]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 7: np.dtype("<i8")}
_MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class OnnxFile:
    """What a model file holds."""

    opset: int
    nodes: tuple[Node, ...]
    tensors: dict[str, NDArray[Any]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)


def read_onnx(content: bytes) -> OnnxFile:
    """Take an ONNX file apart.

    Raises:
        ValueError: damaged, or with parts that a model of ours does not have.
    """
    try:
        model = _fields(content, "the model", {1, 2, 3, 4, 5, 6, 7, 8, 14})
        (opset,) = (_fields(part, "an operator set", {1, 2}) for part in model[8])
        if _text(opset, 1):
            raise ValueError(f"operators of {_text(opset, 1)[:40]!r}")
        (graph_bytes,) = model[7]
        graph = _fields(graph_bytes, "the graph", {1, 2, 5, 10, 11, 12})
        tensors = [_read_tensor(part) for part in graph.get(5, [])]
        if len({name for name, _ in tensors}) != len(tensors):
            raise ValueError("two tensors have one name")
        entries = (_fields(part, "metadata", {1, 2}) for part in model.get(14, []))
        return OnnxFile(
            opset=_number(opset, 2),
            nodes=tuple(_read_node(part) for part in graph.get(1, [])),
            tensors=dict(tensors),
            inputs=tuple(_text(_fields(part, "an input", {1, 2, 3}), 1) for part in graph.get(11, [])),
            outputs=tuple(_text(_fields(part, "an output", {1, 2, 3}), 1) for part in graph.get(12, [])),
            metadata={_text(entry, 1): _text(entry, 2) for entry in entries},
        )
    except (KeyError, IndexError, TypeError, OverflowError, struct.error) as error:
        raise ValueError(f"not an ONNX file, or damaged: {type(error).__name__}") from None


def _read_node(content: bytes) -> Node:
    node = _fields(content, "a node", {1, 2, 3, 4, 5, 6, 7})
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
    attribute = _fields(content, "an attribute", {1, 2, 3, 4, 5, 7, 8, 13, 20})
    name, kind = _text(attribute, 1), _number(attribute, 20)
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
    tensor = _fields(content, "a tensor", {1, 2, 4, 7, 8, 9, 12})
    name, kind = _text(tensor, 8), _TYPES.get(_number(tensor, 2))
    if kind is None:
        raise ValueError(f"the tensor {name[:40]!r} is of another type than float32 and int64")
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


def _fields(content: Any, what: str, known: set[int]) -> Fields:
    """Field number -> values in order: whole numbers, or bytes for all else."""
    found: Fields = {}
    for number, value in _walk(_bytes(content)):
        if number not in known:
            raise ValueError(f"{what} has a part {number} that models of ours do not have")
        found.setdefault(number, []).append(value)
    return found


def _walk(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(content, place)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _varint(content, place)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"not an ONNX file, or damaged: encoding {kind}")
        if place + size > len(content):
            raise ValueError("it ends too early")
        yield number, content[place : place + size]
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
