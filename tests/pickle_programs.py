"""Random pickles that hold together: every opcode finds on the stack what it needs, whatever it then is.

What `tests/fuzzing.py` spoils breaks off early; these run to their end, through containers, memo, names and the forms
in which numpy and pandas write arrays, some of them honest, most of them not, with numbers, nesting and repetition
beyond sense. `tests/test_fuzzing.py` tries hundreds, `tools/fuzz_pickles.py` hundreds of thousands.
"""

import struct
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np

from smidgen.data.checks import make_raw_pairs
from smidgen.data.parts import take_apart
from smidgen.errors import SmidgenError
from smidgen.pickles.unpickle import read_pickle
from tests import opcodes

MOST_DEPTH = 5
TEXTS = ("", "a", "5", "f8", "O8", "U9", "S9999", "latin1", "C", "F", "K", "<", ">", "x" * 5000, "é\U0001f600")
KEYS = ("X", "y", "x", "labels", "X_test", "y_test", "train", "val", "_mgr", "_data", "_mask", "_pa_array",
        "categories", "data", "values", "0.14.1")  # fmt: skip
NUMBERS = (0, 1, 2, 3, 4, 16, 255, 256, 1000, 2**31 - 1, -1, -(2**31))
KINDS = ("u1", "i1", "b1", "u2", "i4", "f4", "f8", "f2", "O8", "U1", "S3", "M8", "V9", "f16", "i3")
NAMES = (
    "numpy dtype", "numpy ndarray", "numpy memmap", "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar", "numpy._core.numeric _frombuffer", "_codecs encode", "builtins bytes",
    "__builtin__ bytearray", "builtins slice", "builtins object", "collections OrderedDict", "copyreg _reconstructor",
    "pandas DataFrame", "pandas.core.series Series", "pandas.core.internals.managers BlockManager",
    "pandas.core.internals.managers SingleBlockManager", "pandas._libs.internals _unpickle_block",
    "pandas.core.indexes.base _new_Index", "pandas Categorical", "pandas.core.arrays.integer IntegerArray",
    "pandas._libs.arrays __pyx_unpickle_NDArrayBacked", "pyarrow.lib _restore_array", "pyarrow.lib py_buffer",
    "pyarrow.lib type_for_alias", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter", "torch.storage _load_from_bytes", "torch uint16",
    "torch.utils.data.dataset TensorDataset",
)  # fmt: skip
OTHER_NAMES = ("os system", "builtins eval", "numpy load", "numpy.core.multiarray fromfile", "pickle loads")


