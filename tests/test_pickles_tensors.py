import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from smidgen.data.formats import read_array, read_pairs
from smidgen.errors import FileError
from smidgen.pickles.unpickle import read_pickle
from tests.opcodes import content as binary
from tests.opcodes import pair, storage, tensor

KINDS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64,
         torch.bool, torch.uint16, torch.uint32, torch.uint64]  # fmt: skip
WHOLE = torch.arange(240).reshape(10, 4, 6)
VIEWS = {"whole": WHOLE, "part": WHOLE[3:7, :, 1:5], "steps": WHOLE[1::3, ::2], "turned": WHOLE.transpose(1, 2),
         "one": WHOLE[2, 3, 4], "none": WHOLE[:0], "spread": WHOLE[:1].expand(5, 4, 6)}  # fmt: skip


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def change(archive: bytes, **members: bytes | None) -> bytes:
    """A file of torch.save with members put in the place of others, or left out."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            member = members.get(name.rpartition("/")[2].replace(".", "_"), old.read(name))
            if member is not None:
                new.writestr(name, member)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("view", VIEWS)
def test_tensors_in_pickles_and_files(tmp_path: Path, kind: torch.dtype, view: str):
    """Tensors of every kind of real number, views too, come back from pickles and from files of torch.save."""
    expected = VIEWS[view].to(kind).numpy()
    given = VIEWS[view] if kind == torch.int64 else VIEWS[view].to(kind)
    for content in (pickle.dumps((given, {"a": given}), 2), pickle.dumps((given, {"a": given})),
                    saved((given, {"a": given}))):  # fmt: skip
        (tmp_path / "a.pt").write_bytes(content)
        first, second = read_pickle(tmp_path / "a.pt")
        for array in (first, second["a"]):
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)


def test_short_floats_and_parameters(tmp_path: Path):
    """Tensors of bfloat16 become float32 without a change, and parameters are the tensors they wrap."""
    short = torch.linspace(-3, 3, 24).reshape(2, 3, 4).bfloat16()
    for content in (pickle.dumps([short, torch.nn.Parameter(short)]), saved([short, torch.nn.Parameter(short)])):
        (tmp_path / "a.pkl").write_bytes(content)
        for array in read_pickle(tmp_path / "a.pkl"):
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, short.float().numpy())


@pytest.mark.parametrize("name", ["a.pkl", "a.pt", "A.PTH"])
@pytest.mark.parametrize("write", [pickle.dumps, saved], ids=["pickle", "torch.save"])
def test_pairs_of_tensors(tmp_path: Path, name: str, write):
    """Pairs and data sets of tensors are read by either way of saving and any of the endings; labels too."""
    noisy = torch.rand(6, 1, 8, 8)
    clean, labels = (noisy > 0.5).to(torch.uint8), torch.arange(6)
    for given in ((noisy, clean, labels), {"noisy": noisy, "clean": clean, "labels": labels},
                  TensorDataset(noisy, clean, labels)):  # fmt: skip
        (tmp_path / name).write_bytes(write(given))
        raw = read_pairs(tmp_path / name)
        np.testing.assert_array_equal(raw.noisy[..., 0], noisy[:, 0].numpy())
        np.testing.assert_array_equal(raw.clean[..., 0], clean[:, 0].numpy())
        np.testing.assert_array_equal(raw.labels, labels.numpy())
    (tmp_path / name).write_bytes(write(noisy))
    np.testing.assert_array_equal(read_array(tmp_path / name), noisy.numpy())


def test_views_share_their_storage(tmp_path: Path):
    """A list of the parts of one tensor takes no more memory than the tensor."""
    whole = torch.arange(4000).reshape(100, 40)
    (tmp_path / "a.pt").write_bytes(saved(list(whole)))
    parts = read_pickle(tmp_path / "a.pt")
    np.testing.assert_array_equal(parts, whole.numpy())
    assert all(np.shares_memory(part, np.frombuffer(parts[0].base)) for part in parts)


def test_files_of_old_torch_are_told_what_to_do(tmp_path: Path):
    """The form of torch before 1.6 is named, with a way out."""
    torch.save((WHOLE, WHOLE), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(FileError, match=r"before 1\.6.*torch\.save\(torch\.load"):
        read_pickle(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("tampered", "message"),
    [
        (tensor(storage("FloatStorage", bytes(64), 16), (4, 5), (4, 1)), "reaches number 16 of a storage of 16"),
        (tensor(storage("FloatStorage", bytes(64), 16), (4, 4), (4, 1), 1), "reaches number 16"),
        (tensor(storage("FloatStorage", bytes(64), 16), (4, 4), (-4, 1), 12), "unknown form"),
        (tensor(storage("FloatStorage", bytes(64), 16), (4, 4), (4, 1), -1), "unknown form"),
        (tensor(storage("FloatStorage", bytes(64), 16), (4,), (4, 1)), "unknown form"),
        (tensor(storage("FloatStorage", bytes(64), 17), (4, 4), (4, 1)), "17 numbers in 64 bytes"),
        (tensor(storage("FloatStorage", bytes(64), -1), (4, 4), (4, 1)), "numbers in 64 bytes"),
        (tensor(storage("ComplexFloatStorage", bytes(64), 8), (4,), (1,)), "unknown form"),
        (tensor(tensor(storage("ByteStorage", b"x", 1), (9,), (0,)), (9,), (1,)), "unknown form"),
        (tensor(binary(bytes(64)), (4,), (1,)), "unknown form"),
    ],
    ids=["sizes", "offset", "backwards", "before", "strides", "length", "negative length", "complex", "no storage",
         "bytes"],
)  # fmt: skip
def test_tensors_that_leave_their_storage(tmp_path: Path, tampered: bytes, message: str):
    """A view that reaches beyond its storage, or a storage that is not what it says, is refused."""
    (tmp_path / "a.pkl").write_bytes(pair(tampered))
    with pytest.raises(FileError, match=message):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"0": None}, "does not hold"),
        ({"0": b"short"}, "240 numbers in 5 bytes"),
        ({"data_pkl": None}, "none of torch.save"),
        ({"byteorder": b"big"}, "not little-endian"),
    ],
)
def test_damaged_files(tmp_path: Path, members: dict[str, bytes | None], message: str):
    """A file of torch.save that lacks a part, or holds another in its place, is refused."""
    (tmp_path / "a.pt").write_bytes(change(saved((WHOLE, WHOLE)), **members))
    with pytest.raises(FileError, match=message):
        read_pickle(tmp_path / "a.pt")
