"""Run a pickle's opcodes as plain data, under a meter: no name is looked up, nothing is imported or called.

A machine for those opcodes that pickles of arrays are made of, of protocols 0 to 5; all others are refused. What each
does is described in Python's `pickletools`. Frames are passed over: they only say how much to read at a time.
"""

import pickletools
import re
import struct
from collections.abc import Callable

from smidgen.data.pickle_forms import allow, build, call
from smidgen.data.pickle_parts import KEY_TYPES, USE_AN_ARRAY, Made, Meter, Named, set_items
from smidgen.errors import FileError

_HIGHEST_PROTOCOL = 5
_MOST_MARKS = 128
# Opcodes of honest pickles have eight bytes and more to them on average, or are few.
_FREE_STEPS, _BYTES_A_STEP = 3_000_000, 8
_A_CALL = 2  # parts, on top of its result, for the time it takes
_LONGEST_NUMBER, _MOST_DIGITS = 9, 64
_SMALL_NUMBER = ord("K")
_SMALL_NUMBERS = re.compile(rb"(?:K.)++", re.DOTALL)  # possessive: nothing is kept to go back to
_ODD_ESCAPE = re.compile(rb"""\\(?!['"abfnrtv]|x[0-9a-fA-F]{2})""")
_CUT_OFF = "the pickle is cut off or damaged"


