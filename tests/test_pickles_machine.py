from pathlib import Path

import numpy as np
import pytest

from smidgen.errors import FileError
from smidgen.pickles.parts import Meter, set_items
from smidgen.pickles.unpickle import read_pickle
from tests.opcodes import PROTOCOLS, write


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_things_come_back(tmp_path: Path, protocol: int):
    """Numbers, texts and bytes of all lengths and signs, as Python itself reads them."""
    numbers = [0, 1, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**63 - 1, -(2**63), 2**64 - 1]
    content = {
        "numbers": numbers, "floats": [0.5, -1e300, float("inf")], "others": (True, False, None, (), [], {}),
        "texts": ["", "a", "\u00e9\n\\", "\U0001f600", "x" * 70_000], "bytes": [b"", b"\xff\n" * 200],
        "rows": [[1, 2, 3] * 100, [300] * 5], 7: 1, b"k": 2,
    }  # fmt: skip
    assert read_pickle(write(tmp_path / "a.pkl", content, protocol)) == content


def test_sets_are_rows(tmp_path: Path):
    """A set among other things is no reason to refuse them."""
    assert read_pickle(write(tmp_path / "a.pkl", {"kinds": {3}})) == {"kinds": [3]}


NUMPY_OF_PYTHON_2 = {
    0: b"cnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntS'b'\ntRp3\n(I1\n(L2L\nI2\nt"
    b"cnumpy\ndtype\np4\n(S'u1'\nI0\nI1\ntRp5\n(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\xff\"\\''\ntb",
    1: b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02(K\x00tU\x01btRq\x03(K\x01(L2L\nK\x02t"
    b"cnumpy\ndtype\nq\x04(U\x02u1K\x00K\x01tRq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI00\n"
    b"U\x04\x00\xff\"'tb",
    2: b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01\x8a\x01\x02K"
    b"\x02\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89T\x04\x00\x00\x00\x00\xff\"'tb",
}


@pytest.mark.parametrize("protocol", range(3))
def test_pickles_of_python_2(tmp_path: Path, protocol: int):
    """Python 2 wrote the bytes of arrays as text, and knew dicts in order."""
    start = b"\x80\x02" if protocol == 2 else b""
    array = NUMPY_OF_PYTHON_2[protocol]
    items = b"(lp8\n(lp9\nS'X'\na" + array + b"aa(lS'n'\naI7\naa"
    (tmp_path / "a.pkl").write_bytes(start + b"ccollections\nOrderedDict\n(" + items + b"tR.")
    result = read_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(result["X"], [[0, 255], [34, 39]])
    assert result["n"] == 7


def test_frames_hide_nothing(tmp_path: Path):
    """Where a frame ends within an opcode, Python drops what is left of it and reads on; here nothing is dropped."""
    # Read whole: a string, then STOP. Read frame by frame, the rest of the first is dropped, and the string's
    # inside is next: a byte array of 2**62 bytes.
    inside = b"\x96" + (2**62).to_bytes(8, "little") + b"."
    string = b"\x8e" + len(inside).to_bytes(8, "little")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x05\x95" + (5).to_bytes(8, "little") + string + inside + b".")
    assert read_pickle(tmp_path / "a.pkl") == inside


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut off"),
        (b"\x80\x04]", "cut off"),
        (b"\x80\x04\x8c\x09abc.", "cut off"),
        (b"a.", "cut off"),
        (b"h\x05.", "cut off"),
        (b"\x80\x09N.", "protocol 9"),
        (b"\xffhello", "no pickle"),
        (b"(S'touch ran'\nios\nsystem\n.", "INST"),
        (b"Pnumpy\n.", "PERSID"),
        (b"}(I1\nI2\ntNs.", "keys of type tuple"),
        (b"L" + b"9" * 30 + b"L\n.", "64 bits"),
        (b"S'\\N{BULLET}'\n.", "cut off"),
        (b"]N\x85R.", "unusual way"),
        (b"cnumpy\ndtype\n.", "numpy.dtype"),
    ],
)
def test_damaged_pickles(tmp_path: Path, content: bytes, message: str):
    """What is torn, is no pickle, or is made of what no pickle of arrays is made of, is refused in clear words."""
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_pickle(tmp_path / "a.pkl")


def test_memo_bomb(tmp_path: Path):
    """A memo slot far past the file's size costs no memory."""
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04Nr\xff\xff\xff\x7f.")
    with pytest.raises(FileError, match="past its own size"):
        read_pickle(tmp_path / "a.pkl")


def test_a_meter_runs_out():
    """A pickle may make so much of itself, in proportion to its size, and no more."""
    meter = Meter(1000)
    meter.take(meter.most_bytes)
    with pytest.raises(FileError, match="again and again"):
        meter.take(1)
    assert Meter(10**6).most_bytes > meter.most_bytes


@pytest.mark.parametrize("key", [(), 0.5, None, True, np.int64(1)])
def test_keys_are_texts_numbers_or_bytes(key: object):
    """Others may take for ever to compare; they are refused, and the dict stays as it was."""
    content: dict[object, object] = {}
    with pytest.raises(FileError, match=f"keys of type {type(key).__name__}"):
        set_items(content, ["a", key], [1, 2])
    assert content == {}
    set_items(content, ["a", 7, b"b"], [1, 2, 3])
    assert content == {"a": 1, 7: 2, b"b": 3}
