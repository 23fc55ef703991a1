"""The names that pickles of arrays may ask for, and how numpy writes arrays, turned back into arrays.

None of numpy's own code for pickles is called. Forms read: `__reduce__`, that of protocol 5, and what Python 2 wrote.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from smidgen.errors import FileError
from smidgen.pickles.parts import Made, Meter, Named, set_items
from smidgen.pickles.tables import read_arrow_text, read_categories, read_index, read_nullable, read_table
from smidgen.pickles.tensors import TENSOR_NAMES, are_sizes, read_parameter, read_storage, read_tensor

_ALLOWED = frozenset(
    {
        "_codecs.encode",
        "collections.OrderedDict",
        "copy_reg._reconstructor",
        "copyreg._reconstructor",
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "numpy.dtype",
        "numpy.memmap",
        "numpy.ndarray",
    }
    | {f"{home}.{name}" for home in ("builtins", "__builtin__") for name in
       ("bytearray", "bytes", "int", "object", "slice", "str")}
    | TENSOR_NAMES
    | {f"numpy.{core}.{name}" for core in ("core", "_core") for name in
       ("memmap.memmap", "multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")}
)  # fmt: skip
# Tables are made of many parts, most of which hold no pixel. Nothing is imported for any of them.
_LONGEST_NAME = 120
_PARTS_OF_TABLES = re.compile(rf"(pandas|pyarrow)\.[A-Za-z0-9_.]{{1,{_LONGEST_NAME}}}")
_ELEMENTS = re.compile(r"b1|[iu][1248]|f[248]|[US][1-9]\d{0,3}|O[48]?")
_NUMBERS = {bool, float, int}
_AN_ITEM = 64  # bytes, about what Python takes for one


def allow(name: str) -> Named:
    """A name that pickles of arrays ask for.

    Raises:
        FileError: it is none of those.
    """
    if name in _ALLOWED or _PARTS_OF_TABLES.fullmatch(name):
        return Named(name)
    # Nothing that would break out of the line it stands in.
    shown = "".join(letter if letter.isprintable() else "?" for letter in name[:_LONGEST_NAME])
    raise FileError(
        f"the pickle asks for '{shown}', which is not on the list of harmless names",
        expected="numpy arrays, torch tensors, pandas tables, lists, tuples and dicts of them",
        remedy="Nothing of it was run. If you trust its author, load it yourself and save X and y with numpy.savez",
    )


def call(named: Named, args: tuple[Any, ...], meter: Meter) -> object:
    """What calling an allowed name would give: an array, a number, bytes, or a record of the call."""
    made = Made(named, args)
    read = _CALLS.get(made.kind)
    return made if read is None else read(made, meter)


def build(made: Made, state: Any, meter: Meter) -> object:
    """What an object is once it has its state: an array, a list, or a record of both."""
    made.state = state
    match made.kind, state:
        case "_reconstruct", (_, shape, dtype, fortran, data):
            return make_array(made, data, dtype, shape, "F" if fortran else "C", meter)
        case "dtype", tuple():
            return _number_type(made)
        case "TensorDataset", {"tensors": tuple() as tensors}:
            return tensors
        case "DataFrame" | "Series", {"_mgr": Made() as manager} | {"_data": Made() as manager}:
            return read_table(manager, made.kind == "Series", meter)
        case "Categorical", {"_codes": codes, "_dtype": Made(state={"categories": categories})}:
            return read_categories(codes, categories, meter)  # pandas before 1.3
        case "__pyx_unpickle_NDArrayBacked", (Made(state={"categories": categories}), codes, *_):
            return read_categories(codes, categories, meter)
        case "__pyx_unpickle_NDArrayBacked", (_, (np.ndarray() | list()) as values, *_):
            return values  # text
        case _, {"_data": np.ndarray() as values, "_mask": np.ndarray() as mask}:
            return read_nullable(values, mask, meter)
        case _, {"_pa_array": list() as values}:
            return values
    return made


def explain(value: object) -> FileError:
    """Why something in a pickle is neither an array nor made of arrays."""
    match value:
        case (
            Made(kind="_reconstruct", state=(_, _, Made(args=(str() as code, *_)), *_))
            | Made(kind="_frombuffer", args=(_, Made(args=(str() as code, *_)), *_))
        ):
            return FileError(f"the pickle holds an array of type {code[:20]!r}", expected="numbers")
        case Made() | Named():
            return FileError(f"the pickle holds an object ({value.name}) that is neither an array nor a table")
    return FileError(f"the pickle holds an object ({type(value).__name__}) that is neither an array nor a table")


def _encode(made: Made, meter: Meter) -> bytes:
    """`_codecs.encode`, by which protocols 0 to 2 write bytes, and `bytes` and `bytearray`."""
    match made.args:
        case ():
            return b""
        case (bytes() as content,):
            return content
        case (str() as text, "latin1" | "latin-1"):
            return _latin1(text, meter)
    raise FileError("the pickle holds bytes in an unknown encoding")


def _latin1(text: str, meter: Meter) -> bytes:
    meter.take(len(text))
    return text.encode("latin1")


def _without_init(made: Made, _: Meter) -> Made:
    """`copyreg._reconstructor`, by which protocols 0 and 1 make objects."""
    match made.args:
        case (Named() as named, *_):
            return Made(named, ())
    raise FileError("the pickle holds an object made in an unusual way")


def _ordered(made: Made, meter: Meter) -> dict[Any, Any]:
    """`collections.OrderedDict`; Python 2 handed it its items as a list of lists."""
    items = made.args[0] if made.args else []
    content: dict[Any, Any] = {}
    if not isinstance(items, (list, tuple)):
        raise FileError("the pickle holds a dict whose items cannot be read")
    meter.take(_AN_ITEM * len(items))
    for item in items:
        match item:
            case [key, value]:
                set_items(content, [key], [value])
    return content


def _from_buffer(made: Made, meter: Meter) -> object:
    """`numpy._core.numeric._frombuffer`, the form of protocol 5; transposed arrays name their axes since numpy 2.3."""
    match made.args:
        case (data, dtype, shape, "K", tuple() as axes):
            array = make_array(made, data, dtype, shape, "C", meter)
            if not isinstance(array, np.ndarray):
                return array
            if not are_sizes(axes) or sorted(axes) != list(range(array.ndim)):
                raise FileError("the pickle holds an array whose axes are mixed up")
            return array.transpose(axes)
        case (data, dtype, shape, "C" | "F" as order, *_):
            return make_array(made, data, dtype, shape, order, meter)
    return made


def _scalar(made: Made, meter: Meter) -> object:
    """`numpy._core.multiarray.scalar`."""
    match made.args:
        case (np.dtype() as dtype, data):
            number = make_array(made, data, dtype, (), "C", meter)
            if isinstance(number, np.ndarray):
                meter.take(number.nbytes)
                return number.item()
    return made


def make_array(made: Made, data: object, dtype: object, shape: object, order: str, meter: Meter) -> object:
    """An array from raw bytes, or a list of whatever an array of objects held."""
    if not isinstance(dtype, np.dtype):
        return made  # of dates, say, as an index may be; whoever needs it refuses it
    if not are_sizes(shape):
        raise FileError("the pickle holds an array of unknown shape")
    if dtype.hasobject:
        return _objects(data, shape, meter)
    if isinstance(data, str):
        data = _latin1(data, meter)  # Python 2 knew no difference
    if not isinstance(data, bytes):
        raise FileError("the pickle holds an array whose numbers are not stored as bytes")
    size = math.prod(shape) * dtype.itemsize
    if size != len(data):
        raise FileError(f"the pickle holds an array of shape {shape} with {len(data)} bytes", expected=f"{size} bytes")
    array = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    array = array.reshape(shape, order="F" if order == "F" else "C")
    if dtype.isnative:
        return array
    meter.take(size)
    return array.astype(dtype.newbyteorder("="))


def _objects(data: object, shape: tuple[int, ...], meter: Meter) -> object:
    """A list of whatever there was, row by row whatever the order in memory; numbers in several dimensions as array."""
    if not isinstance(data, list) or len(data) != math.prod(shape):
        raise FileError("the pickle holds an array of objects that cannot be read")
    if len(shape) == 1:
        return data
    meter.take(8 * len(data))
    if not set(map(type, data)) <= _NUMBERS:
        return data
    return np.array(data).reshape(shape)


def _number_type(made: Made) -> object:
    """The type of an array's elements: numbers, texts or objects; others stay a record."""
    code = made.args[0] if made.args else None
    order = made.state[1] if len(made.state) > 1 else "="
    if not isinstance(code, str) or not isinstance(order, str):
        return made
    if not _ELEMENTS.fullmatch(code) or order not in ("<", ">", "=", "|"):
        return made
    return np.dtype(object) if code.startswith("O") else np.dtype(("=" if order == "|" else order) + code)


_CALLS: dict[str, Callable[[Made, Meter], object]] = {
    "OrderedDict": _ordered,
    "_frombuffer": _from_buffer,
    "_load_from_bytes": read_storage,
    "_new_Index": read_index,
    "_rebuild_parameter": read_parameter,
    "_rebuild_tensor_v2": read_tensor,
    "_rebuild_tensor_v3": read_tensor,
    "_reconstructor": _without_init,
    "_restore_array": read_arrow_text,
    "bytearray": _encode,
    "bytes": _encode,
    "encode": _encode,
    "py_buffer": _encode,
    "scalar": _scalar,
}
