"""The state of a training between two epochs, whole enough to go on bit for bit."""

import io
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smidgen.errors import FileError
from smidgen.files import make_folder, write_whole

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.jsonl"
_FORMAT = 1
_SECONDS_BETWEEN_CHECKPOINTS = 2.0


@dataclass(frozen=True)
class TrainingState:
    """Where a training stood at the end of an epoch.

    Attributes:
        epoch: epochs finished.
        step: steps made.
        weights: of the network, as `state_dict` gives them.
        optimizer: as `state_dict` gives it.
        best_weights, best_epoch, best_val_loss: of the epoch with the lowest validation loss.
        generator: the state of the one source of order, pairing and noise.
        history: one record an epoch.
        seconds: spent training.
        rollbacks: how often the loss was no number and the training went back.
    """

    epoch: int
    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    best_weights: dict[str, Tensor]
    best_epoch: int
    best_val_loss: float
    generator: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    rollbacks: int = 0


def save_checkpoint(path: Path, state: TrainingState, identity: dict[str, Any]) -> None:
    """Write the state; `identity` says which training it belongs to."""
    buffer = io.BytesIO()
    content = dict(vars(state)) | {
        "generator": json.dumps(state.generator),
        "identity": json.dumps(identity, sort_keys=True),
        "format": _FORMAT,
    }
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def load_checkpoint(path: Path, identity: dict[str, Any]) -> TrainingState:
    """Read the state back.

    Raises:
        FileError: damaged, or of a training with other pairs, spec or settings.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != _FORMAT:
            raise FileError(f"{path} was written by another version", remedy="Delete it to start over")
        found = json.loads(content.pop("identity"))
        content["generator"] = json.loads(content["generator"])
        state = TrainingState(**content)
    except FileError:
        raise
    except Exception as error:  # torch raises nearly anything on damaged input
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
        save_checkpoint(self._folder / CHECKPOINT, state, self._identity)
        self._kept_at = time.monotonic()
        return True
