"""Pickles that a stranger could hand over: small ones that unfold, compare, count or convert without end."""

import pickle
import struct
from collections.abc import Callable

from tests.opcodes import (
    again,
    array,
    call,
    categories,
    content,
    doubled,
    frame,
    get,
    made,
    name,
    number,
    pair,
    piece,
    put,
    row,
    storage,
    table,
    tensor,
    text,
    tuple_of,
)


def nested_columns() -> bytes:
    """A list of ten lists of ten lists … where the numbers of columns should be."""
    nested = b"]" + b"".join(put(n) + b"0" + row(*[get(n)] * 10) for n in range(9))
    return pair(frame((array(content(bytes(4)), (2, 2)), nested)))


def wide_categories() -> bytes:
    """Two texts of ten kilobytes, and a hundred thousand uses of the first."""
    codes = array(content(bytes(10**5)), (10**5,), "i1")
    return pair(categories(codes, array(content(bytes(2 * 9999)), (2,), "S9999")))


def long_names() -> bytes:
    """A name of a megabyte that begins as pandas' do, asked for again and again."""
    asked = text("pandas") + put(1) + text("x" * 10**6) + put(2) + b"\x93"
    return again(asked, 300_000, get(1) + get(2) + b"\x93")


def keys_of_one_hash() -> bytes:
    keys = (b"\x8a\x0c" + (n * (2**61 - 1)).to_bytes(12, "little") + b"N" for n in range(60_000))
    return b"\x80\x04}(" + b"".join(keys) + b"u."


def masks_again() -> bytes:
    """A column of a million numbers, looked through for missing ones twenty thousand times."""
    zeros = content(bytes(10**6))
    state = table(_data=array(zeros, (10**6,), "i1"), _mask=array(zeros, (10**6,), "b1"))
    return again(state, 20_000, made("pandas IntegerArray", get(0)))


def tables_again() -> bytes:
    """A table, put together a million times."""
    block = call("pandas._libs.internals _unpickle_block", array(content(b"x"), (1, 1)), piece(0, 1), b"K\x02")
    state = table(_mgr=call("pandas.core.internals.managers BlockManager", tuple_of(block), b"]"))
    frame_name = name("pandas DataFrame") + put(1)
    return again(state + frame_name, 10**6, get(1) + b")\x81" + get(0) + b"b")


