import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smidgen.data.formats import read_pairs, read_parts
from smidgen.errors import PairsError

X = np.random.default_rng(0).integers(0, 255, (8, 4, 4), np.uint8)
Y = np.random.default_rng(1).integers(0, 255, (8, 4, 4), np.uint8)
LABELS = [5, 0, 4, 1, 9, 2, 1, 3]
TRAIN, VAL, TEST = slice(0, 4), slice(4, 6), slice(6, 8)


def write(folder: Path, content: dict[str, object], kind: str = "pkl") -> Path:
    path = folder / f"a.{kind}"
    if kind == "npz":
        np.savez(path, **content)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


@pytest.mark.parametrize("kind", ["pkl", "npz"])
@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("X_train", "Y_train", "X_TEST", "Y_TEST"),
     ("noisy_train", "clean_train", "noisy_test", "clean_test"), ("train_x", "train_y", "test_x", "test_y"),
     ("x_train_noisy", "x_train", "x_test_noisy", "x_test"), ("X", "y", "X_test", "y_test"),
     ("trainX", "trainY", "testX", "testY")],
)  # fmt: skip
def test_a_test_part_is_kept_apart(tmp_path: Path, kind: str, names: tuple[str, ...]):
    """What a file sets aside for tests is found under any usual name, beside what is for training."""
    arrays = (X[TRAIN], Y[TRAIN], X[TEST], Y[TEST])
    parts = read_parts(write(tmp_path, dict(zip(names, arrays, strict=True)), kind))
    np.testing.assert_array_equal(np.stack(parts.train.noisy)[..., 0], X[TRAIN])
    np.testing.assert_array_equal(np.stack(parts.train.clean)[..., 0], Y[TRAIN])
    np.testing.assert_array_equal(np.stack(parts.test.noisy)[..., 0], X[TEST])
    np.testing.assert_array_equal(np.stack(parts.test.clean)[..., 0], Y[TEST])
    assert parts.val is None
    assert parts.warnings == ()


def test_three_parts_with_labels(tmp_path: Path):
    """Each part has labels of its own."""
    content = {
        f"{name}_{part}": array[where]
        for part, where in (("train", TRAIN), ("valid", VAL), ("test", TEST))
        for name, array in (("x", X), ("y", Y), ("labels", np.array(LABELS)))
    }
    parts = read_parts(write(tmp_path, content))
    for raw, where in ((parts.train, TRAIN), (parts.val, VAL), (parts.test, TEST)):
        np.testing.assert_array_equal(np.stack(raw.clean)[..., 0], Y[where])
        np.testing.assert_array_equal(raw.labels, LABELS[where])


def test_parts_within_a_dict(tmp_path: Path):
    """Parts may themselves be dicts or tuples."""
    val, test = [X[VAL], Y[VAL], LABELS[VAL]], (X[TEST], Y[TEST])
    content = {"train": {"X": X[TRAIN], "y": Y[TRAIN]}, "val": val, "test": test}
    parts = read_parts(write(tmp_path, content))
    np.testing.assert_array_equal(np.stack(parts.train.noisy)[..., 0], X[TRAIN])
    np.testing.assert_array_equal(parts.val.labels, LABELS[VAL])
    np.testing.assert_array_equal(np.stack(parts.test.clean)[..., 0], Y[TEST])


def test_one_part_alone_is_all_there_is(tmp_path: Path):
    """A file of test pairs only is a file of pairs."""
    parts = read_parts(write(tmp_path, {"x_test": X, "y_test": Y, "labels_test": LABELS}))
    assert len(parts.train) == 8
    np.testing.assert_array_equal(parts.train.labels, LABELS)
    assert (parts.val, parts.test) == (None, None)


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_part_of_a_file_of_several(tmp_path: Path, part: str):
    """Asked for validation or test pairs, a file gives that part if it has parts, and else all it has."""
    path = write(tmp_path, {"x_train": X[TRAIN], "y_train": Y[TRAIN], f"x_{part}": X[TEST], f"y_{part}": Y[TEST]})
    np.testing.assert_array_equal(np.stack(read_pairs(path, part=part).noisy)[..., 0], X[TEST])
    other = {"val": "test", "test": "val"}[part]
    with pytest.raises(PairsError, match=f"none called '{other}'"):
        read_pairs(path, part=other)
    assert len(read_pairs(write(tmp_path, {"X": X, "y": Y}), part=part)) == 8


@pytest.mark.parametrize("kind", ["pkl", "npz"])
@pytest.mark.parametrize("names", [("X", "x"), ("y", "Y"), ("x_train", "train_x"), ("labels_test", "test_labels")])
def test_two_keys_that_mean_the_same(tmp_path: Path, kind: str, names: tuple[str, str]):
    """Neither of them wins: both are named."""
    content = {"X": X, "y": Y} | dict.fromkeys(names, X)
    with pytest.raises(PairsError, match=f"'{names[0]}', '{names[1]}', which mean the same"):
        read_parts(write(tmp_path, content, kind))


