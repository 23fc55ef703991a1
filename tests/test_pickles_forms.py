import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smidgen.errors import FileError
from smidgen.pickles.unpickle import read_pickle
from tests.opcodes import PROTOCOLS, write


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
def test_numbers_as_objects(tmp_path: Path, protocol: int):
    """Arrays and tables whose numbers were kept as Python objects keep their shape."""
    array = np.arange(6).reshape(2, 3)
    values = read_pickle(write(tmp_path / "a.pkl", (array.astype(object), pd.DataFrame(array, dtype=object)), protocol))
    np.testing.assert_array_equal(values, [array, array])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_dates(tmp_path: Path, protocol: int):
    """An array of what is no number is refused by its type, at any protocol."""
    with pytest.raises(FileError, match=r"array of type '(M8|V8)'"):
        read_pickle(write(tmp_path / "a.pkl", np.zeros(3, "V8" if protocol == 5 else "M8[s]"), protocol))


def test_promised_but_missing_data(tmp_path: Path):
    """An array whose shape says more than its bytes hold is refused before memory is taken."""
    good = pickle.dumps(np.zeros((2, 3)), protocol=4)
    assert good.count(b"K\x02K\x03\x86") == 1
    (tmp_path / "a.pkl").write_bytes(good.replace(b"K\x02K\x03\x86", b"K\xffK\xff\x86"))
    with pytest.raises(FileError, match=r"expected|Expected"):
        read_pickle(tmp_path / "a.pkl")


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


def test_a_name_cannot_leave_its_line(tmp_path: Path):
    """A refused name is shown cut short and without what moves a terminal's cursor."""
    name = b"os\x1b[2J" + b"x" * 10**5
    (tmp_path / "a.pkl").write_bytes(b"X" + len(name).to_bytes(4, "little") + name + b"X\x04\x00\x00\x00a\nb\r\x93.")
    with pytest.raises(FileError, match=r"'os\?\[2Jxxx") as error:
        read_pickle(tmp_path / "a.pkl")
    assert len(str(error.value)) < 600
    assert str(error.value).isprintable()
