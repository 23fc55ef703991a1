import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smidgen.errors import FileError
from smidgen.pickles.unpickle import read_pickle
from tests import opcodes
from tests.opcodes import PROTOCOLS, write


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


def test_reads_what_pandas_reads(tmp_path: Path):
    """The values equal those that pandas itself gives back."""
    frame = pd.DataFrame(np.random.default_rng(0).random((5, 784)).astype(np.float32))
    path = write(tmp_path / "a.pkl", frame)
    np.testing.assert_array_equal(read_pickle(path), pd.read_pickle(io.BytesIO(path.read_bytes())).to_numpy())


def test_text_columns_are_refused(tmp_path: Path):
    """A table with text among its columns is not images, and the error says so."""
    with pytest.raises(FileError, match=r"columns that are not numbers|neither an array"):
        read_pickle(write(tmp_path / "a.pkl", pd.DataFrame({"a": ["x", "y"]})))


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
