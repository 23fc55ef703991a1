"""How torch writes tensors into pickles and its own files, turned back into arrays without calling its code.

A tensor is a view, of some sizes and strides, of a storage: a flat row of numbers. Pickles hold each storage as bytes
in the form of torch before 1.6; files of torch.save hold it beside their pickle, where a persistent id asks for it. On
which device a tensor lay does not matter.
"""

import math
import re
from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError
from smidgen.pickles.parts import Made, Meter, Named

MOST_DIMENSIONS = 32
# What a storage's numbers are; those of bfloat16 are the upper halves of float32.
_STORAGES = {"BoolStorage": "b1", "ByteStorage": "u1", "CharStorage": "i1", "ShortStorage": "<i2", "IntStorage": "<i4",
             "LongStorage": "<i8", "HalfStorage": "<f2", "FloatStorage": "<f4", "DoubleStorage": "<f8",
             "BFloat16Storage": "bfloat16", "UntypedStorage": "u1"}  # fmt: skip
# What only later versions know has no storage of its own.
_UNTYPED = {"uint16": "<u2", "uint32": "<u4", "uint64": "<u8"}
TENSOR_NAMES = frozenset(
    {f"torch.{name}" for name in (*_STORAGES, *_UNTYPED)}
    | {"torch.storage.UntypedStorage", "torch.storage._load_from_bytes", "torch.utils.data.dataset.TensorDataset"}
    | {f"torch._utils.{name}" for name in ("_rebuild_parameter", "_rebuild_tensor_v2", "_rebuild_tensor_v3")}
)
OLD_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
# Five pickles one after the other, always in these words: a magic number, a version, sizes of types, the storage,
# and the list of its key. Then follow its length and its numbers.
_STORAGE = re.compile(
    re.escape(OLD_START)
    + rb"\x80\x02}q\x00\(X\x10\0\0\0protocol_versionq\x01M\xe9\x03X\r\0\0\0little_endianq\x02\x88X\n\0\0\0type_sizesq"
    rb"\x03}q\x04\(X\x05\0\0\0shortq\x05K\x02X\x03\0\0\0intq\x06K\x04X\x04\0\0\0longq\x07K\x04uu\."
    rb"\x80\x02\(X\x07\0\0\0storageq\x00ctorch(?:\.storage)?\n(?P<kind>\w{1,30})\nq\x01X.\0\0\0(?P<key>\d{1,30})q\x02"
    rb"X.\0\0\0[a-z0-9:]{1,30}q\x03(?:K.|M..|J....|\x8a\x05.....)Ntq\x04Q\."
    rb"\x80\x02]q\x00X.\0\0\0(?P=key)q\x01a\.(?P<length>.{8})",
    re.DOTALL,
)
_A_TENSOR = 512  # bytes, for the time that one takes


def are_sizes(values: object) -> TypeGuard[tuple[int, ...]]:
    """Whether these are sizes or numbers of axes; whatever else may stand there can take for ever to compare."""
    if not isinstance(values, tuple) or len(values) > MOST_DIMENSIONS:
        return False
    return all(type(value) is int and value >= 0 for value in values)


def read_storage(made: Made, meter: Meter) -> NDArray[Any]:
    """`torch.storage._load_from_bytes`: the numbers `(n,)` of a storage written into a pickle."""
    match made.args:
        case (bytes() as content,):
            found = _STORAGE.match(content)
            if found is not None and (kind := _STORAGES.get(found["kind"].decode())) is not None:
                length = int.from_bytes(found["length"], "little")
                return _numbers(memoryview(content)[found.end() :], kind, length, meter)
    raise FileError("the pickle holds a torch storage that is damaged or of an unknown form", expected="dense tensors")


def find_storage(identity: object, records: Callable[[str], bytes], meter: Meter) -> NDArray[Any]:
    """What a persistent id of torch.save stands for: the numbers `(n,)` of a storage that lies beside the pickle."""
    match identity:
        case ("storage", Named(kind=name), str() as key, str(), int() as length) if name in _STORAGES:
            return _numbers(memoryview(records(key)), _STORAGES[name], length, meter)
    raise FileError("it asks for a torch storage of an unknown form", expected="dense tensors")


def _numbers(content: memoryview, kind: str, length: int, meter: Meter) -> NDArray[Any]:
    meter.take(_A_TENSOR)
    size = length * (2 if kind == "bfloat16" else np.dtype(kind).itemsize)
    if len(content) != size or length < 0:
        raise FileError(
            f"it holds a torch storage of {length:,} numbers in {len(content):,} bytes", expected=f"{size:,} bytes"
        )
    if kind != "bfloat16":
        return np.frombuffer(content, kind) if size else np.empty(0, kind)
    meter.take(2 * size)
    return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4") if size else np.empty(0, "<f4")


def read_tensor(made: Made, meter: Meter) -> NDArray[Any]:
    """`torch._utils._rebuild_tensor_v2` and `_v3`: a view of a storage, of which each number must lie within it."""
    match made.args:
        case (np.ndarray(ndim=1) as storage, int() as offset, sizes, strides, *more) if (
            storage.flags.c_contiguous
            and offset >= 0
            and are_sizes(sizes)
            and are_sizes(strides)
            and len(sizes) == len(strides)
        ):
            if made.kind == "_rebuild_tensor_v3":
                storage = _typed(storage, more)
            meter.take(_A_TENSOR)
            if 0 in sizes:
                return np.empty(0, storage.dtype).reshape(sizes)
            reach = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
            if reach >= len(storage):
                raise FileError(
                    f"it holds a tensor that reaches number {reach:,} of a storage of {len(storage):,}",
                    expected="each number within the storage",
                )
            # Strides of zero, and those that overlap, make much of little.
            meter.take(math.prod(sizes) * storage.itemsize)
            steps = [stride * storage.itemsize for stride in strides]
            return np.ndarray(sizes, storage.dtype, storage.data, offset * storage.itemsize, steps)
    raise FileError("it holds a torch tensor of an unknown form", expected="dense tensors")


def _typed(storage: NDArray[Any], more: list[Any]) -> NDArray[Any]:
    """The bytes of an untyped storage as the numbers that the tensor names."""
    match more:
        case [_, _, Named(kind=name), *_] if name in _UNTYPED and storage.dtype == np.uint8:
            dtype = np.dtype(_UNTYPED[name])
            return storage[: len(storage) // dtype.itemsize * dtype.itemsize].view(dtype)
    raise FileError("it holds a torch tensor of an unknown type", expected="real numbers")


def read_parameter(made: Made, _: Meter) -> object:
    """`torch._utils._rebuild_parameter`: the tensor that it wraps."""
    return made.args[0] if made.args else made
