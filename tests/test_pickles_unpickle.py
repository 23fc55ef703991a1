import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from smidgen.errors import FileError
from smidgen.pickles.unpickle import read_pickle
from tests.opcodes import PROTOCOLS, write


def test_containers_and_scalars(tmp_path: Path):
    """Tuples, lists, dicts, object arrays and numpy scalars are what course pickles hold."""
    objects = np.empty(2, object)
    objects[:] = [np.ones((2, 2)), np.zeros((2, 2))]
    content = collections.OrderedDict(X=[np.ones(3)], y=objects, n=np.float64(2.5))
    result = read_pickle(write(tmp_path / "a.pkl", content))
    np.testing.assert_array_equal(result["X"][0], np.ones(3))
    assert len(result["y"]) == 2
    assert result["n"] == 2.5


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


def test_pandas_names_stay_inert(tmp_path: Path):
    """Even a pandas function that reads files is only noted, never called."""
    (tmp_path / "inner.pkl").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    (tmp_path / "a.pkl").write_bytes(b"cpandas\nread_pickle\n(V" + str(tmp_path / "inner.pkl").encode() + b"\ntR.")
    with pytest.raises(FileError, match="neither an array nor a table"):
        read_pickle(tmp_path / "a.pkl")
    assert not (tmp_path / "ran").exists()


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


@pytest.mark.no_cover  # which would take three times as long
def test_many_small_arrays(tmp_path: Path):
    """All of MNIST in two lists of arrays, as protocol 2 writes them, is not more than may be read."""
    images = np.zeros((70_000, 16, 16), np.uint8)
    noisy, clean = read_pickle(write(tmp_path / "a.pkl", (list(images), list(images)), protocol=2))
    assert len(noisy) == len(clean) == 70_000