class Machine:
    """Holds what the opcodes work on: a stack, the stacks below its marks, and a memo.

    Methods are what opcodes do. They get the number that follows the opcode, 0 where none does.
    """

    def __init__(self, content: bytes) -> None:
        """Get ready to run a pickle's content from its start."""
        self.meter = Meter(len(content))
        self.stack: list[object] = []
        self._marked: list[list[object]] = []
        self._memo: list[object] = []
        self._content = content
        self._place = 0
        self._parts = 0
        self._names: dict[tuple[str, str], Named] = {}

    def run(self) -> object:
        """What the pickle makes: numbers, texts, bytes, arrays, containers of these, and records of other things.

        Raises:
            FileError: it is damaged, asks for a name that is not allowed, or takes too much.
        """
        content, steps = self._content, _FREE_STEPS + len(self._content) // _BYTES_A_STEP
        try:
            for _ in range(steps):
                width, work = _TABLE[content[self._place]]
                start = self._place + 1
                self._place = end = start + width
                if work is None:
                    return self.stack.pop()
                if width > 1:
                    work(self, int.from_bytes(content[start:end], "little"))
                else:
                    work(self, content[start] if width else 0)
        except IndexError:
            raise FileError(_CUT_OFF) from None
        raise FileError(f"the pickle takes more than {steps:,} steps", remedy=USE_AN_ARRAY)

    def refuse(self, _: int) -> None:
        """An opcode that no pickle of arrays needs."""
        code = chr(self._content[self._place - 1])
        for known in pickletools.opcodes:
            if known.code == code:
                raise FileError(
                    f"the pickle uses the opcode {known.name}, which pickles of arrays and tables do not",
                    remedy="Nothing of it was run",
                )
        raise FileError("this is no pickle, or a damaged one")

    def check_protocol(self, protocol: int) -> None:
        """Refuse what later versions of Python may write."""
        if protocol > _HIGHEST_PROTOCOL:
            raise FileError(f"the pickle is of protocol {protocol}", expected=f"at most {_HIGHEST_PROTOCOL}")

    # What follows an opcode.

    def take(self, size: int) -> bytes:
        """The next bytes."""
        start = self._place
        self._place += size
        if self._place > len(self._content):
            raise FileError(_CUT_OFF)
        return self._content[start : self._place]

    def line(self) -> bytes:
        """Up to the end of the line."""
        end = self._content.find(b"\n", self._place)
        if end < 0:
            raise FileError(_CUT_OFF)
        start, self._place = self._place, end + 1
        return self._content[start:end]

    def digits(self) -> bytes:
        """A number written out."""
        text = self.line()
        if len(text) > _MOST_DIGITS:
            raise FileError("the pickle holds a number of too many digits")
        return text

    # Numbers, texts and bytes.

    def push(self, value: object) -> None:
        """Put something on the stack."""
        self.stack.append(value)

    def push_small(self, number: int) -> None:
        """A number of one byte, and all that follow in the same way: images written as lists are long rows of them."""
        self.stack.append(number)
        if self._content[self._place] == _SMALL_NUMBER and (row := _SMALL_NUMBERS.match(self._content, self._place)):
            self.stack += self._content[self._place + 1 : row.end() : 2]
            self._place = row.end()

    def push_signed(self, number: int) -> None:
        """A number of four bytes."""
        self.stack.append(number - 2**32 if number >= 2**31 else number)

    def push_long(self, size: int) -> None:
        """A whole number of so many bytes."""
        if size > _LONGEST_NUMBER:
            raise FileError("the pickle holds a whole number of more than 64 bits")
        self.stack.append(int.from_bytes(self.take(size), "little", signed=True))

    def push_written(self, _: int) -> None:
        """A whole number, or True or False as they were once written."""
        text = self.digits().rstrip(b"L")
        number = int(text)
        if not -(2**63) <= number < 2**64:
            raise FileError("the pickle holds a whole number of more than 64 bits")
        self.stack.append(text == b"01" if text in (b"00", b"01") else number)

    def push_float(self, _: int) -> None:
        """Eight bytes, big-endian."""
        self.stack.append(struct.unpack(">d", self.take(8))[0])

    def push_text(self, size: int) -> None:
        """A text of so many bytes."""
        self.stack.append(self.take(size).decode("utf-8", "surrogatepass"))

    def push_old_text(self, size: int) -> None:
        """A text of Python 2, which may as well be bytes."""
        self.stack.append(self.take(size).decode("latin1"))

    def push_quoted(self, _: int) -> None:
        """A text of Python 2 between quotes."""
        text = self.line().strip()
        inside = text[1:-1]
        if text[:1] not in (b"'", b'"') or text[-1:] != text[:1] or _ODD_ESCAPE.search(inside.replace(rb"\\", b"")):
            raise FileError(_CUT_OFF)
        self.stack.append(inside.decode("unicode_escape"))

    def push_bytes(self, size: int) -> None:
        """So many bytes."""
        self.stack.append(self.take(size))

    # Containers.

    def push_part(self, value: object) -> None:
        """Put something on the stack that takes room of its own."""
        self._parts += 1
        self.meter.check_parts(self._parts)
        self.stack.append(value)

    def mark(self, _: int) -> None:
        """What follows on the stack belongs together."""
        if len(self._marked) >= _MOST_MARKS:
            raise FileError(f"the pickle is nested more than {_MOST_MARKS} deep")
        self._marked.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[object]:
        """What came since the last mark."""
        items, self.stack = self.stack, self._marked.pop()
        return items

    def drop(self, _: int) -> None:
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

    def push_dict(self, _: int) -> None:
        """Keys and values in turn since the mark become a dict."""
        items = self.since_mark()
        self.push_part({})
        self.set(items)

    def append(self, _: int) -> None:
        """The last thing goes into the list below."""
        value = self.stack.pop()
        self.extend([value])

    def set_item(self, _: int) -> None:
        """The last two things are a key and its value."""
        value, key = self.stack.pop(), self.stack.pop()
        below = self.stack[-1]
        if isinstance(below, dict) and type(key) in KEY_TYPES:
            below[key] = value
        else:
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

    def put(self, place: int) -> None:
        """Remember what is on top."""
        top = self.stack[-1]
        if place == len(self._memo):
            self._memo.append(top)
        else:
            if not 0 <= place <= len(self._content):
                raise FileError("the pickle is damaged: it refers far past its own size")
            self._memo += [_NOTHING] * (place + 1 - len(self._memo))
            self._memo[place] = top
        if isinstance(top, Made):
            top.slot = place

    def put_next(self, _: int) -> None:
        """Remember what is on top, behind all others."""
        self.put(len(self._memo))

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

    def ask_by_stack(self, _: int) -> None:
        """For a name in a module, both on the stack."""
        name = self.stack.pop()
        self.ask(self.stack.pop(), name)

    def call(self, _: int) -> None:
        """Note that a name is called."""
        args, named = self.stack.pop(), self.stack.pop()
        if not isinstance(named, Named) or not isinstance(args, tuple):
            raise FileError("the pickle holds an object made in an unusual way")
        self._parts += _A_CALL
        self.push_part(call(named, args, self.meter))

    def build(self, _: int) -> None:
        """Give an object its state, and put what comes of it into its place."""
        state, made = self.stack.pop(), self.stack.pop()
        if not isinstance(made, Made):
            raise FileError("the pickle holds an object made in an unusual way")
        built = build(made, state, self.meter)
        if made.slot is not None and self._memo[made.slot] is made:
            self._memo[made.slot] = built
        self.stack.append(built)