TWO_COLUMNS = array(content(bytes(range(32))), (2, 16))
LONG = b"\x8b" + struct.pack("<i", 1000) + b"\x7f" * 1000
FLOATS = storage("FloatStorage", bytes(64), 16)
BUFFER = call("builtins bytes", content(bytes(10**6)))
PICKLES: dict[str, Callable[[], bytes]] = {
    "a deep key": lambda: b"\x80\x04}" + doubled(60) + b"Ns.",
    "a deep key to be written out": lambda: b"\x80\x04}" + doubled(24) + b"Ns.",
    "a deep member of a set": lambda: b"\x80\x04\x8f(" + doubled(60) + b"\x90.",
    "a deep shape": lambda: pair(array(content(b""), (), sizes=doubled(60))),
    "a shape of long numbers": lambda: pair(array(content(b""), (), sizes=tuple_of(LONG * 5000))),
    "a shape of very many numbers": lambda: pair(array(content(b""), (2**31 - 1,) * 100_000)),
    "nested lists as columns": nested_columns,
    "a text encoded again and again": lambda: again(
        text("x" * 10**6), 3000, name("_codecs encode") + get(0) + text("latin1") + b"\x86R"
    ),
    "byte orders swapped again and again": lambda: again(BUFFER, 2000, array(get(0), (125_000,), "f8", ">")),
    "byte orders of the wrong size": lambda: again(BUFFER, 2000, array(get(0), (1,), "f8", ">")),
    "millions of lists": lambda: b"\x80\x04(" + b"]" * 8_000_000 + b"t.",
    "as many lists as are allowed": lambda: b"\x80\x04(" + content(bytes(9 * 10**6)) + b"]" * 1_140_000 + b"t.",
    "a million tuples of tuples": lambda: b"\x80\x04(" + content(bytes(9 * 10**6)) + b")\x85\x85" * 570_000 + b"t.",
    "half a million lists in a small file": lambda: b"\x80\x04(" + b"]" * 500_000 + b"t.",
    "millions of dicts": lambda: b"\x80\x04(" + b"}K\x01Ns" * 2_000_000 + b"t.",
    "millions of marks": lambda: b"\x80\x04" + b"(" * 8_000_000 + b".",
    "millions of objects": lambda: again(name("pandas Series"), 2_000_000, get(0) + b")\x81"),
    "millions of texts": lambda: b"\x80\x04(" + b"\x8c\x02ab" * 4_000_000 + b"t.",
    "millions of numbers": lambda: b"\x80\x04](" + b"M\xff\xff" * 8_000_000 + b"e.",
    "millions of uses of one list": lambda: again(row(b"K\x01"), 8_000_000, b"h\x00"),
    "millions of uses of nothing": lambda: b"\x80\x04" + b"N0" * 20_000_000 + b".",
    "long rows of numbers, used again": lambda: pair(row(row(b"K\x01" * 10**7) + put(0) + get(0) * 6)),
    "columns that overlap": lambda: pair(frame((TWO_COLUMNS, piece(0, 2)), (TWO_COLUMNS, piece(0, 2)))),
    "columns that leave one out": lambda: pair(frame((TWO_COLUMNS, piece(0, 2)), (TWO_COLUMNS, piece(1, 3)))),
    "columns without rows": lambda: pair(frame((array(content(b""), (2**31 - 1, 0)), piece(0, 2**31 - 1)))),
    "wide categories": wide_categories,
    "long names": long_names,
    "keys of one hash": keys_of_one_hash,
    "masks again and again": masks_again,
    "tables again and again": tables_again,
    "a number of a million digits": lambda: b"I" + b"9" * 10**6 + b"\n.",
    "texts of unlike lengths": lambda: pair(row(text("x" * 10**6), text("y") * 100_000)),
    "a tensor behind its storage": lambda: pair(tensor(FLOATS, (4, 4), (4, 1), 10**9)),
    "a tensor that runs backwards": lambda: pair(tensor(FLOATS, (4, 4), (4, -1), 3)),
    "a tensor of one number, again and again": lambda: pair(tensor(FLOATS, (2**31 - 1, 2**31 - 1), (0, 0))),
    "a tensor of nothing, many times": lambda: pair(tensor(FLOATS, (2**31 - 1, 2**31 - 1, 2**31 - 1, 0), (0,) * 4)),
    "a tensor of a tensor": lambda: pair(tensor(tensor(FLOATS, (2**20,), (0,)), (2**20,), (1,))),
    "a tensor of other things": lambda: pair(tensor(doubled(60), (4, 4), (4, 1))),
    "a storage that promises much": lambda: pair(tensor(storage("FloatStorage", bytes(64), 2**31 - 1), (4,), (1,))),
    "a storage that runs code": lambda: pair(
        call("torch.storage _load_from_bytes", content(b"cos\nsystem\n(S'touch ran'\ntR."))
    ),
    "storages again and again": lambda: again(
        tuple_of(FLOATS[FLOATS.index(b"(") + 1 : -2]), 2_000_000, name("torch.storage _load_from_bytes") + get(0) + b"R"
    ),
    "tensors again and again": lambda: again(
        tuple_of(FLOATS, number(0), tuple_of(number(4)), tuple_of(number(1)), b"\x89", b"}"),
        2_000_000,
        name("torch._utils _rebuild_tensor_v2") + get(0) + b"R",
    ),
    "a hundred thousand keys": lambda: pickle.dumps({f"{n} \x1b[2J\n": 0 for n in range(100_000)}),
}
