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


def test_frames_that_cut_an_opcode(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """A pickle that the unpickler would read otherwise than it was checked is refused, and nothing else is said."""
    # Read whole: a string, then STOP. Read frame by frame, the rest of the first is dropped, and the string's
    # inside is next: a byte array of 2**62 bytes.
    inside = b"\x96" + (2**62).to_bytes(8, "little") + b"."
    string = b"\x8e" + len(inside).to_bytes(8, "little")
    for content in (
        b"\x80\x05\x95" + (5).to_bytes(8, "little") + string + inside + b".",
        b"\x80\x05\x95" + (40).to_bytes(8, "little") + b"\x95" + (1).to_bytes(8, "little") + b"N" * 40 + b".",
    ):
        (tmp_path / "a.pkl").write_bytes(content)
        with pytest.raises(FileError, match="frames"):
            read_pickle(tmp_path / "a.pkl")
    assert capfd.readouterr().err == ""


def test_reads_what_pandas_reads(tmp_path: Path):
    """The values equal those that pandas itself gives back."""
    frame = pd.DataFrame(np.random.default_rng(0).random((5, 784)).astype(np.float32))
    path = write(tmp_path / "a.pkl", frame)
    np.testing.assert_array_equal(read_pickle(path), pd.read_pickle(io.BytesIO(path.read_bytes())).to_numpy())