_NOTHING = object()
_Work = Callable[[Machine, int], object]
# The width in bytes of the number that follows, and what is done. Sets are read as lists.
_OPCODES: dict[bytes, tuple[int, _Work | None]] = {
    b"\x80": (1, Machine.check_protocol),
    b"\x95": (8, lambda *_: None),
    b".": (0, None),
    # Numbers.
    b"N": (0, lambda machine, _: machine.push(None)),
    b"\x88": (0, lambda machine, _: machine.push(True)),
    b"\x89": (0, lambda machine, _: machine.push(False)),
    b"I": (0, Machine.push_written),
    b"L": (0, Machine.push_written),
    b"K": (1, Machine.push_small),
    b"M": (2, Machine.push),
    b"J": (4, Machine.push_signed),
    b"\x8a": (1, Machine.push_long),
    b"\x8b": (4, Machine.push_long),
    b"F": (0, lambda machine, _: machine.push(float(machine.digits()))),
    b"G": (0, Machine.push_float),
    # Texts and bytes.
    b"V": (0, lambda machine, _: machine.push(machine.line().decode("raw_unicode_escape"))),
    b"\x8c": (1, Machine.push_text),
    b"X": (4, Machine.push_text),
    b"\x8d": (8, Machine.push_text),
    b"S": (0, Machine.push_quoted),
    b"U": (1, Machine.push_old_text),
    b"T": (4, Machine.push_old_text),
    b"C": (1, Machine.push_bytes),
    b"B": (4, Machine.push_bytes),
    b"\x8e": (8, Machine.push_bytes),
    b"\x96": (8, Machine.push_bytes),
    # Containers.
    b"(": (0, Machine.mark),
    b"0": (0, Machine.drop),
    b"1": (0, lambda machine, _: machine.since_mark()),
    b")": (0, lambda machine, _: machine.push(())),
    b"\x85": (0, lambda machine, _: machine.push_tuple(1)),
    b"\x86": (0, lambda machine, _: machine.push_tuple(2)),
    b"\x87": (0, lambda machine, _: machine.push_tuple(3)),
    b"t": (0, lambda machine, _: machine.push_part(tuple(machine.since_mark()))),
    b"]": (0, lambda machine, _: machine.push_part([])),
    b"\x8f": (0, lambda machine, _: machine.push_part([])),
    b"l": (0, lambda machine, _: machine.push_part(machine.since_mark())),
    b"\x91": (0, lambda machine, _: machine.push_part(machine.since_mark())),
    b"a": (0, Machine.append),
    b"e": (0, lambda machine, _: machine.extend(machine.since_mark())),
    b"\x90": (0, lambda machine, _: machine.extend(machine.since_mark())),
    b"}": (0, lambda machine, _: machine.push_part({})),
    b"d": (0, Machine.push_dict),
    b"s": (0, Machine.set_item),
    b"u": (0, lambda machine, _: machine.set(machine.since_mark())),
    # The memo.
    b"p": (0, lambda machine, _: machine.put(int(machine.digits()))),
    b"q": (1, Machine.put),
    b"r": (4, Machine.put),
    b"\x94": (0, Machine.put_next),
    b"g": (0, lambda machine, _: machine.get(int(machine.digits()))),
    b"h": (1, Machine.get),
    b"j": (4, Machine.get),
    # Names and objects.
    b"c": (0, lambda machine, _: machine.ask(machine.line().decode(), machine.line().decode())),
    b"\x93": (0, Machine.ask_by_stack),
    b"R": (0, Machine.call),
    b"\x81": (0, Machine.call),
    b"b": (0, Machine.build),
}
_TABLE = [_OPCODES.get(bytes([code]), (0, Machine.refuse)) for code in range(256)]
