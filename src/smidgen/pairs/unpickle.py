"""Read arrays out of a pickle without running anything that is in it.

Every global name a pickle may mention is mapped to an inert stand-in of ours: neither numpy nor
pandas is called while the pickle is read, and a name that is not listed ends the reading. The
stand-ins are turned into plain arrays afterwards, when shapes and sizes can be checked.
Formats read: numpy's `__reduce__` and protocol-5 forms, pandas' block manager since 1.1.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError

_NUMBER_KINDS = "biuf"
_MOST_NESTING = 32


class _StandIn:
    """An object the pickle wants made: keeps what it was made from and does nothing."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: object) -> "_StandIn":
        """Pickles make objects with or without a call of the class; this serves both."""
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Dtype(_StandIn):
    def resolve(self) -> "np.dtype[Any]":
        code = self.args[0] if self.args else None
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        if not isinstance(code, str) or order not in ("<", ">", "=", "|"):
            raise FileError(f"the pickle holds an array of an unusual type ({code!r})")
        if code == "O8" or code == "O":
            return np.dtype(object)
        if code[:1] not in _NUMBER_KINDS or not code[1:].isdigit() or len(code) > 3:
            raise FileError(f"the pickle holds an array of type {code!r}", expected="numbers")
        try:
            return np.dtype(code).newbyteorder("=" if order == "|" else order)  # type: ignore[arg-type]
        except TypeError as error:
            raise FileError(f"the pickle holds an array of type {code!r}", expected="numbers") from error


class _Array(_StandIn):
    """`numpy._core.multiarray._reconstruct` and the state that follows it."""

    def resolve(self, depth: int) -> object:
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise FileError("the pickle holds an array with no content")
        _, shape, dtype, fortran, data = self.state
        return _build(data, dtype, shape, "F" if fortran else "C", depth)


class _Buffer(_StandIn):
    """`numpy._core.numeric._frombuffer`, the form of protocol 5."""

    def resolve(self, depth: int) -> object:
        if len(self.args) != 4:
            raise FileError("the pickle holds an array that cannot be read")
        data, dtype, shape, order = self.args
        return _build(data, dtype, shape, order, depth)


class _Scalar(_StandIn):
    """`numpy._core.multiarray.scalar`."""

    def resolve(self, depth: int) -> object:
        if len(self.args) != 2:
            raise FileError("the pickle holds a number that cannot be read")
        value = _build(self.args[1], self.args[0], (), "C", depth)
        return value.item() if isinstance(value, np.ndarray) else value


class _Block(_StandIn):
    """`pandas._libs.internals._unpickle_block`: values, placement, ndim."""


class _Manager(_StandIn):
    """`pandas.core.internals.managers.BlockManager` or `SingleBlockManager`."""

    def resolve(self, depth: int) -> NDArray[Any]:
        """The frame's values, one row a row: (rows, columns), or (rows,) of a series."""
        blocks: list[tuple[object, object]] = []
        if self.args and isinstance(self.args[0], (tuple, list)):
            blocks = [(b.args[0], b.args[1]) for b in self.args[0] if isinstance(b, _Block) and len(b.args) == 3]
        elif isinstance(self.state, tuple) and self.state and isinstance(self.state[-1], dict):
            # pandas before 1.3, and single-block managers: (…, {"0.14.1": {"axes", "blocks"}})
            inner = self.state[-1].get("0.14.1")
            listed = inner.get("blocks", []) if isinstance(inner, dict) else []
            blocks = [(b.get("values"), b.get("mgr_locs")) for b in listed if isinstance(b, dict)]
        if not blocks:
            raise FileError("the pickle holds a table whose layout is not known", remedy="Save it as .npz instead")
        parts = []
        for values, placement in blocks:
            array = _resolve(values, depth + 1)
            if not isinstance(array, np.ndarray) or array.dtype == object:
                raise FileError("the pickle holds a table with columns that are not numbers")
            parts.append((array, placement))
        if parts[0][0].ndim == 1:
            return parts[0][0]
        columns = sum(array.shape[0] for array, _ in parts)
        table = np.empty((parts[0][0].shape[1], columns), np.result_type(*(array for array, _ in parts)))
        for array, placement in parts:
            table[:, _columns(placement, columns, depth)] = array.T
        return table


class _Frame(_StandIn):
    """`pandas.DataFrame` or `pandas.Series`."""

    def resolve(self, depth: int) -> object:
        state = self.state
        manager = self.args[0] if self.args else None
        if isinstance(state, dict):
            manager = state.get("_mgr", state.get("_data"))
        return _resolve(manager, depth + 1)


class _Ignored(_StandIn):
    """Indexes and other parts of a table that hold no pixel."""

    def __setitem__(self, key: object, value: object) -> None:
        """Dictionaries of a special class set items; they are not needed."""


class _Slice(_StandIn):
    pass


def _encode(*args: object) -> bytes:
    """`_codecs.encode`, by which protocols 0 to 2 write bytes."""
    if len(args) == 2 and isinstance(args[0], str) and args[1] == "latin1":
        return args[0].encode("latin1")
    raise pickle.UnpicklingError("bytes in an unknown encoding")


def _bytes(*args: object) -> bytes:
    if not args:
        return b""
    raise pickle.UnpicklingError("bytes made in an unusual way")


def _reconstructor(*args: object) -> _StandIn:
    """`copyreg._reconstructor`, by which protocols 0 and 1 make objects."""
    if args and isinstance(args[0], type) and issubclass(args[0], _StandIn):
        return args[0]()
    raise pickle.UnpicklingError("an object made in an unusual way")


