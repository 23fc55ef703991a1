import pickle
from pathlib import Path

import numpy as np
import pytest

from smidgen.data.open import open_dataset
from smidgen.errors import InputError


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    clean = np.random.default_rng(0).random((20, 5, 5))
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps((clean + clean[::-1], clean)))
    return path


def test_labels_may_come_from_elsewhere(tmp_path: Path, pickled: Path):
    """--labels is used with a file of pairs, and a missing labels file is not passed over."""
    np.save(tmp_path / "labels.npy", np.arange(20))
    assert open_dataset(str(pickled), labels=tmp_path / "labels.npy").val.labels is not None
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(str(pickled), labels=tmp_path / "none.npy")


def test_a_task_a_file_and_two_files(tmp_path: Path, pickled: Path):
    """Pairs open by a task's name, from one file, or from two."""
    assert open_dataset("digits-on-garments-sample").origin.shape == (28, 28, 1)
    one = open_dataset(str(pickled))
    assert one.origin.shape == (5, 5, 1)
    noisy, clean = pickle.loads(pickled.read_bytes())
    np.save(tmp_path / "x.npy", noisy)
    np.save(tmp_path / "y.npy", clean)
    two = open_dataset(noisy=tmp_path / "x.npy", clean=tmp_path / "y.npy", val=pickled)
    assert len(two.val) == 20
    assert one.source_fingerprint == two.source_fingerprint
    assert one.fingerprint != two.fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no pairs"),
        ({"pairs": "cats"}, "is not a file, a folder or a task"),
        ({"pairs": "c" * 300}, "is not a file, a folder or a task"),
        ({"noisy": Path("x.npy")}, "does not exist"),
        ({"pairs": "a.pkl", "noisy": Path("x.npy")}, "are both given"),
        ({"pairs": "digits-on-garments-sample", "val": Path("v.pkl")}, "its own labels"),
    ],
)
def test_contradictions_are_explained(arguments: dict[str, object], message: str):
    """Nothing, too little or too much is each said in its own words."""
    with pytest.raises(InputError, match=message):
        open_dataset(**arguments)


def test_a_files_own_test_and_validation_pairs(tmp_path: Path):
    """What a file sets aside is what is validated and tested on, unless --val and --test name others."""
    clean = np.random.default_rng(0).random((20, 5, 5))
    noisy = clean + clean[::-1]
    own = {"x_train": noisy, "y_train": clean, "x_test": noisy[:7], "y_test": clean[:7], "notes": clean}
    np.savez(tmp_path / "own.npz", **own, x_val=noisy[:4], y_val=clean[:4])
    np.savez(tmp_path / "other.npz", X=noisy[:3], y=clean[:3])
    dataset = open_dataset(str(tmp_path / "own.npz"))
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (20, 4, 7)
    assert any("'notes', not used" in warning for warning in dataset.warnings)
    other = tmp_path / "other.npz"
    dataset = open_dataset(str(tmp_path / "own.npz"), val=other, test=other)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (20, 3, 3)
    own_file = tmp_path / "own.npz"
    dataset = open_dataset(str(other), val=own_file, test=own_file)
    assert (len(dataset.val), len(dataset.test)) == (4, 7)
