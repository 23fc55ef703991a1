"""Run a pickle's opcodes as plain data, under a meter: no name is looked up, nothing is imported or called.

A machine for those opcodes that pickles of arrays are made of, of protocols 0 to 5; all others are refused. What each
does is described in Python's `pickletools`, which also reads what follows it. Frames are passed over: they only say
how much to read at a time.
"""

import functools
import io
import math
import pickletools
import re
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from smidgen.errors import FileError
from smidgen.pickles.forms import allow, build, call, make_array
from smidgen.pickles.parts import USE_AN_ARRAY, Made, Meter, Named, set_items
from smidgen.pickles.tensors import are_sizes, find_storage

_HIGHEST_PROTOCOL = 5
_MOST_MARKS = 128
# Opcodes of honest pickles have eight bytes and more to them on average, or are few.
_FREE_STEPS, _BYTES_A_STEP = 3_000_000, 8
_FREE_ROWS = 2**26  # bytes of small numbers, which take four times as much as a list
_A_CALL = 2  # parts, on top of its result, for the time it takes
_SMALL_NUMBERS = re.compile(rb"(?:K.)++", re.DOTALL)  # possessive: nothing is kept to go back to
_ODD_ESCAPE = re.compile(rb"""\\(?!['"abfnrtv]|x[0-9a-fA-F]{2})""")
_CUT_OFF = "the pickle is cut off or damaged"


class Records(Protocol):
    """What lies beside a pickle, by keys."""

    def read(self, key: str) -> bytes:
        """A record; FileError where there is none."""


