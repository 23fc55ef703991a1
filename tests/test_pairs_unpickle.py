import collections
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smidgen.data.unpickle import read_pickle
from smidgen.errors import FileError
from tests import opcodes

PROTOCOLS = range(6)


def write(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ["u1", "i8", "f4", "f8", ">f4", "?"])
def test_arrays_of_every_protocol(tmp_path: Path, protocol: int, kind: str):
    """Arrays of every number type come back from every pickle protocol."""
    array = (np.arange(24).reshape(2, 3, 4) % 2).astype(kind)
    np.testing.assert_array_equal(read_pickle(write(tmp_path / "a.pkl", array, protocol)), array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_fortran_order(tmp_path: Path, protocol: int):
    """A column-major array comes back with its values in place."""
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(read_pickle(write(tmp_path / "a.pkl", array, protocol)), array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tables_of_every_protocol(tmp_path: Path, protocol: int):
    """A DataFrame comes back as its values, a Series as one column, without pandas being called."""
    frame = pd.DataFrame(np.arange(12.0).reshape(3, 4))
    frame["more"] = np.arange(3)
    series = pd.Series([7, 8, 9])
    values, labels = read_pickle(write(tmp_path / "a.pkl", (frame, series), protocol))
    np.testing.assert_array_equal(values, frame.to_numpy())
    np.testing.assert_array_equal(labels, [7, 8, 9])


def test_table_of_named_columns(tmp_path: Path):
    """Named columns of mixed number types keep their order."""
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [3, 4]})
    np.testing.assert_array_equal(read_pickle(write(tmp_path / "a.pkl", frame)), frame.to_numpy())


def test_containers_and_scalars(tmp_path: Path):
    """Tuples, lists, dicts, object arrays and numpy scalars are what course pickles hold."""
    objects = np.empty(2, object)
    objects[:] = [np.ones((2, 2)), np.zeros((2, 2))]
    content = collections.OrderedDict(X=[np.ones(3)], y=objects, n=np.float64(2.5))
    result = read_pickle(write(tmp_path / "a.pkl", content))
    np.testing.assert_array_equal(result["X"][0], np.ones(3))
    assert len(result["y"]) == 2
    assert result["n"] == 2.5


def test_text_columns_are_refused(tmp_path: Path):
    """A table with text among its columns is not images, and the error says so."""
    with pytest.raises(FileError, match=r"columns that are not numbers|neither an array"):
        read_pickle(write(tmp_path / "a.pkl", pd.DataFrame({"a": ["x", "y"]})))


class Runs:
    """An object whose pickle would run a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickle_that_runs_code_is_refused_by_name(tmp_path: Path, protocol: int):
    """A pickle that would run a command names it in the error and runs nothing."""
    marker = tmp_path / "ran"
    with pytest.raises(FileError, match="system"):
        read_pickle(write(tmp_path / "a.pkl", (Runs(marker), 1), protocol))
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins eval", "builtins exec", "builtins getattr", "os system", "posix system", "subprocess Popen",
     "numpy load", "numpy.testing measure", "functools partial", "operator attrgetter", "pickle loads"],
)  # fmt: skip
def test_dangerous_names_are_refused(tmp_path: Path, name: str):
    """Names with which a pickle could run code are not on the list."""
    module, attribute = name.split()
    (tmp_path / "a.pkl").write_bytes(f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(FileError, match=attribute):
        read_pickle(tmp_path / "a.pkl")


def test_pandas_names_stay_inert(tmp_path: Path):
    """Even a pandas function that reads files is only noted, never called."""
    (tmp_path / "inner.pkl").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    (tmp_path / "a.pkl").write_bytes(b"cpandas\nread_pickle\n(V" + str(tmp_path / "inner.pkl").encode() + b"\ntR.")
    with pytest.raises(FileError, match="neither an array nor a table"):
        read_pickle(tmp_path / "a.pkl")
    assert not (tmp_path / "ran").exists()


def test_promised_but_missing_data(tmp_path: Path):
    """An array whose shape says more than its bytes hold is refused before memory is taken."""
    good = pickle.dumps(np.zeros((2, 3)), protocol=4)
    assert good.count(b"K\x02K\x03\x86") == 1
    (tmp_path / "a.pkl").write_bytes(good.replace(b"K\x02K\x03\x86", b"K\xffK\xff\x86"))
    with pytest.raises(FileError, match=r"expected|Expected"):
        read_pickle(tmp_path / "a.pkl")


def test_memo_bomb(tmp_path: Path):
    """A memo slot far past the file's size costs no memory."""
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04Nr\xff\xff\xff\x7f.")
    with pytest.raises(FileError, match="past its own size"):
        read_pickle(tmp_path / "a.pkl")


