"""A model as a Keras 3 functional model of standard layers, for images of one size."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.scale import UNIT, Scale
from smidgen.errors import MissingPartError
from smidgen.files import FileKind
from smidgen.model.file import Weights
from smidgen.network.layers import RMS_EPSILON, Kind, Layer, Network, size_at_scale

KERAS_FILES = {
    "keras": FileKind(
        name="a .keras file",
        endings=(".keras",),
        start=re.compile(rb"PK\x03\x04.{26}(metadata\.json|config\.json|model\.weights\.h5)", re.DOTALL),
    ),
    "h5": FileKind(
        name="an .h5 file of Keras",
        endings=(".h5",),
        start=re.compile(rb"\x89HDF\r\n\x1a\n.*keras_version", re.DOTALL),
    ),
}


def import_keras() -> Any:
    """Keras, on whichever of its backends is installed.

    Raises:
        MissingPartError: Keras is not installed, or no backend.
    """
    import importlib.util
    import os

    if "KERAS_BACKEND" not in os.environ:
        for backend in ("tensorflow", "torch", "jax"):
            if importlib.util.find_spec(backend):
                os.environ["KERAS_BACKEND"] = backend
                break
    try:
        import keras
    except ImportError:
        raise MissingPartError("keras", "Exporting to Keras", "keras") from None
    return keras


def build_keras(
    network: Network,
    weights: Weights,
    size: tuple[int, int],
    *,
    noisy_scale: Scale = UNIT,
    clean_scale: Scale = UNIT,
) -> Any:
    """The Keras model: images `(N, H, W, C)` with X's values -> denoised images of the same shape with y's.

    `Rescaling` layers bring X's scale to [0, 1] and that to y's, where they are not 0..1 themselves; the
    model's name tells both.

    A weight used in several places is one layer called several times. Standard layers cannot take
    their kernel from one and their bias or gain from another, so the bias and gain of a visit are
    1 x 1 depthwise layers of their own, whose kernels or biases are constants; `explain_count` says how
    many numbers these add.

    Args:
        network, weights: what to build.
        size: (H, W) of the images.
        noisy_scale, clean_scale: the rules for X and y.
    """
    return _Builder(network, weights, size, noisy_scale, clean_scale).build()


def explain_count(network: Network) -> dict[str, int]:
    """The numbers Keras counts, by what they are."""
    shapes = {weight.name: weight.shape for weight in network.weights}
    added = {layer.bias for layer in network.layers if layer.bias and not _has_own_bias(network, layer)}
    normalised = {layer.channels for layer in network.layers if layer.kind is Kind.RMS_NORM}
    return {
        "learned numbers": network.num_parameters,
        "ones in the layers that add a visit's bias": sum(shapes[name][0] for name in added),
        "ones in the scales of the normalisation": sum(normalised),
    }


def _has_own_bias(network: Network, layer: Layer) -> bool:
    """Whether the bias belongs to the one place where the kernel is used."""
    return bool(layer.bias) and not layer.gain and sum(other.weight == layer.weight for other in network.layers) == 1


class _Builder:
    """Layers by the name of their weight, so that each is made once."""

    def __init__(
        self, network: Network, weights: Weights, size: tuple[int, int], noisy_scale: Scale, clean_scale: Scale
    ) -> None:
        self._keras = import_keras()
        self._network, self._weights, self._size = network, weights, size
        self._noisy_scale, self._clean_scale = noisy_scale, clean_scale
        self._made: dict[str, Any] = {}
        self._numbers: list[tuple[Any, list[NDArray[np.float32]]]] = []

    def build(self) -> Any:
        rescaling = self._keras.layers.Rescaling
        given = x = self._keras.Input((*self._size, self._network.channels), name="noisy")
        if self._noisy_scale != UNIT:
            x = rescaling(*self._noisy_scale.to_unit, name="from_scale_of_x")(x)
        values = {"noisy": x}
        for layer in self._network.layers:
            values[layer.output] = self._call(layer, [values[name] for name in layer.inputs])
        x = values["denoised"]
        if self._clean_scale != UNIT:
            x = rescaling(*self._clean_scale.from_unit, name="denoised")(x)
        name = f"denoiser_x_{self._noisy_scale}_y_{self._clean_scale}".replace("..", "_to_")
        name = name.replace("+", "")  # of 1e+06; names have no plus
        model = self._keras.Model(given, x, name=name)
        for keras_layer, numbers in self._numbers:
            keras_layer.set_weights(numbers)
        return model

    def _once(self, name: str, make: Callable[..., Any], numbers: list[NDArray[np.float32]], **settings: Any) -> Any:
        if name not in self._made:
            self._made[name] = make(name=name.replace(".", "_"), **settings)
            self._numbers.append((self._made[name], numbers))
        return self._made[name]

    def _call(self, layer: Layer, inputs: list[Any]) -> Any:
        layers, x = self._keras.layers, inputs[0]
        match layer.kind:
            case Kind.CONV | Kind.GATED_CONV | Kind.DEPTHWISE:
                x = self._convolve(layer, x)
                return self._gate(layer, x) if layer.kind is Kind.GATED_CONV else x
            case Kind.RMS_NORM:
                one = np.ones(layer.channels, np.float32)
                name = f"rms_norm_{layer.channels}"
                return self._once(name, layers.RMSNormalization, [one], epsilon=RMS_EPSILON)(x)
            case Kind.ADD:
                return layers.Add()(inputs)
            case Kind.RELU:
                return layers.ReLU()(x)
            case Kind.MAX_POOL:
                return layers.MaxPooling2D(2, padding="same")(x)
            case Kind.MEAN_POOL:
                height, width = size_at_scale(*self._size, layer.scale - 1)
                if height % 2 or width % 2:
                    x = layers.ZeroPadding2D(((0, height % 2), (0, width % 2)))(x)
                return layers.AveragePooling2D(2)(x)
            case Kind.UPSAMPLE_NEAREST | Kind.UPSAMPLE_BILINEAR:
                height, width = size_at_scale(*self._size, layer.scale)
                way = "nearest" if layer.kind is Kind.UPSAMPLE_NEAREST else "bilinear"
                x = layers.UpSampling2D(2, interpolation=way)(x)
                if height % 2 or width % 2:
                    x = layers.Cropping2D(((0, height % 2), (0, width % 2)))(x)
                return x
            case Kind.SIGMOID:
                return layers.Activation("sigmoid", name=self._last_name(layer))(x)
            case Kind.RESIDUAL:
                return layers.ReLU(max_value=1.0, name=self._last_name(layer))(layers.Subtract()(inputs))

    def _last_name(self, layer: Layer) -> str:
        """The last layer of all names the output, and that is a `Rescaling` where y is not on 0..1."""
        return "denoised" if self._clean_scale == UNIT else layer.kind.value

    def _convolve(self, layer: Layer, x: Any) -> Any:
        layers, weights = self._keras.layers, self._weights
        name = layer.weight or ""
        kernel = weights[name]
        own_bias = _has_own_bias(self._network, layer)
        numbers = [kernel.transpose(2, 3, 0, 1) if layer.kind is Kind.DEPTHWISE else kernel.transpose(2, 3, 1, 0)]
        if own_bias:
            numbers.append(weights[layer.bias or ""])
        settings = {"kernel_size": layer.kernel, "padding": "same", "use_bias": own_bias}
        if layer.kind is Kind.DEPTHWISE:
            x = self._once(name, layers.DepthwiseConv2D, numbers, **settings)(x)
        else:
            x = self._once(name, layers.Conv2D, numbers, filters=len(kernel), **settings)(x)
        if layer.gain:
            gain = weights[layer.gain]
            x = self._once(
                layer.gain, layers.DepthwiseConv2D, [gain.reshape(1, 1, -1, 1)], kernel_size=1, use_bias=False
            )(x)
        if layer.bias and not own_bias:
            bias = weights[layer.bias]
            ones = np.ones((1, 1, len(bias), 1), np.float32)
            x = self._once(layer.bias, layers.DepthwiseConv2D, [ones, bias], kernel_size=1)(x)
        return x

    def _gate(self, layer: Layer, x: Any) -> Any:
        """The first half of the channels times the second; standard layers crop only places, so turn first."""
        layers, channels = self._keras.layers, layer.channels
        height, width = size_at_scale(*self._size, layer.scale)
        turned = layers.Permute((2, 1))(layers.Reshape((height * width, 2 * channels))(x))
        product = layers.Multiply()(
            [layers.Cropping1D((0, channels))(turned), layers.Cropping1D((channels, 0))(turned)]
        )
        return layers.Reshape((height, width, channels))(layers.Permute((2, 1))(product))


def save_keras(model: Any, path: Path) -> None:
    """Write a `.keras` or `.h5` file, by the ending of `path`."""
    from absl import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # Keras warns that .h5 is a legacy format; whoever asks for it knows
    try:
        model.save(path)
    finally:
        logging.set_verbosity(verbosity)
