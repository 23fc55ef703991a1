"""A model as a torch module."""

from pathlib import Path

from smidgen.model.file import read_model
from smidgen.training.torch_network import TorchNetwork


def load_torch(path: Path) -> TorchNetwork:
    """A model file as a torch module for images in [0, 1], for further training; see `TorchNetwork`.

    Raises:
        FileError: missing, damaged, or not a model of ours.
    """
    info, weights = read_model(path)
    model = TorchNetwork(info.spec.network())
    model.import_weights(weights)
    model.noisy_scale, model.clean_scale = info.scales.noisy, info.scales.clean
    return model
