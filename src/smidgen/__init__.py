"""Learn, judge and ship image denoisers that fit a parameter budget."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from smidgen.estimator import Denoiser as Denoiser
    from smidgen.training.torch_network import TorchNetwork

__version__ = "0.1.0"


def load_torch(model: "str | Path") -> "TorchNetwork":
    """A model as a torch module, for further training.

    It takes images `(N, C, H, W)` in [0, 1], not on X's scale, and gives logits: `denoised = sigmoid(logits)`
    is in [0, 1] too. Its attributes `noisy_scale` and `clean_scale` convert arrays: X's values by
    `noisy_scale.normalise`, and `denoised` to y's by `clean_scale.restore`.

    Args:
        model: a model file, a run folder, or the name of one that ships.

    Raises:
        FileError: it is none of these, or damaged.
        MissingPartError: torch is not installed.
    """
    from smidgen.errors import MissingPartError
    from smidgen.model.zoo import find_model

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
