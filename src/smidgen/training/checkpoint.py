"""The state of a training between two epochs, whole enough to go on bit for bit."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smidgen.errors import FileError
from smidgen.files import write_whole

_FORMAT = 1


@dataclass
class TrainingState:
    """What changes while training.

    Attributes:
        epoch: epochs finished.
        step: steps made.
        weights: of the network, as `state_dict` gives them.
        optimizer: as `state_dict` gives it.
        best_weights, best_epoch, best_val_loss: of the epoch with the lowest validation loss.
        generator: the state of the one source of order, pairing and noise.
        history: one record an epoch.
        seconds: spent training.
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


def save_checkpoint(path: Path, state: TrainingState, identity: dict[str, Any]) -> None:
    """Write the state; `identity` says which training it belongs to."""
    buffer = io.BytesIO()
    content = vars(state) | {
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
            raise FileError(f"{path} was written by another version", remedy="Start anew without --resume")
        found = json.loads(content.pop("identity"))
        content["generator"] = json.loads(content["generator"])
        state = TrainingState(**content)
    except FileError:
        raise
    except Exception as error:  # torch raises nearly anything on damaged input
        raise FileError(
            f"{path} cannot be read ({type(error).__name__})", remedy="Start anew without --resume"
        ) from None
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
