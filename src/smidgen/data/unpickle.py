"""Read arrays out of a pickle without running anything that is in it.

Every global name a pickle may mention is mapped to an inert stand-in of ours: neither numpy nor
pandas is called while the pickle is read, and a name that is not listed ends the reading. The
stand-ins are turned into plain arrays afterwards, when shapes and sizes can be checked.
Formats read: numpy's `__reduce__` and protocol-5 forms, pandas' block manager since 1.1.
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError

_MOST_NESTING = 32
_FRAME_HEAD = 9  # an opcode and eight bytes of length


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
    """`numpy.dtype`."""


class _Array(_StandIn):
    """`numpy._core.multiarray._reconstruct` and the state that follows it."""


class _Buffer(_StandIn):
    """`numpy._core.numeric._frombuffer`, the form of protocol 5."""


class _Scalar(_StandIn):
    """`numpy._core.multiarray.scalar`."""


class _Block(_StandIn):
    """`pandas._libs.internals._unpickle_block`: values, placement, ndim."""


class _Manager(_StandIn):
    """`pandas.core.internals.managers.BlockManager` or `SingleBlockManager`."""


class _Frame(_StandIn):
    """`pandas.DataFrame` or `pandas.Series`."""


class _Ignored(_StandIn):
    """Indexes and other parts of a table that hold no pixel."""

    def __setitem__(self, key: object, value: object) -> None:
        """Dictionaries of a special class set items; they are not needed."""


class _Slice(_StandIn):
    """`slice`."""


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
    try:
        content = path.read_bytes()
        _check_opcodes(content)
        value = _Resolver(len(content)).resolve(_Reader(io.BytesIO(content)).load(), 0)
        if _unfolded(value, {}) > _most_bytes(len(content)):
            raise FileError("the pickle unfolds to far more than itself: it uses the same parts again and again")
        return value
    except FileError as error:
        raise FileError(f"{path}: {error}") from None
    except MemoryError:
        raise FileError(f"{path}: the pickle promises more data than fits in memory") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror})") from None
    except Exception as error:  # the unpickler raises nearly anything on damaged input
        raise FileError(
            f"{path} cannot be read as a pickle ({type(error).__name__}: {str(error)[:80]})",
            expected="a pickle of (X, y), (X, y, labels) or a dict of them",
        ) from None


def _check_opcodes(content: bytes) -> None:
    """Refuse opcodes by which the unpickler would take more memory than the pickle's own size accounts for.

    It makes room up to any memo slot that is used. And where a frame ends within an opcode, it drops
    the rest of the frame and reads other opcodes than those looked at here.
    """
    in_frame, frame_end = False, 0
    for opcode, argument, position in pickletools.genops(io.BytesIO(content)):
        place = int(position or 0)
        if "PUT" in opcode.name and isinstance(argument, int) and argument > len(content):
            raise FileError("the pickle is damaged: it refers far past its own size")
        in_frame = in_frame and place != frame_end
        if in_frame and (place > frame_end or opcode.name == "FRAME"):
            raise FileError("the pickle is damaged: its frames do not fit its content")
        if opcode.name == "FRAME":
            in_frame, frame_end = True, place + _FRAME_HEAD + int(argument or 0)


def _most_bytes(content_size: int) -> int:
    """What an honest pickle becomes at most.

    A number takes at least a byte in the file and at most eight in an array, and an array may share its
    content with another one.
    """
    return 32 * content_size + 2**20


def _unfolded(value: object, known: dict[int, int]) -> int:
    """Bytes of all the arrays and numbers in a value, each counted as often as it is used."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if not isinstance(value, (list, tuple, dict)):
        return 8
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 8 + sum(_unfolded(part, known) for part in parts)
    return known[id(value)]