class Machine:
    """Holds what the opcodes work on: a stack, the stacks below its marks, and a memo.

    Methods are what opcodes do. They get what follows the opcode, None where nothing does.
    """

    def __init__(self, content: bytes, size: int, records: Records | None = None) -> None:
        """Get ready to run a pickle's content from its start.

        Args:
            content: the pickle.
            size: bytes of its file, by which all is measured; fewer than the content's where it was packed.
            records: what lies beside it, for torch's persistent ids.
        """
        self._size = size
        self.meter = Meter(size, len(content))
        self._records = records
        self.stack: list[object] = []
        self._marked: list[list[object]] = []
        self._memo: list[object] = []
        self._content = content
        self._file = io.BytesIO(content)
        self._parts = self._small = 0
        self._names: dict[tuple[str, str], Named] = {}

    def run(self) -> object:
        """What the pickle makes: numbers, texts, bytes, arrays, containers of these, and records of other things.

        Raises:
            FileError: it is damaged, asks for a name that is not allowed, or takes too much.
        """
        file, steps = self._file, _FREE_STEPS + self._size // _BYTES_A_STEP
        try:
            for _ in range(steps):
                read, work = _TABLE[file.read(1)[0]]
                try:
                    argument = read(file) if read else None
                except ValueError:
                    raise FileError(_CUT_OFF) from None
                if work is None:
                    return self.stack.pop()
                work(self, argument)
        except IndexError:
            raise FileError(_CUT_OFF) from None
        raise FileError(f"the pickle takes more than {steps:,} steps", remedy=USE_AN_ARRAY)

    def check_protocol(self, protocol: int) -> None:
        """Refuse what later versions of Python may write."""
        if protocol > _HIGHEST_PROTOCOL:
            raise FileError(f"the pickle is of protocol {protocol}", expected=f"at most {_HIGHEST_PROTOCOL}")

    # Numbers, texts and bytes.

    def push(self, value: object) -> None:
        """Put something on the stack."""
        self.stack.append(value)

    def push_small(self, number: int) -> None:
        """A number of one byte, and all that follow in the same way: images written as lists are long rows of them."""
        self.stack.append(number)
        place = self._file.tell()
        if row := _SMALL_NUMBERS.match(self._content, place):
            self._small += row.end() - place
            if self._small > max(self._size, _FREE_ROWS):
                raise FileError("the pickle unpacks to very long rows of numbers", remedy=USE_AN_ARRAY)
            self.stack += self._content[place + 1 : row.end() : 2]
            self._file.seek(row.end())

    def push_whole(self, number: int) -> None:
        """A whole number of any length."""
        if not -(2**63) <= number < 2**64:
            raise FileError("the pickle holds a whole number of more than 64 bits")
        self.stack.append(number)

    # Containers.

    def push_part(self, value: object) -> None:
        """Put something on the stack that takes room of its own."""
        self._parts += 1
        self.meter.check_parts(self._parts)
        self.stack.append(value)

    def mark(self, _: None) -> None:
        """What follows on the stack belongs together."""
        if len(self._marked) >= _MOST_MARKS:
            raise FileError(f"the pickle is nested more than {_MOST_MARKS} deep")
        self._marked.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[object]:
        """What came since the last mark."""
        items, self.stack = self.stack, self._marked.pop()
        return items

    def drop(self, _: None) -> None:
        """The last thing, or the mark if there is none behind it."""
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def push_tuple(self, n: int) -> None:
        """The last things on the stack become one."""
        if len(self.stack) < n:
            raise FileError(_CUT_OFF)
        items = tuple(self.stack[-n:])
        del self.stack[-n:]
        self.push_part(items)

    def push_dict(self, _: None) -> None:
        """Keys and values in turn since the mark become a dict."""
        items = self.since_mark()
        self.push_part({})
        self.set(items)

    def append(self, _: None) -> None:
        """The last thing goes into the list below."""
        value = self.stack.pop()
        self.extend([value])

    def set_item(self, _: None) -> None:
        """The last two things are a key and its value."""
        value, key = self.stack.pop(), self.stack.pop()
        self.set([key, value])

    def extend(self, items: list[object]) -> None:
        """Put items into the list below; what other objects would do with them is not needed."""
        below = self.stack[-1]
        if isinstance(below, list):
            below += items
        elif not isinstance(below, Made):
            raise FileError(_CUT_OFF)

    def set(self, items: list[object]) -> None:
        """Put keys and values into the dict below; what other objects would do with them is not needed."""
        below = self.stack[-1]
        if isinstance(below, dict):
            set_items(below, items[::2], items[1::2])
        elif not isinstance(below, Made):
            raise FileError(_CUT_OFF)

    # The memo.

    def put(self, place: int | None) -> None:
        """Remember what is on top, behind all others where no place is told."""
        top = self.stack[-1]
        place = len(self._memo) if place is None else place
        if place == len(self._memo):
            self._memo.append(top)
        else:
            if not 0 <= place <= self._size:
                raise FileError("the pickle is damaged: it refers far past its own size")
            self._memo += [_NOTHING] * (place + 1 - len(self._memo))
            self._memo[place] = top
        if isinstance(top, Made):
            top.slot = place

    def get(self, place: int) -> None:
        """Once more what was remembered."""
        value = self._memo[place] if place >= 0 else _NOTHING
        if value is _NOTHING:
            raise FileError(_CUT_OFF)
        self.stack.append(value)

    # Names and objects.

    def ask(self, module: object, name: object) -> None:
        """For a name in a module."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise FileError(_CUT_OFF)
        named = self._names.get((module, name))
        if named is None:
            named = self._names[module, name] = allow(f"{module}.{name}")
        self.stack.append(named)

    def ask_by_stack(self, _: None) -> None:
        """For a name in a module, both on the stack."""
        name = self.stack.pop()
        self.ask(self.stack.pop(), name)

    def call(self, _: None) -> None:
        """Note that a name is called."""
        args, named = self.stack.pop(), self.stack.pop()
        if not isinstance(named, Named) or not isinstance(args, tuple):
            raise FileError("the pickle holds an object made in an unusual way")
        self._parts += _A_CALL
        self.push_part(call(named, args, self.meter))

    def find(self, _: None) -> None:
        """What lies beside the pickle under a persistent id."""
        if self._records is None:
            _refuse("BINPERSID")
        else:
            self.push_part(find_storage(self.stack.pop(), self._records.read, self.meter))

    def build(self, _: None) -> None:
        """Give an object its state, and put what comes of it into its place."""
        state, made = self.stack.pop(), self.stack.pop()
        if not isinstance(made, Made):
            raise FileError("the pickle holds an object made in an unusual way")
        built = build(made, state, self.meter)
        if isinstance(built, Made) and built.kind == "NumpyArrayWrapper":
            built = self._read_behind(built)
        if made.slot is not None and self._memo[made.slot] is made:
            self._memo[made.slot] = built
        self.stack.append(built)

    def _read_behind(self, made: Made) -> object:
        """An array as joblib writes it: behind its description come as many bytes as one tells, and its numbers."""
        match made.state:
            case {"shape": shape, "dtype": np.dtype() as dtype, "order": "C" | "F" as order}:
                if are_sizes(shape) and not dtype.hasobject:
                    if made.state.get("numpy_array_alignment_bytes") is not None:
                        self._file.seek(self._file.read(1)[0], io.SEEK_CUR)
                    data = self._file.read(min(math.prod(shape) * dtype.itemsize, len(self._content)))
                    return make_array(made, data, dtype, shape, order, self.meter)
        raise FileError("joblib's file holds an array that cannot be read", remedy=USE_AN_ARRAY)


def _refuse(name: str, *_: object) -> None:
    """An opcode that no pickle of arrays needs, or none at all."""
    if not name:
        raise FileError("this is no pickle, or a damaged one")
    raise FileError(
        f"the pickle uses the opcode {name}, which pickles of arrays and tables do not", remedy="Nothing of it was run"
    )


def _read_line(file: io.BytesIO) -> bytes:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise ValueError(_CUT_OFF)
    return line[:-1]


def _read_quoted(file: io.BytesIO) -> str:
    """A text of Python 2, which may as well be bytes; `pickletools` knows none but ASCII."""
    text = _read_line(file).strip()
    inside = text[1:-1]
    if text[:1] not in (b"'", b'"') or text[-1:] != text[:1] or _ODD_ESCAPE.search(inside.replace(rb"\\", b"")):
        raise ValueError(_CUT_OFF)
    return inside.decode("unicode_escape")


_NOTHING = object()
# Sets are read as lists.
_WORK: dict[str, Callable[[Machine, Any], object] | None] = {
    "PROTO": Machine.check_protocol,
    "FRAME": lambda *_: None,
    "STOP": None,
    # Numbers, texts and bytes.
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "BININT1": Machine.push_small,
    **dict.fromkeys(("INT", "LONG", "BININT", "BININT2", "LONG1", "LONG4"), Machine.push_whole),
    **dict.fromkeys(("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE",
                     "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
                    Machine.push),
    "BYTEARRAY8": lambda machine, value: machine.push(bytes(value)),
    # Containers.
    "MARK": Machine.mark,
    "POP": Machine.drop,
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "TUPLE": lambda machine, _: machine.push_part(tuple(machine.since_mark())),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda machine, _: machine.push_part([])),
    **dict.fromkeys(("LIST", "FROZENSET"), lambda machine, _: machine.push_part(machine.since_mark())),
    "APPEND": Machine.append,
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.since_mark())),
    "EMPTY_DICT": lambda machine, _: machine.push_part({}),
    "DICT": Machine.push_dict,
    "SETITEM": Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set(machine.since_mark()),
    # The memo.
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.get),
    # Names and objects.
    "GLOBAL": lambda machine, names: machine.ask(*names),
    "STACK_GLOBAL": Machine.ask_by_stack,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine.call),
    "BINPERSID": Machine.find,
    "BUILD": Machine.build,
}  # fmt: skip
_READ: dict[str, Callable[[io.BytesIO], Any]] = {
    "STRING": _read_quoted,
    "GLOBAL": lambda file: (_read_line(file).decode(), _read_line(file).decode()),
}
_TABLE: list[tuple[Callable[[io.BytesIO], Any] | None, Callable[[Machine, Any], object] | None]]
_TABLE = [(None, functools.partial(_refuse, ""))] * 256
for _opcode in pickletools.opcodes:
    _name = _opcode.name
    _reader = _READ.get(_name, _opcode.arg.reader if _opcode.arg else None)
    _TABLE[ord(_opcode.code)] = (_reader, _WORK[_name]) if _name in _WORK else (None, functools.partial(_refuse, _name))