def _ordered(*args: object) -> dict[Any, Any]:
    return {}


_ALLOWED: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _Ignored,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    "builtins.bytes": _bytes,
    "__builtin__.bytes": _bytes,
    "copy_reg._reconstructor": _reconstructor,
    "copyreg._reconstructor": _reconstructor,
    "builtins.slice": _Slice,
    "__builtin__.slice": _Slice,
    "collections.OrderedDict": _ordered,
    "pandas.core.frame.DataFrame": _Frame,
    "pandas.core.series.Series": _Frame,
    "pandas.core.internals.managers.BlockManager": _Manager,
    "pandas.core.internals.managers.SingleBlockManager": _Manager,
    "pandas._libs.internals._unpickle_block": _Block,
    "pandas.DataFrame": _Frame,
    "pandas.Series": _Frame,
} | {
    f"numpy.{core}.{name}": stand_in
    for core in ("core", "_core")
    for name, stand_in in {
        "multiarray._reconstruct": _Array,
        "multiarray.scalar": _Scalar,
        "numeric._frombuffer": _Buffer,
    }.items()
}
# Parts of a table's row and column names: noted as inert stand-ins, nothing is imported for them.
_IGNORED_PREFIXES = ("pandas.", "pyarrow.")
_IGNORED = {f"{home}.{name}" for home in ("builtins", "__builtin__") for name in ("str", "int", "object")}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in _ALLOWED:
            return _ALLOWED[full]
        if full in _IGNORED or full.startswith(_IGNORED_PREFIXES):
            return _Ignored
        raise FileError(
            f"the pickle asks for '{full}', which is not on the list of harmless names",
            expected="numpy arrays, pandas tables, lists, tuples and dicts of them",
            remedy="Nothing of it was run. If you trust its author, load it yourself and save X and y with numpy.savez",
        )


def read_pickle(path: Path) -> object:
    """The content of a pickle as arrays, tuples, lists, dicts, strings and numbers.

    Raises:
        FileError: not a pickle, truncated, or it names something that is not allowed.
    """
    content = path.read_bytes()
    try:
        _check_sizes(content)
        return _resolve(_Reader(io.BytesIO(content)).load(), 0)
    except FileError as error:
        raise FileError(f"{path}: {error}") from None
    except MemoryError:
        raise FileError(f"{path}: the pickle promises more data than fits in memory") from None
    except Exception as error:  # the unpickler raises nearly anything on damaged input
        raise FileError(
            f"{path} cannot be read as a pickle ({type(error).__name__}: {str(error)[:80]})",
            expected="a pickle of (X, y), (X, y, labels) or a dict of them",
        ) from None


def _check_sizes(content: bytes) -> None:
    """Refuse a pickle that stores more memo slots or longer pieces than it has bytes.

    The unpickler allocates what an opcode promises before it looks for the data.
    """
    stream = io.BytesIO(content)
    for opcode, argument, _ in pickletools.genops(stream):
        if "PUT" in opcode.name and isinstance(argument, int) and argument > len(content):
            raise FileError("the pickle is damaged: it refers far past its own size")


def _build(data: object, dtype: object, shape: object, order: object, depth: int) -> object:
    """An array from raw bytes, or a list of whatever an object array held."""
    if isinstance(dtype, _Dtype):
        kind = dtype.resolve()
    else:
        raise FileError("the pickle holds an array of unknown type")
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise FileError("the pickle holds an array of unknown shape")
    if kind == np.dtype(object):
        if not isinstance(data, list):
            raise FileError("the pickle holds an array of objects that cannot be read")
        return [_resolve(item, depth + 1) for item in data]
    if not isinstance(data, (bytes, bytearray)):
        raise FileError("the pickle holds an array whose numbers are not stored as bytes")
    size = kind.itemsize
    for n in shape:
        size *= n
    if size != len(data):
        raise FileError(f"the pickle holds an array of shape {shape} with {len(data)} bytes", expected=f"{size} bytes")
    array = np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")
    return array.astype(kind.newbyteorder("="), copy=False)


def _columns(placement: object, columns: int, depth: int) -> NDArray[np.int64]:
    """Column numbers a block fills, from a slice or an array."""
    if isinstance(placement, _StandIn) and not isinstance(placement, _Slice) and placement.args:
        placement = placement.args[0]
    if isinstance(placement, _Slice):
        if not all(isinstance(a, int) or a is None for a in placement.args):
            raise FileError("the pickle holds a table whose columns cannot be placed")
        return np.arange(columns)[slice(*placement.args)]
    numbers = np.asarray(_resolve(placement, depth + 1))
    if numbers.dtype.kind not in "iu" or (numbers.size and (numbers.min() < 0 or numbers.max() >= columns)):
        raise FileError("the pickle holds a table whose columns cannot be placed")
    return numbers.astype(np.int64)


def _resolve(value: object, depth: int) -> Any:
    """Turn stand-ins into arrays, through containers."""
    if depth > _MOST_NESTING:
        raise FileError(f"the pickle is nested more than {_MOST_NESTING} deep")
    if isinstance(value, (_Array, _Buffer, _Scalar, _Manager, _Frame)):
        return value.resolve(depth)
    if isinstance(value, tuple):
        return tuple(_resolve(item, depth + 1) for item in value)
    if isinstance(value, list):
        return [_resolve(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {str(key): _resolve(item, depth + 1) for key, item in value.items()}
    if isinstance(value, _StandIn):
        raise FileError("the pickle holds an object that is neither an array nor a table")
    return value