@pytest.mark.parametrize("kind", ["pkl", "npz"])
def test_what_is_not_used_is_told(tmp_path: Path, kind: str):
    """Keys that mean nothing here, halves of a part, and what a part of training pairs stands before, are named."""
    content = {"X": X, "y": Y, "X_test": X, "masks": X, "x_train": X, "y_train": Y, "values": X}
    parts = read_parts(write(tmp_path, content, kind))
    assert parts.test is None
    assert parts.warnings == (f"{tmp_path}/a.{kind} also holds 'X', 'y', 'X_test', 'masks', 'values', not used",)


def test_labels_where_clean_images_should_be(tmp_path: Path):
    """In other courses y_train holds labels; the error says what they are and where they go."""
    content = {"x_train": X, "y_train": np.array(LABELS), "x_test": X, "y_test": np.array(LABELS)}
    with pytest.raises(PairsError, match=r"y \(clean\) has shape \(8,\).*labels.*'labels'"):
        read_parts(write(tmp_path, content))


def test_keys_of_python_2(tmp_path: Path):
    """Bytes are as good as text."""
    np.testing.assert_array_equal(np.stack(read_pairs(write(tmp_path, {b"X": X, b"y": Y})).clean)[..., 0], Y)


@pytest.mark.parametrize("items", [2, 3])
@pytest.mark.parametrize("of", [tuple, list])
@pytest.mark.parametrize("rows", [tuple, list])
def test_pairs_one_after_the_other(tmp_path: Path, items: int, of: type, rows: type):
    """[(x0, y0), (x1, y1), …] and what zip makes of it are the same pairs, with labels or without."""
    pairs = [of(item[:items]) for item in zip(X, Y, LABELS, strict=True)]
    for content in (rows(pairs), rows(zip(*pairs, strict=True))):
        raw = read_pairs(write(tmp_path, content))
        np.testing.assert_array_equal(np.stack(raw.noisy)[..., 0], X)
        np.testing.assert_array_equal(np.stack(raw.clean)[..., 0], Y)
        assert (raw.labels is not None) == (items == 3)


@pytest.mark.parametrize(
    "labels",
    [pd.Series(list("50419213"), dtype="category"), pd.Series(list("50419213")), np.array(list("50419213")),
     np.array(list("50419213"), "S"), [b"5", b"0", b"4", b"1", b"9", b"2", b"1", b"3"], tuple("50419213"),
     pd.Series(LABELS, dtype="Int64"), pd.Series(LABELS, dtype="category"), [np.int64(n) for n in LABELS]],
    ids=["categories", "texts", "array", "bytes", "list of bytes", "tuple", "nullable", "numbers", "scalars"],
)  # fmt: skip
def test_labels_of_every_kind(tmp_path: Path, labels: object):
    """Labels may be digits written as text, as fetch_openml gives them, categories, or numbers that may be missing."""
    np.testing.assert_array_equal(read_pairs(write(tmp_path, (X, Y, labels))).labels, LABELS)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(list("5041921x"), "hold 'x'"), (pd.Series(["cat", "dog"] * 4, dtype="category"), "hold 'cat'"),
     (["9" * 30] * 8, "hold '9999"), (["5", 0, "4", 1, "9", 2, "1", 3], "type str"),
     ([["5"]] * 8, "type str"), ([None] * 8, "type NoneType"), (pd.Series([1, None] * 4, dtype="Int64"), "float64"),
     (["\x1b[2J"] * 8, r"hold '\\x1b\[2J'")],
)  # fmt: skip
def test_labels_that_are_no_numbers(tmp_path: Path, labels: object, message: str):
    """A label that is no whole number is shown."""
    with pytest.raises(PairsError, match=f"labels .*{message}.*whole numbers"):
        read_pairs(write(tmp_path, (X, Y, labels)))


def test_labels_of_letters_that_there_are_none_of(tmp_path: Path):
    """A text in an array may hold numbers beyond all letters."""
    path = write(tmp_path, {"X": X, "y": Y, "labels": np.full(8, 2**31, np.uint32).view("<U1")}, "npz")
    with pytest.raises(PairsError, match="no texts"):
        read_pairs(path)


def test_texts_are_no_images(tmp_path: Path):
    """A list with texts in it is refused before an array as wide as the longest is made."""
    with pytest.raises(PairsError, match="values of type str"):
        read_pairs(write(tmp_path, (["x" * 10**6, *"y" * 10**5], Y)))
