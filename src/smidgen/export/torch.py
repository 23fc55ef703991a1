"""A model as a torch module."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from smidgen.data.scale import Scale
from smidgen.model.file import read_model
from smidgen.network.layers import RMS_EPSILON, Kind, Layer, Network


class TorchNetwork(nn.Module):
    """Images `(N, C, H, W)` in [0, 1] -> what `finish` brings to [0, 1], of the same shape.

    That is logits, of which it takes the sigmoid, or for a residual network what is left of the noisy image, which it
    clips. `denoise` does both.

    Attributes:
        noisy_scale, clean_scale: of a model that was loaded, the rules for X and y: X's values become what this
            takes by `noisy_scale.normalise`, and `denoised` comes to y's by `clean_scale.restore`.
    """

    noisy_scale: Scale = Scale()
    clean_scale: Scale = Scale()

    def __init__(self, network: Network, weights: dict[str, NDArray[np.float32]]) -> None:
        """Take the learned tensors of a network."""
        super().__init__()
        self.network = network
        self._last_uses = network.last_uses()
        self.learned = nn.ParameterDict()
        for each in network.weights:  # one by one, since from a mapping it would take them in the order of their names
            self.learned[_key(each.name)] = nn.Parameter(torch.from_numpy(weights[each.name].copy()))

    def forward(self, noisy: Tensor) -> Tensor:
        """For a batch, the network's values before they are brought to [0, 1], for losses that need them so."""
        values = {"noisy": noisy}
        for number, layer in enumerate(self.network.layers):
            values[layer.output] = self._run(layer, [values[name] for name in layer.inputs])
            for name in layer.inputs:
                if self._last_uses[name] == number:
                    values.pop(name, None)
        return values["denoised"]

    @property
    def residual(self) -> bool:
        """Whether the network finds what is to be taken from the noisy image."""
        return self.network.layers[-1].kind is Kind.RESIDUAL

    def finish(self, values: Tensor) -> Tensor:
        """What `forward` gives, brought to [0, 1]."""
        return values.clamp(0, 1) if self.residual else torch.sigmoid(values)

    def denoise(self, noisy: Tensor) -> Tensor:
        """Denoised images for noisy ones, both `(N, C, H, W)`, as the model file gives them."""
        return self.finish(self(noisy))

    def _weight(self, name: str | None) -> Tensor | None:
        return None if name is None else self.learned[_key(name)]

    def _run(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        match layer.kind:
            case Kind.CONV | Kind.GATED_CONV:
                kernel = self.learned[_key(layer.weight or "")]
                gain = self._weight(layer.gain)
                if gain is not None:
                    kernel = kernel * gain[:, None, None, None]
                x = F.conv2d(x, kernel, self._weight(layer.bias), padding=layer.kernel // 2)
                if layer.kind is Kind.CONV:
                    return x
                first, second = x.chunk(2, dim=1)
                return first * second
            case Kind.DEPTHWISE:
                kernel = self.learned[_key(layer.weight or "")]
                return F.conv2d(x, kernel, padding=layer.kernel // 2, groups=x.shape[1])
            case Kind.RELU:
                return F.relu(x)
            case Kind.RMS_NORM:
                return x * torch.rsqrt(x.square().mean(1, keepdim=True) + RMS_EPSILON)
            case Kind.ADD:
                return x + inputs[1]
            case Kind.MAX_POOL:
                return F.max_pool2d(x, 2, ceil_mode=True)
            case Kind.MEAN_POOL:
                height, width = x.shape[2:]
                if height % 2 or width % 2:
                    x = F.pad(x, (0, width % 2, 0, height % 2))
                return F.avg_pool2d(x, 2)
            case Kind.UPSAMPLE_NEAREST | Kind.UPSAMPLE_BILINEAR:
                height, width = inputs[1].shape[2:]
                mode = "nearest" if layer.kind is Kind.UPSAMPLE_NEAREST else "bilinear"
                return F.interpolate(x, scale_factor=2, mode=mode)[..., :height, :width]
            case Kind.SIGMOID:  # of this and the next the rest is left to `finish`
                return x
            case Kind.RESIDUAL:
                return x - inputs[1]

    def export_weights(self) -> dict[str, NDArray[np.float32]]:
        """The learned tensors by name, as a model file holds them."""
        return {
            weight.name: self.learned[_key(weight.name)].detach().contiguous().numpy().astype(np.float32)
            for weight in self.network.weights
        }


def load_torch(path: Path) -> TorchNetwork:
    """A model file as a torch module for images in [0, 1], for further training; see `TorchNetwork`.

    Raises:
        FileError: missing, damaged, or not a model of ours.
    """
    info, weights = read_model(path)
    model = TorchNetwork(info.spec.network(), weights)
    model.noisy_scale, model.clean_scale = info.scales.noisy, info.scales.clean
    return model


def _key(name: str) -> str:
    """Torch allows no dots in the names of parameters."""
    return name.replace(".", "_")
