"""The messages of an ONNX file that models of ours have, and numbers in and out of them.

Source: onnx.proto of the ONNX project, by its field numbers. What is not named here (functions, graphs within
nodes, data in other files, sparse tensors) is kept by the parser as unknown, so that a file that has it is never
equal to one of ours.
"""

from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from numpy.typing import NDArray

FLOAT, INT64 = 1, 7  # of a tensor
_OF_ATTRIBUTES = {"f": 1, "i": 2, "s": 3, "t": 4, "ints": 7}
_Field = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "int32": _Field.TYPE_INT32, "int64": _Field.TYPE_INT64, "float": _Field.TYPE_FLOAT,
    "string": _Field.TYPE_STRING, "bytes": _Field.TYPE_BYTES,
}  # fmt: skip
# A field: its number, its type ("*": repeated, "+": repeated and packed) and its name.
_MESSAGES = {
    "Model": "1 int64 ir_version, 2 string producer_name, 3 string producer_version, 4 string domain, "
    "5 int64 model_version, 6 string doc_string, 7 Graph graph, 8 OperatorSet* opset_import, 14 Entry* metadata_props",
    "OperatorSet": "1 string domain, 2 int64 version",
    "Entry": "1 string key, 2 string value",
    "Graph": "1 Node* node, 2 string name, 5 Tensor* initializer, 10 string doc_string, 11 Value* input, "
    "12 Value* output",
    "Node": "1 string* input, 2 string* output, 3 string name, 4 string op_type, 5 Attribute* attribute, "
    "6 string doc_string, 7 string domain",
    "Attribute": "1 string name, 2 float f, 3 int64 i, 4 bytes s, 5 Tensor t, 8 int64* ints, 13 string doc_string, "
    "20 int32 type",
    "Tensor": "1 int64* dims, 2 int32 data_type, 4 float+ float_data, 7 int64+ int64_data, 8 string name, "
    "9 bytes raw_data, 12 string doc_string",
    "Value": "1 string name, 2 Type type, 3 string doc_string",
    "Type": "1 TensorType tensor_type, 6 string denotation",
    "TensorType": "1 int32 elem_type, 2 Shape shape",
    "Shape": "1 Dimension* dim",
    "Dimension": "1 int64 dim_value, 2 string dim_param, 3 string denotation",
}


def _declare() -> dict[str, type[Any]]:
    """The classes of the messages, in a pool of their own beside that of the onnx package."""
    file = descriptor_pb2.FileDescriptorProto(name="smidgen.onnx", package="smidgen", syntax="proto2")
    for name, fields in _MESSAGES.items():
        declared = file.message_type.add(name=name)
        for number, kind, field_name in (field.split() for field in fields.split(", ")):
            field = declared.field.add(name=field_name, number=int(number))
            field.label = _Field.LABEL_REPEATED if kind[-1] in "*+" else _Field.LABEL_OPTIONAL
            field.options.packed = kind.endswith("+")
            kind = kind.rstrip("*+")
            if kind in _KINDS:
                field.type = _KINDS[kind]
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".smidgen.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"smidgen.{name}")) for name in _MESSAGES}


_CLASSES = _declare()
Model, OperatorSet, Entry, Graph, Node, Attribute, Tensor, Value, Type, TensorType, Shape, Dimension = (
    _CLASSES[name] for name in _MESSAGES
)


def parse(content: bytes) -> Any:
    """The `Model` message of an ONNX file's content.

    Raises:
        ValueError: it is none.
    """
    try:
        return Model.FromString(content)
    except message.DecodeError:
        raise ValueError("not an ONNX file, or damaged") from None


def make_tensor(name: str, values: NDArray[Any]) -> Any:
    """A `Tensor` of float32 or int64 values."""
    kind = FLOAT if values.dtype == np.float32 else INT64
    return Tensor(name=name, dims=values.shape, data_type=kind, raw_data=np.ascontiguousarray(values).tobytes())


def read_floats(tensor: Any) -> NDArray[np.float32]:
    """The values of a `Tensor` of float32.

    Raises:
        ValueError: it holds something else, or another number of values than its shape says.
    """
    if tensor.data_type != FLOAT or any(size < 0 for size in tensor.dims):
        raise ValueError(f"the tensor {tensor.name[:40]!r} is not one of float32")
    return np.frombuffer(tensor.raw_data, "<f4").reshape(tuple(tensor.dims)).astype(np.float32)


def make_attribute(name: str, value: Any) -> Any:
    """An `Attribute` of a number, a word, whole numbers or an array."""
    match value:
        case float():
            given: dict[str, Any] = {"f": value}
        case int():
            given = {"i": value}
        case str():
            given = {"s": value.encode()}
        case np.ndarray():
            # Values as numbers, not bytes: so has every model that was ever written.
            given = {"t": Tensor(name=name, dims=value.shape, data_type=FLOAT, float_data=value.ravel().tolist())}
        case _:
            given = {"ints": value}
    return Attribute(name=name, type=_OF_ATTRIBUTES[next(iter(given))], **given)


def make_value(name: str, channels: int) -> Any:
    """A `Value`, an input or output: any number of float32 images of any size."""
    fields: list[dict[str, Any]] = [{"dim_param": "N"}, {"dim_value": channels}, {"dim_param": "H"}, {"dim_param": "W"}]
    shape = Shape(dim=[Dimension(**field) for field in fields])
    return Value(name=name, type=Type(tensor_type=TensorType(elem_type=FLOAT, shape=shape)))