def test_shared_references_are_resolved_once(tmp_path: Path):
    """Ten references to ten references, thirty levels deep, are refused in no time; so is a cycle."""
    level: list[object] = [np.ones(2)]
    for _ in range(28):
        level = [level] * 10
    with pytest.raises(FileError, match="again and again"):
        read_pickle(write(tmp_path / "a.pkl", level))
    image = np.ones((50, 50))
    noisy, clean = read_pickle(write(tmp_path / "a.pkl", ([image * n for n in range(9)], [image] * 9)))
    assert len(noisy) == len(clean) == 9
    level = []
    level.append(level)
    with pytest.raises(FileError, match="deep"):
        read_pickle(write(tmp_path / "a.pkl", level))


def test_deep_nesting(tmp_path: Path):
    """A thousand lists within lists end with an error, not with a crash."""
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + b"]" * 1000 + b"a" * 999 + b".")
    with pytest.raises(FileError, match="deep"):
        read_pickle(tmp_path / "a.pkl")


def test_frames_hide_nothing(tmp_path: Path):
    """Where a frame ends within an opcode, Python drops what is left of it and reads on; here nothing is dropped."""
    # Read whole: a string, then STOP. Read frame by frame, the rest of the first is dropped, and the string's
    # inside is next: a byte array of 2**62 bytes.
    inside = b"\x96" + (2**62).to_bytes(8, "little") + b"."
    string = b"\x8e" + len(inside).to_bytes(8, "little")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x05\x95" + (5).to_bytes(8, "little") + string + inside + b".")
    assert read_pickle(tmp_path / "a.pkl") == inside


