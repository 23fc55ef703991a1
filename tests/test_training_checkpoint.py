import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from smidgen.errors import FileError
from smidgen.training.checkpoint import (
    Keeper,
    TrainingState,
    check_weights,
    load_checkpoint,
    pack_checkpoint,
    restore_generator,
)
from tests.conftest import TINY

HISTORY = [{"epoch": number, "loss": 0.5, "val_loss": 0.5} for number in (1, 2)]


def state() -> TrainingState:
    generator = np.random.default_rng(3)
    generator.random(5)
    return TrainingState(
        epoch=2, step=20, weights={"a": np.ones(2, np.float32)}, optimizer={"steps": np.array(20)},
        best_weights={"a": np.zeros(2, np.float32)}, best_epoch=1, best_val_loss=0.5,
        generator=dict(generator.bit_generator.state), history=HISTORY, seconds=3.5,
    )  # fmt: skip


def test_state_comes_back_whole(tmp_path: Path):
    """Everything that changes while training comes back, the generator to the next number."""
    (tmp_path / "c.npz").write_bytes(pack_checkpoint(state(), {"seed": 1}))
    loaded = load_checkpoint(tmp_path / "c.npz", {"seed": 1})
    assert (loaded.epoch, loaded.step, loaded.best_epoch, loaded.history) == (2, 20, 1, HISTORY)
    np.testing.assert_array_equal(loaded.weights["a"], np.ones(2))
    assert loaded.optimizer["steps"] == 20
    expected = np.random.default_rng(3)
    expected.random(5)
    assert restore_generator(loaded.generator).random() == expected.random()


def test_checkpoint_of_another_training_is_refused(tmp_path: Path):
    """Going on with other settings names the setting that differs."""
    (tmp_path / "c.npz").write_bytes(pack_checkpoint(state(), {"seed": 1, "epochs": 3}))
    with pytest.raises(FileError, match="epochs was 3 and is now 4"):
        load_checkpoint(tmp_path / "c.npz", {"seed": 1, "epochs": 4})


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_damaged_checkpoint(tmp_path: Path, share: float):
    """A checkpoint cut off anywhere is an error that says what to do."""
    path = tmp_path / "c.npz"
    path.write_bytes(pack_checkpoint(state(), {}))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(FileError, match="Delete it"):
        load_checkpoint(path, {})


def test_a_checkpoint_of_torch_is_refused(tmp_path: Path):
    """Who goes on with a training of a version that needed torch is told so, and begins anew elsewhere."""
    (tmp_path / "checkpoint.pt").write_bytes(b"old")
    with pytest.raises(FileError, match="trained with torch"):
        Keeper(tmp_path, {}).open(resume=True)
    assert Keeper(tmp_path, {}).open(resume=False) is None


def test_a_checkpoint_that_unpacks_to_very_much(tmp_path: Path):
    """A bomb among the arrays is refused before it is unpacked."""
    path = tmp_path / "c.npz"
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("weights/a.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(600):
            member.write(bytes(2**20))
    path.write_bytes(packed.getvalue())
    with pytest.raises(FileError, match="claims to unpack to 629,145,600 bytes"):
        load_checkpoint(path, {})


def test_weights_of_another_network():
    """Weights that were exchanged for others are refused, whatever the checkpoint says of them."""
    with pytest.raises(FileError, match="other weights than its network has"):
        check_weights(state(), TINY.network())
