"""Learn, judge and ship image denoisers that fit a parameter budget."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from smidgen.estimator import Denoiser as Denoiser
    from smidgen.training.torch_network import TorchNetwork

__version__ = "0.1.0"


def load_torch(model: "str | Path") -> "TorchNetwork":
    """A model as a torch module that gives logits, for further training.

    Args:
        model: a model file, a run folder, or the name of one that ships.

    Raises:
        FileError: it is none of these, or damaged.
        MissingPartError: torch is not installed.
    """
    from smidgen.errors import MissingPartError
    from smidgen.zoo.zoo import find_model

    try:
        from smidgen.export.torch import load_torch
    except ModuleNotFoundError as error:
        raise MissingPartError(str(error.name), "Loading a model into torch", "train") from None
    return load_torch(find_model(model))


def __getattr__(name: str) -> Any:
    """`smidgen.Denoiser`, imported when it is asked for: it needs scikit-learn and torch."""
    if name != "Denoiser":
        raise AttributeError(f"module 'smidgen' has no attribute {name!r}")
    from smidgen.errors import MissingPartError

    try:
        from smidgen.estimator import Denoiser
    except ModuleNotFoundError as error:
        raise MissingPartError(str(error.name), "The scikit-learn estimator", "search") from None
    return Denoiser