class _Resolver:
    """Turns stand-ins into arrays, through containers, each only once however often it is used."""

    def __init__(self, content_size: int) -> None:
        self._bytes_left = _most_bytes(content_size)
        self._done: dict[int, Any] = {}
        self._open: set[int] = set()

    def resolve(self, value: object, depth: int) -> Any:
        """The value with every stand-in in it replaced."""
        if not isinstance(value, (_StandIn, tuple, list, dict)):
            return value
        if depth > _MOST_NESTING or id(value) in self._open:
            raise FileError(f"the pickle is nested more than {_MOST_NESTING} deep")
        if id(value) not in self._done:
            self._open.add(id(value))
            self._done[id(value)] = self._resolve(value, depth)
            self._open.remove(id(value))
        return self._done[id(value)]

    def _resolve(self, value: Any, depth: int) -> Any:
        match value:
            case tuple():
                return tuple(self.resolve(item, depth + 1) for item in value)
            case list():
                return [self.resolve(item, depth + 1) for item in value]
            case dict():
                return {str(key): self.resolve(item, depth + 1) for key, item in value.items()}
            case _Array(state=(_, shape, dtype, fortran, data)):
                return self._array(data, dtype, shape, "F" if fortran else "C", depth)
            case _Buffer(args=(data, dtype, shape, order)):
                return self._array(data, dtype, shape, order, depth)
            case _Scalar(args=(dtype, data)):
                number = self._array(data, dtype, (), "C", depth)
                return number.item() if isinstance(number, np.ndarray) else number
            case _Frame(state={"_mgr": manager}) | _Frame(state={"_data": manager}):
                return self.resolve(manager, depth + 1)
            case _Manager():
                return self._table(value, depth)
        raise FileError("the pickle holds an object that is neither an array nor a table")

    def _array(self, data: object, dtype: object, shape: object, order: object, depth: int) -> object:
        """An array from raw bytes, or a list of whatever an object array held."""
        kind = _number_type(dtype)
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise FileError("the pickle holds an array of unknown shape")
        if kind == np.dtype(object):
            if not isinstance(data, list):
                raise FileError("the pickle holds an array of objects that cannot be read")
            return self.resolve(data, depth + 1)
        if not isinstance(data, (bytes, bytearray)):
            raise FileError("the pickle holds an array whose numbers are not stored as bytes")
        size = math.prod(shape) * kind.itemsize
        if size != len(data):
            raise FileError(
                f"the pickle holds an array of shape {shape} with {len(data)} bytes", expected=f"{size} bytes"
            )
        array = np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")
        return array.astype(kind.newbyteorder("="), copy=False)

    def _table(self, manager: _Manager, depth: int) -> NDArray[Any]:
        """A frame's values, one row a row: (rows, columns), or (rows,) of a series."""
        blocks = _blocks(manager)
        parts = [(self.resolve(values, depth + 1), placement) for values, placement in blocks]
        if not all(isinstance(array, np.ndarray) and array.ndim in (1, 2) for array, _ in parts):
            raise FileError("the pickle holds a table with columns that are not numbers")
        if parts[0][0].ndim == 1:
            return np.asarray(parts[0][0])
        columns = sum(len(array) for array, _ in parts)
        rows = parts[0][0].shape[1]
        kind = np.result_type(*(array for array, _ in parts))
        self._bytes_left -= columns * rows * kind.itemsize
        if self._bytes_left < 0:
            raise FileError("the pickle promises tables far larger than itself")
        table = np.empty((rows, columns), kind)
        for array, placement in parts:
            table[:, self._columns(placement, columns, depth)] = array.T
        return table

    def _columns(self, placement: object, columns: int, depth: int) -> NDArray[np.int64]:
        """Column numbers a block fills, from a slice or an array."""
        if isinstance(placement, _Ignored) and placement.args:
            placement = placement.args[0]
        if isinstance(placement, _Slice):
            if not all(isinstance(a, int) or a is None for a in placement.args):
                raise FileError("the pickle holds a table whose columns cannot be placed")
            return np.arange(columns)[slice(*placement.args)]
        numbers = np.asarray(self.resolve(placement, depth + 1))
        if numbers.dtype.kind not in "iu" or (numbers.size and (numbers.min() < 0 or numbers.max() >= columns)):
            raise FileError("the pickle holds a table whose columns cannot be placed")
        return numbers.astype(np.int64)


def _number_type(dtype: object) -> "np.dtype[Any]":
    """The type of an array's elements: numbers, or objects."""
    code = dtype.args[0] if isinstance(dtype, _Dtype) and dtype.args else None
    state = dtype.state if isinstance(dtype, _Dtype) else None
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    if code in ("O", "O8"):
        return np.dtype(object)
    if not isinstance(code, str) or not re.fullmatch(r"[biuf]\d", code) or order not in ("<", ">", "=", "|"):
        raise FileError(f"the pickle holds an array of type {code!r}", expected="numbers")
    return np.dtype(("=" if order == "|" else order) + code)


def _blocks(manager: _Manager) -> list[tuple[object, object]]:
    """(values, placement) of each block of a table's columns of one type."""
    blocks: list[tuple[object, object]] = []
    if manager.args and isinstance(manager.args[0], (tuple, list)):
        blocks = [(b.args[0], b.args[1]) for b in manager.args[0] if isinstance(b, _Block) and len(b.args) == 3]
    elif isinstance(manager.state, tuple) and manager.state and isinstance(manager.state[-1], dict):
        # pandas before 1.3, and single-block managers: (…, {"0.14.1": {"axes", "blocks"}})
        inner = manager.state[-1].get("0.14.1")
        listed = inner.get("blocks", []) if isinstance(inner, dict) else []
        blocks = [(b.get("values"), b.get("mgr_locs")) for b in listed if isinstance(b, dict)]
    if not blocks:
        raise FileError("the pickle holds a table whose layout is not known", remedy="Save it as .npz instead")
    return blocks
