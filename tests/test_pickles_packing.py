import bz2
import gzip
import lzma
import pickle
import zlib
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from smidgen.data.formats import read_array, read_pairs
from smidgen.errors import FileError
from smidgen.pickles.packing import read_unpacked
from smidgen.pickles.unpickle import read_pickle

X = np.random.default_rng(0).integers(0, 255, (6, 4, 4), np.uint8)
Y = (X / 255).astype(np.float32)
LABELS = np.arange(6)
PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "z": zlib.compress}


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("name", ["a.pkl", "A.PICKLE", "a.p"])
def test_packed_pickles(tmp_path: Path, suffix: str, name: str):
    """A pickle that was packed whole is read like any other, as pairs and as one half of them."""
    path = tmp_path / f"{name}.{suffix}"
    path.write_bytes(PACKERS[suffix](pickle.dumps((X, Y, LABELS))))
    raw = read_pairs(path)
    np.testing.assert_array_equal(np.stack(raw.noisy)[..., 0], X)
    np.testing.assert_array_equal(raw.labels, LABELS)
    path.write_bytes(PACKERS[suffix](pickle.dumps(X)))
    np.testing.assert_array_equal(read_array(path), X)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)], ids=str)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_files_of_joblib(tmp_path: Path, compress: int | tuple[str, int], protocol: int):
    """What joblib dumped is read in each way that it packs, whatever holds the arrays and however they lie."""
    tables = tuple(pd.DataFrame(array.reshape(6, 16)) for array in (X, Y))
    for content in ((X, Y), {"X": np.asfortranarray(X), "y": Y.astype(">f4")}, tables, (list(X), list(Y)),
                    (torch.tensor(X), torch.tensor(Y))):  # fmt: skip
        joblib.dump(content, tmp_path / "a.joblib", compress=compress, protocol=protocol)
        raw = read_pairs(tmp_path / "a.joblib")
        np.testing.assert_array_equal(np.stack(raw.noisy)[..., 0], X)
        np.testing.assert_array_equal(np.stack(raw.clean)[..., 0], Y)


def test_joblib_of_objects_and_torn(tmp_path: Path):
    """An array of objects in joblib's form, and one that is cut off, are refused."""
    joblib.dump(np.array([{}], object), tmp_path / "a.joblib")
    with pytest.raises(FileError, match="joblib's file holds an array that cannot be read"):
        read_pickle(tmp_path / "a.joblib")
    joblib.dump(X, tmp_path / "a.joblib")
    (tmp_path / "a.joblib").write_bytes((tmp_path / "a.joblib").read_bytes()[:-20])
    with pytest.raises(FileError, match="bytes"):
        read_pickle(tmp_path / "a.joblib")


@pytest.mark.parametrize("suffix", PACKERS)
def test_torn_packing(tmp_path: Path, suffix: str):
    """A packed file that is cut off is refused."""
    (tmp_path / "a.pkl").write_bytes(PACKERS[suffix](pickle.dumps((X, Y)))[:-6])
    with pytest.raises(FileError, match=r"a\.pkl"):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("suffix", PACKERS)
def test_packing_has_its_bounds(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch):
    """A file that unpacks to more than it may is refused; what it holds then is not unpacked any further."""
    monkeypatch.setattr("smidgen.pickles.packing.most_unpacked", lambda _: 2000)
    (tmp_path / "a").write_bytes(PACKERS[suffix](bytes(1000)))
    assert read_unpacked(tmp_path / "a") == (bytes(1000), (tmp_path / "a").stat().st_size)
    (tmp_path / "a").write_bytes(PACKERS[suffix](bytes(1001)))
    with pytest.raises(FileError, match="unpacks to more than 1,000 bytes"):
        read_unpacked(tmp_path / "a")


def test_lz4_is_named(tmp_path: Path):
    """What joblib packed by lz4 is told apart, with the ways that are known."""
    (tmp_path / "a.joblib").write_bytes(b"\x04\x22\x4d\x18" + bytes(40))
    with pytest.raises(FileError, match=r"packed by lz4.*gzip"):
        read_pickle(tmp_path / "a.joblib")
