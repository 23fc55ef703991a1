"""Pickles written by Python, and opcode by opcode for what no honest pickler writes, or only one of another version."""

import pickle
import struct
from pathlib import Path

PROTOCOLS = range(6)


def write(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def content(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def put(place: int) -> bytes:
    return b"r" + struct.pack("<I", place)


def get(place: int) -> bytes:
    return b"j" + struct.pack("<I", place)


def name(full: str) -> bytes:
    return b"c" + full.replace(" ", "\n").encode() + b"\n"


def row(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def table(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def call(full: str, *args: bytes) -> bytes:
    return name(full) + tuple_of(*args) + b"R"


def made(full: str, state: bytes) -> bytes:
    """An object of a class, without arguments, and then given its state."""
    return name(full) + b")\x81" + state + b"b"


def dtype(kind: str, order: str) -> bytes:
    state = tuple_of(number(3), text(order), b"N", b"N", b"N", number(-1), number(-1), number(0))
    return call("numpy dtype", text(kind), b"\x89", b"\x88") + state + b"b"


def array(data: bytes, shape: tuple[int, ...], kind: str = "u1", order: str = "|", sizes: bytes = b"") -> bytes:
    """An array of any data and, instead of its shape, any sizes, both given as opcodes."""
    empty = call("numpy.core.multiarray _reconstruct", name("numpy ndarray"), tuple_of(number(0)), content(b"b"))
    sizes = sizes or tuple_of(*map(number, shape))
    return empty + tuple_of(number(1), sizes, dtype(kind, order), b"\x89", data) + b"b"


def piece(start: int, stop: int) -> bytes:
    return call("builtins slice", number(start), number(stop), b"N")


def frame(*blocks: tuple[bytes, bytes]) -> bytes:
    """A DataFrame of blocks of values and placements, given as opcodes."""
    listed = [call("pandas._libs.internals _unpickle_block", *block, number(2)) for block in blocks]
    manager = call("pandas.core.internals.managers BlockManager", tuple_of(*listed), b"]")
    return made("pandas DataFrame", table(_mgr=manager))


def series(values: bytes) -> bytes:
    inner = table(**{"0.14.1": table(axes=b"]", blocks=row(table(values=values, mgr_locs=piece(0, 1))))})
    manager = made("pandas.core.internals.managers SingleBlockManager", tuple_of(b"]", b"]", b"]", inner))
    return made("pandas Series", table(_mgr=manager))


def categories(codes: bytes, index: bytes) -> bytes:
    kind = made("pandas CategoricalDtype", table(categories=index, ordered=b"\x89"))
    empty = call("pandas._libs.arrays __pyx_unpickle_NDArrayBacked", name("pandas Categorical"), number(1), b"N")
    return empty + tuple_of(kind, codes) + b"b"


def index_of(data: bytes) -> bytes:
    return call("pandas.core.indexes.base _new_Index", name("pandas Index"), table(data=data, name=b"N"))


def arrow_texts(*texts: str) -> bytes:
    """Texts as pyarrow keeps them, in a pandas array."""
    whole = "".join(texts).encode()
    ends = [sum(len(one.encode()) for one in texts[:n]) for n in range(len(texts) + 1)]
    buffers = [
        call("pyarrow.lib py_buffer", call("builtins bytearray", content(part)))
        for part in (struct.pack(f"<{len(ends)}q", *ends), whole)
    ]
    kind = call("pyarrow.lib type_for_alias", text("large_string"))
    parts = tuple_of(kind, number(len(texts)), number(0), number(0), row(b"N", *buffers), b"]", b"N")
    restored = call("pyarrow.lib _restore_array", parts)
    return made("pandas.arrays ArrowStringArray", table(_pa_array=restored, _dtype=b"N"))


def pair(noisy: bytes, clean: bytes = b"") -> bytes:
    return b"\x80\x04" + noisy + (clean or noisy) + b"\x86."


def again(what: bytes, times: int, each: bytes) -> bytes:
    """A list that begins with something, put at place 0, and goes on with something else so many times."""
    return b"\x80\x04](" + what + put(0) + each * times + b"e."


def doubled(levels: int) -> bytes:
    """A tuple of a tuple twice, and so on."""
    return b")" + b"".join(put(n) + get(n) + b"\x86" for n in range(levels))


def storage(kind: str, data: bytes, length: int) -> bytes:
    """A torch storage as pickles hold it: a file of torch before 1.6 as bytes."""
    head = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00("
    head += b"X\x10\0\0\0protocol_versionq\x01M\xe9\x03X\r\0\0\0little_endianq\x02\x88X\n\0\0\0type_sizesq\x03}q\x04("
    head += b"X\x05\0\0\0shortq\x05K\x02X\x03\0\0\0intq\x06K\x04X\x04\0\0\0longq\x07K\x04uu.\x80\x02("
    head += b"X\x07\0\0\0storageq\0ctorch\n" + kind.encode() + b"\nq\x01X\x01\0\0\x007q\x02X\x03\0\0\0cpuq\x03"
    head += b"J" + struct.pack("<i", length) + b"Ntq\x04Q.\x80\x02]q\0X\x01\0\0\x007q\x01a." + struct.pack("<q", length)
    return call("torch.storage _load_from_bytes", content(head + data))


def tensor(numbers: bytes, sizes: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    """A view of a torch storage, given as opcodes."""
    places = (tuple_of(*map(number, values)) for values in (sizes, strides))
    return call("torch._utils _rebuild_tensor_v2", numbers, number(offset), *places, b"\x89", b"}")