class Program:
    """Writes one pickle; everything is drawn from a seed.

    Each method gives opcodes that leave one thing more on the stack.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        # Most are small, so that many can be tried; some come to a megabyte.
        self.room = int(10 ** self.random.triangular(2, 6, 4))
        self.remembered = 0

    def write(self) -> bytes:
        """The whole pickle, often in the shape of pairs."""
        parts = [self.value(0) for _ in range(self.random.choice((1, 2, 2, 3)))]
        images = opcodes.array(opcodes.content(bytes(range(64))), (4, 4, 4))
        place = self.remembered
        match self.random.randrange(6):
            case 0:
                whole = opcodes.tuple_of(*parts)
            case 1:
                whole = self.dict_of(self.random.sample(KEYS, len(parts)), parts)
            case 2:
                whole = opcodes.tuple_of(parts[0] + opcodes.put(place), opcodes.get(place))
            case 3:
                whole = opcodes.tuple_of(images, images, parts[0])
            case 4:
                whole = opcodes.row(opcodes.tuple_of(parts[0], parts[-1]) + opcodes.put(place), opcodes.get(place) * 3)
            case _:
                whole = parts[0]
        return b"\x80\x04" + whole + b"."

    def value(self, depth: int) -> bytes:
        """Anything."""
        simple = (self.number, self.text, self.content, self.constant, self.old, self.recall, self.named)
        deep = (
            self.row, self.group, self.mapping, self.called, self.built, self.remember, self.array, self.array,
            self.scalar, self.from_buffer, self.frame, self.series, self.categories, self.nullable, self.arrow,
            self.tensor,
            self.dtype, self.many, self.many, self.doubled, self.cycle, self.encoded, self.numbers, self.dropped,
        )  # fmt: skip
        if depth >= MOST_DEPTH or self.random.random() < 0.2:
            return self.random.choice(simple)()
        return self.random.choice(deep)(depth + 1)

    def number(self) -> bytes:
        value = self.random.choice(NUMBERS)
        match self.random.randrange(7):
            case 0:
                return b"K" + bytes([value % 256])
            case 1:
                return b"M" + struct.pack("<H", value % 65536)
            case 2:
                return b"I%d\n" % value
            case 3:
                size = self.random.choice((1, 8, 9, 10, 200))
                return b"\x8a" + bytes([size]) + b"\x7f" * size
            case 4:
                return b"G" + struct.pack(">d", self.random.choice((0.5, -1e300, float("nan"), float("inf"))))
            case 5:
                return b"L%dL\n" % (value << self.random.choice((0, 8, 40, 3000)))
        return opcodes.number(value)

    def text(self) -> bytes:
        text = self.random.choice(TEXTS + KEYS)
        match self.random.randrange(4):
            case 0:
                return b"V" + text.encode("raw_unicode_escape") + b"\n"
            case 1:
                return b"\x8d" + struct.pack("<Q", len(text.encode())) + text.encode()
            case 2:
                return b"U" + bytes([len(text) % 256]) + b"7" * (len(text) % 256)
        return opcodes.text(text)

    def content(self) -> bytes:
        size = self.random.choice((0, 1, 4, 8, 16, 32, 100, 4096))
        return self.random.choice((b"B", b"T")) + struct.pack("<I", size) + self.random.randbytes(size)

    def constant(self) -> bytes:
        return self.random.choice((b"N", b"\x88", b"\x89", b"]", b"}", b")", b"\x8f"))

    def old(self) -> bytes:
        return self.random.choice((b"S'a\\x00'\n", b'S"\\\\"\n', b"I01\n", b"F1e5\n", b"(l", b"(d", b"(t", b"(\x91"))

    def named(self) -> bytes:
        return opcodes.name(self.random.choice(NAMES if self.random.random() < 0.97 else OTHER_NAMES))

    def recall(self) -> bytes:
        return opcodes.get(self.random.randrange(self.remembered)) if self.remembered else b"N"

    def remember(self, depth: int) -> bytes:
        value = self.value(depth) + opcodes.put(self.remembered)
        self.remembered += 1
        return value

    def some(self, depth: int) -> list[bytes]:
        return [self.value(depth) for _ in range(self.random.choice((0, 1, 1, 2, 3, 5)))]

    def row(self, depth: int) -> bytes:
        items = self.some(depth)
        one_by_one = b"]" + b"".join(item + b"a" for item in items)
        return self.random.choice((opcodes.row(*items), b"\x8f(" + b"".join(items) + b"\x90", one_by_one))

    def group(self, depth: int) -> bytes:
        return opcodes.tuple_of(*self.some(depth))

    def mapping(self, depth: int) -> bytes:
        values = self.some(depth)
        return self.dict_of(self.random.choices(KEYS, k=len(values)), values, depth)

    def dict_of(self, keys: list[str], values: list[bytes], depth: int = 0) -> bytes:
        """Keys are texts, but one in a hundred is anything."""
        written = [self.value(depth + 1) if self.random.random() < 0.01 else opcodes.text(key) for key in keys]
        return b"}" + b"".join(key + value + b"s" for key, value in zip(written, values, strict=True))

    def called(self, depth: int) -> bytes:
        return self.named() + opcodes.tuple_of(*self.some(depth)) + self.random.choice((b"R", b"\x81"))

    def built(self, depth: int) -> bytes:
        state = self.random.choice((self.mapping, self.group, self.value))
        return self.called(depth) + state(depth) + b"b"

    def dropped(self, depth: int) -> bytes:
        return self.value(depth) + self.random.choice((b"N0", b"(N1", b"(0", b"(NN1"))

    def many(self, depth: int) -> bytes:
        """A list of one thing made or used again and again, as often as there is room for."""
        first = self.remember(depth)
        each = self.recall() if self.random.random() < 0.5 else self.value(depth)
        times = min(int(10 ** self.random.uniform(0, 6)), max(0, self.room) // len(each))
        self.room -= times * len(each)
        return self.random.choice((opcodes.row, opcodes.tuple_of))(first, each * times)

    def numbers(self, _: int) -> bytes:
        """A long row of numbers."""
        times = min(int(10 ** self.random.uniform(0, 6)), max(0, self.room // 2))
        self.room -= 2 * times
        return opcodes.row(b"K\x01" * times)

    def doubled(self, depth: int) -> bytes:
        """Two of the same, two of the same, and so on."""
        grown = self.value(depth)
        for _ in range(self.random.randrange(1, 70)):
            grown += opcodes.put(self.remembered) + opcodes.get(self.remembered) + b"\x86"
            self.remembered += 1
        return grown

    def cycle(self, depth: int) -> bytes:
        place, self.remembered = self.remembered, self.remembered + 1
        return b"]" + opcodes.put(place) + opcodes.get(place) + b"a" + self.value(depth) + b"a"

    def encoded(self, _: int) -> bytes:
        return opcodes.name("_codecs encode") + self.text() + opcodes.text("latin1") + b"\x86R"

    def dtype(self, _: int) -> bytes:
        return opcodes.dtype(self.random.choice(KINDS), self.random.choice("<>=|"))

    def shape(self) -> tuple[int, ...]:
        """Small and true most of the time."""
        if self.random.random() < 0.1:
            return tuple(self.random.choice((0, 1, 5, 2**31 - 1)) for _ in range(self.random.choice((1, 2, 9, 40))))
        return self.random.choice(((4,), (9,), (1, 1), (3, 16), (5, 4, 4), (2, 3, 3, 1), (30, 4, 4), ()))

    def array(self, depth: int) -> bytes:
        shape, kind, order = self.shape(), self.random.choice(KINDS), self.random.choice("<>|")
        if kind == "O8":
            items = self.some(depth)
            return opcodes.array(opcodes.row(*items), (len(items),), kind, order)
        data = self.content() if self.random.random() < 0.1 else opcodes.content(self.data(shape, kind))
        sizes = self.group(depth) if self.random.random() < 0.03 else b""
        return opcodes.array(data, shape, kind, order, sizes)

    def data(self, shape: tuple[int, ...], kind: str) -> bytes:
        """As many bytes as an array takes, if that is not too many."""
        size = int(np.prod([float(n) for n in shape])) * (int(kind[1:]) * (4 if kind[0] == "U" else 1))
        return self.random.randbytes(size if size < 10_000 else 7)

    def scalar(self, depth: int) -> bytes:
        kind = self.random.choice(KINDS)
        data = self.value(depth) if self.random.random() < 0.1 else opcodes.content(self.data((), kind))
        return opcodes.call("numpy.core.multiarray scalar", opcodes.dtype(kind, "<"), data)

    def from_buffer(self, depth: int) -> bytes:
        shape, kind = self.shape(), self.random.choice(KINDS)
        sizes = opcodes.tuple_of(*map(opcodes.number, shape))
        args = [opcodes.content(self.data(shape, kind)), opcodes.dtype(kind, "<"), sizes]
        axes = self.random.sample(range(len(shape)), len(shape))
        match self.random.randrange(4):
            case 0:
                args += [opcodes.text("K"), opcodes.tuple_of(*map(opcodes.number, axes))]
            case 1:
                args += [opcodes.text("K"), self.group(depth)]
            case 2:
                args += [opcodes.text("F")]
            case _:
                args += [self.value(depth)]
        return opcodes.call("numpy._core.numeric _frombuffer", *args)

    def frame(self, depth: int) -> bytes:
        """Columns side by side, or nearly so."""
        blocks, at = [], 0
        for _ in range(self.random.choice((1, 1, 2, 3))):
            n = self.random.choice((1, 2, 4, 16))
            values = opcodes.array(opcodes.content(self.random.randbytes(n * 5)), (n, 5))
            place = opcodes.piece(at, at + n)
            at += n
            if self.random.random() < 0.1:
                values = self.value(depth)
            if self.random.random() < 0.1:
                place = self.random.choice((self.value(depth), opcodes.piece(0, 2), opcodes.piece(at, 2**31 - 1)))
            blocks.append((values, place))
        return opcodes.frame(*blocks * self.random.choice((1, 1, 1, 2)))

    def series(self, depth: int) -> bytes:
        return opcodes.series(self.value(depth))

    def categories(self, depth: int) -> bytes:
        codes = opcodes.array(opcodes.content(b"\0\1\0\1\1"), (5,), "i1")
        if self.random.random() < 0.2:
            codes = self.array(depth)
        index = opcodes.row(opcodes.text("5"), opcodes.text("7")) if self.random.random() < 0.5 else self.value(depth)
        return opcodes.categories(codes, opcodes.index_of(index) if self.random.random() < 0.7 else index)

    def nullable(self, depth: int) -> bytes:
        values, mask = self.array(depth), self.array(depth)
        if self.random.random() < 0.7:
            values = opcodes.array(opcodes.content(bytes(5)), (5,), "i1")
            mask = opcodes.array(opcodes.content(b"\0\1\0\0\0"), (5,), "b1")
        return opcodes.made("pandas IntegerArray", opcodes.table(_data=values, _mask=mask))

    def tensor(self, depth: int) -> bytes:
        """A view of a storage, most of the time within it."""
        shape = self.shape()
        strides = tuple(int(np.prod([float(n) for n in shape[place + 1 :]]) % 2**31) for place in range(len(shape)))
        size = int(min(np.prod([float(n) for n in shape]), 500))
        numbers = opcodes.storage("FloatStorage", self.random.randbytes(4 * size), size)
        if self.random.random() < 0.2:
            numbers = self.value(depth)
        if self.random.random() < 0.2:
            strides = tuple(self.random.choice((0, 1, 3, -1, 2**31 - 1)) for _ in shape)
        return opcodes.tensor(numbers, shape, strides, self.random.choice((0, 0, 0, 0, 1, -1, 2**31 - 1)))

    def arrow(self, _: int) -> bytes:
        return opcodes.arrow_texts(*self.random.choices(TEXTS, k=self.random.randrange(5)))


LISTED = (np.ndarray, tuple, list, dict, str, bytes, int, float, bool, type(None))


def off_the_list(value: object) -> str:
    """The type of something within a value that is none of the harmless ones, if there is any."""
    seen, waiting = set(), [value]
    while waiting:
        one = waiting.pop()
        if type(one) not in LISTED or (isinstance(one, np.ndarray) and one.dtype.hasobject):
            return type(one).__name__
        if isinstance(one, (tuple, list, dict)) and id(one) not in seen:
            seen.add(id(one))
            waiting += [*one, *one.values()] if isinstance(one, dict) else one
    return ""


def run(path: Path, program: bytes) -> object:
    """What a program gives, None if it is refused; pairs are made of it too, if it can be."""
    path.write_bytes(program)
    value = None
    with suppress(SmidgenError):
        value = read_pickle(path)
        for triple in take_apart(value, "it").parts.values():
            make_raw_pairs(*triple, "it")
    return value