def test_reads_what_pandas_reads(tmp_path: Path):
    """The values equal those that pandas itself gives back."""
    frame = pd.DataFrame(np.random.default_rng(0).random((5, 784)).astype(np.float32))
    path = write(tmp_path / "a.pkl", frame)
    np.testing.assert_array_equal(read_pickle(path), pd.read_pickle(io.BytesIO(path.read_bytes())).to_numpy())


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 0, 2), (2, 1, 0)])
def test_transposed_arrays(tmp_path: Path, protocol: int, axes: tuple[int, int, int]):
    """Arrays with their axes in another order than in memory, as numpy 2.3 and later write them, come back."""
    array = np.arange(24).reshape(2, 3, 4).transpose(axes)
    np.testing.assert_array_equal(read_pickle(write(tmp_path / "a.pkl", array, protocol)), array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mapped_arrays(tmp_path: Path, protocol: int):
    """An array that lay in a file when it was pickled is an array like any other."""
    mapped = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(2, 3))
    mapped[:] = [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(read_pickle(write(tmp_path / "a.pkl", mapped, protocol)), [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "digits",
    [pd.Series(["5", "0", "5"], dtype="category"), pd.Categorical(["5", "0", "5"]), pd.Series(["5", "0", "5"]),
     pd.Series(["5", "0", "5"], dtype="string"), np.array(["5", "0", "5"], object), pd.Index(["5", "0", "5"])],
    ids=["categorical", "categories", "texts", "string", "objects", "index"],
)  # fmt: skip
def test_digits_as_texts(tmp_path: Path, protocol: int, digits: object):
    """Texts of digits, of categories or not, as scikit-learn's fetch_openml gives labels."""
    assert read_pickle(write(tmp_path / "a.pkl", digits, protocol)) == ["5", "0", "5"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_categories_that_are_numbers(tmp_path: Path, protocol: int):
    """Labels as categories of numbers come back as these numbers, whatever their codes."""
    for categories in ([9, 7], range(7, 10)):
        numbers = pd.Series(pd.Categorical([7, 9, 7], categories=categories))
        np.testing.assert_array_equal(read_pickle(write(tmp_path / "a.pkl", numbers, protocol)), [7, 9, 7])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nullable_columns(tmp_path: Path, protocol: int):
    """Columns that may lack values are read as numbers, with NaN where one is missing, alone and in a table."""
    whole = pd.Series([1, 2, 3], dtype="Int64")
    frame = pd.DataFrame({"a": whole, "b": pd.Series([1, None, 3], dtype="UInt8"), "c": [0.5, 1.5, 2.5]})
    values, alone = read_pickle(write(tmp_path / "a.pkl", (frame, whole), protocol))
    np.testing.assert_array_equal(alone, [1, 2, 3])
    assert alone.dtype == np.int64
    np.testing.assert_array_equal(values, [[1, 1, 0.5], [2, np.nan, 1.5], [3, 3, 2.5]])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_series_of_arrays(tmp_path: Path, protocol: int):
    """A column with an image in each row is a list of images."""
    images = [np.arange(4).reshape(2, 2) + n for n in range(3)]
    result = read_pickle(write(tmp_path / "a.pkl", pd.Series(images), protocol))
    np.testing.assert_array_equal(result, images)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_as_objects(tmp_path: Path, protocol: int):
    """Arrays and tables whose numbers were kept as Python objects keep their shape."""
    array = np.arange(6).reshape(2, 3)
    values = read_pickle(write(tmp_path / "a.pkl", (array.astype(object), pd.DataFrame(array, dtype=object)), protocol))
    np.testing.assert_array_equal(values, [array, array])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tables_with_names_of_every_kind(tmp_path: Path, protocol: int):
    """Names of rows and columns are passed over, whatever they are: texts, dates, several levels."""
    values = np.arange(8.0).reshape(2, 4)
    for names in (
        {"columns": list("abcd"), "index": ["one", "two"]},
        {"index": pd.date_range("2020", periods=2)},
        {"columns": pd.MultiIndex.from_product([["a", "b"], [1, 2]])},
        {"columns": pd.Index(list("abcd"), dtype="category")},
    ):
        frame = pd.DataFrame(values, **names)
        np.testing.assert_array_equal(read_pickle(write(tmp_path / "a.pkl", frame, protocol)), values)


def test_texts_in_buffers_of_pyarrow(tmp_path: Path):
    """Where pyarrow is installed, pandas keeps texts in its buffers, also those of categories and of columns' names."""
    digits = opcodes.arrow_texts("5", "0", "12")
    codes = opcodes.array(opcodes.content(b"\2\0\1"), (3,), "i1")
    for made, expected in (
        (opcodes.series(digits), ["5", "0", "12"]),
        (opcodes.series(opcodes.categories(codes, opcodes.index_of(digits))), ["12", "5", "0"]),
    ):
        (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + made + b".")
        assert read_pickle(tmp_path / "a.pkl") == expected


def test_categories_of_pandas_before_1_3(tmp_path: Path):
    """Then a categorical was given its state as a dict."""
    index = opcodes.index_of(opcodes.array(opcodes.row(b"U\x015", b"U\x017"), (2,), "O8"))
    state = opcodes.table(
        _dtype=opcodes.made("pandas.core.dtypes.dtypes CategoricalDtype", opcodes.table(categories=index)),
        _codes=opcodes.array(opcodes.content(b"\1\0"), (2,), "i1"),
    )
    made = opcodes.made("pandas.core.arrays.categorical Categorical", state)
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02" + made + b".")
    assert read_pickle(tmp_path / "a.pkl") == ["7", "5"]


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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_dates(tmp_path: Path, protocol: int):
    """An array of what is no number is refused by its type, at any protocol."""
    with pytest.raises(FileError, match=r"array of type '(M8|V8)'"):
        read_pickle(write(tmp_path / "a.pkl", np.zeros(3, "V8" if protocol == 5 else "M8[s]"), protocol))


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


def test_a_name_cannot_leave_its_line(tmp_path: Path):
    """A refused name is shown cut short and without what moves a terminal's cursor."""
    name = b"os\x1b[2J" + b"x" * 10**5
    (tmp_path / "a.pkl").write_bytes(b"X" + len(name).to_bytes(4, "little") + name + b"X\x04\x00\x00\x00a\nb\r\x93.")
    with pytest.raises(FileError, match=r"'os\?\[2Jxxx") as error:
        read_pickle(tmp_path / "a.pkl")
    assert len(str(error.value)) < 600
    assert str(error.value).isprintable()


def test_columns_are_filled_once_each(tmp_path: Path):
    """Blocks of a table that overlap, leave a column out or lie outside would show memory that nobody wrote to."""
    block = opcodes.array(opcodes.content(bytes(range(32))), (2, 16))
    for first, second in ((0, 0), (0, 1), (0, 3), (1, 2)):
        table = opcodes.frame((block, opcodes.piece(first, first + 2)), (block, opcodes.piece(second, second + 2)))
        (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + table + b".")
        with pytest.raises(FileError, match="placed"):
            read_pickle(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + opcodes.frame((block, opcodes.piece(0, 2)), (b"N", b"N")) + b".")
    with pytest.raises(FileError, match="not numbers"):
        read_pickle(tmp_path / "a.pkl")
    table = opcodes.frame((block, opcodes.piece(2, 4)), (block, opcodes.piece(0, 2)))
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + table + b".")
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pkl")[0], [0, 16, 0, 16])
