"""The state of a training between two epochs, whole enough to go on bit for bit."""

import io
import json
import math
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError
from smidgen.files import check_memory, make_folder, read_file, refuse_bomb, write_whole
from smidgen.network.layers import Network

CHECKPOINT = "checkpoint.npz"
_OLD_CHECKPOINT = "checkpoint.pt"  # of versions that trained with torch
HISTORY = "history.jsonl"
_FORMAT = 2
_MOST_BYTES = 2**30
_ARRAYS = ("weights", "best_weights", "optimizer")
Arrays = dict[str, NDArray[Any]]
_SECONDS_BETWEEN_CHECKPOINTS = 2.0
EPOCH = {"epoch", "loss", "val_loss"}  # what is told of each, at least
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


@dataclass(frozen=True)
class TrainingState:
    """Where a training stood at the end of an epoch.

    Attributes:
        epoch: epochs finished.
        step: steps made.
        weights: of the network, by name.
        optimizer: its `state`; empty before the first step.
        best_weights, best_epoch: of the epoch to be kept.
        best_val_loss: the lowest so far.
        generator: the state of the one source of order, pairing and noise.
        history: one record an epoch.
        seconds: spent training.
        rollbacks: how often the loss was no number and the training went back.
    """

    epoch: int
    step: int
    weights: Arrays
    optimizer: Arrays
    best_weights: Arrays
    best_epoch: int
    best_val_loss: float
    generator: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    rollbacks: int = 0


@dataclass(frozen=True, kw_only=True)
class _Told:
    """A `TrainingState` without its arrays, as a file tells it."""

    epoch: _Count
    step: _Count
    best_epoch: _Count
    best_val_loss: float
    generator: dict[str, Any]
    history: list[dict[str, int | float]]
    seconds: float
    rollbacks: _Count

    def __post_init__(self) -> None:
        restore_generator(self.generator)
        if not all(record.keys() >= EPOCH for record in self.history):
            raise ValueError("an epoch lacks its losses")
        if not self.best_epoch <= self.epoch == len(self.history):
            raise ValueError("it tells of other epochs than it has")


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What stands beside the arrays of a file."""

    format: int
    identity: dict[str, Any]
    state: dict[str, Any]


def copy_arrays(arrays: Arrays) -> Arrays:
    """The same numbers in arrays of their own."""
    return {name: array.copy() for name, array in arrays.items()}


def pack_checkpoint(state: TrainingState, identity: dict[str, Any]) -> bytes:
    """The state as the content of a file; `identity` says which training it belongs to."""
    plain = {name: value for name, value in vars(state).items() if name not in _ARRAYS}
    told = json.dumps({"format": _FORMAT, "identity": identity, "state": plain}, sort_keys=True)
    arrays = {f"{part}/{name}": array for part in _ARRAYS for name, array in getattr(state, part).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, told=np.frombuffer(told.encode(), np.uint8))
    return buffer.getvalue()


def load_checkpoint(path: Path, identity: dict[str, Any]) -> TrainingState:
    """Read the state back from a file; see `unpack_checkpoint`."""
    return unpack_checkpoint(read_file(path, _MOST_BYTES), identity, path)


def unpack_checkpoint(content: bytes, identity: dict[str, Any], path: Path | str = "the checkpoint") -> TrainingState:
    """The state back from the content of a file, which messages call `path`.

    Raises:
        FileError: damaged, or of a training with other pairs, spec or settings.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        refuse_bomb(str(path), len(content), size)
        check_memory(str(path), size)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            kept = msgspec.convert(json.loads(file["told"].tobytes()), _Kept)
            if kept.format != _FORMAT:
                raise FileError(f"{path} was written by another version", remedy="Delete it to start over")
            told = vars(msgspec.convert(kept.state, _Told))
            arrays = {name: file[name] for name in file.files if name != "told"}
        found = kept.identity
        parts: dict[str, Arrays] = {part: {} for part in _ARRAYS}
        for name, array in arrays.items():
            part, _, own = name.partition("/")
            parts[part][own] = array
        weights, best, optimizer = (parts[part] for part in _ARRAYS)
        state = TrainingState(weights=weights, best_weights=best, optimizer=optimizer, **told)
    except FileError:
        raise
    except Exception as error:  # numpy raises nearly anything on damaged input
        raise FileError(f"{path} cannot be read ({type(error).__name__})", remedy="Delete it to start over") from None
    wanted = json.loads(json.dumps(identity))
    different = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if different:
        key = different[0]
        raise FileError(
            f"{path} belongs to another training: {key} was {found.get(key)} and is now {wanted.get(key)}",
            remedy="Resume with the same command, or choose another folder",
        )
    return state


def check_weights(state: TrainingState, network: Network) -> None:
    """Refuse a state whose weights are not a network's.

    Raises:
        FileError: they are not, as in a checkpoint that somebody changed.
    """
    wanted = {weight.name: weight.shape for weight in network.weights}
    for weights in (state.weights, state.best_weights):
        if {name: weight.shape for name, weight in weights.items() if weight.dtype == np.float32} != wanted:
            raise FileError(
                "the checkpoint holds other weights than its network has", remedy=f"Delete {CHECKPOINT} to start over"
            )


def restore_generator(state: dict[str, Any]) -> np.random.Generator:
    """The generator that was in this state."""
    bits = np.random.PCG64()
    bits.state = state  # type: ignore[assignment]
    return np.random.Generator(bits)


class Keeper:
    """Writes the state and the history of a training into its folder.

    Not after every epoch where epochs are short: any checkpoint leads to the same end.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self._folder = folder
        self._identity = identity
        self._kept_at = -math.inf

    def open(self, resume: bool) -> TrainingState | None:
        """The state to go on from, if there is one and it is wanted."""
        make_folder(self._folder)
        if not (self._folder / CHECKPOINT).exists():
            if resume and (self._folder / _OLD_CHECKPOINT).exists():
                raise FileError(
                    f"{self._folder / _OLD_CHECKPOINT} was written by a version that trained with torch",
                    remedy="Begin anew in another folder; the model that lies there can be used as it is",
                )
            return None
        if not resume:
            raise FileError(
                f"{self._folder} already holds a training",
                remedy=f"Add --resume to the same train command, choose another folder, or delete its {CHECKPOINT}",
            )
        return load_checkpoint(self._folder / CHECKPOINT, self._identity)

    def keep(self, state: TrainingState, at_once: bool = False) -> bool:
        """Write both files, unless they were written a moment ago; gives whether it did."""
        if not at_once and time.monotonic() - self._kept_at < _SECONDS_BETWEEN_CHECKPOINTS:
            return False
        write_whole(self._folder / HISTORY, "".join(json.dumps(record) + "\n" for record in state.history))
        write_whole(self._folder / CHECKPOINT, pack_checkpoint(state, self._identity))
        self._kept_at = time.monotonic()
        return True
