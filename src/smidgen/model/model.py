"""A trained denoiser as Python users have it: arrays in, arrays out."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smidgen.errors import InputError
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.values import check_strength, choose_scales, mix
from smidgen.model.zoo import find_model

_DARKEST, _LIGHTEST = -0.5, 1.5  # of medians


class Model:
    """A trained denoiser; `smidgen.load` opens one.

    Attributes:
        info: what the model says of itself: its network, origin, scales, recipe and scores.
        runtime: what runs it, on values in [0, 1].
    """

    info: ModelInfo

    def __init__(self, runtime: Runtime) -> None:
        """Wrap a model that is ready to run."""
        self.runtime = runtime
        self.info = runtime.info

    def denoise(self, image: ArrayLike, *, channel_axis: int | None = None, strength: float = 1.0) -> NDArray[Any]:
        """The denoised image, or images.

        Values of the type the model was trained on are on X's scale, and the result is in y's units and type.
        Whole numbers of another type go from 0 to the largest of their type, other floats from 0 to 1, and come
        back so. Truth values are floats of 0 and 1.

        Args:
            image: (..., H, W), any number of leading axes; it is not changed.
            channel_axis: where colours are, as in scikit-image; a model of one channel takes them one by one, or, where
                it knows noise of many strengths, as luma and chroma.
            strength: how much of what the model does is done: 0 leaves the image as it is, on y's scale, 1 is the
                denoised one, and between them noise stays for those who want its grain.

        Returns:
            An array of the same shape.

        Raises:
            InputError: it is no image, holds NaN or infinity, or has other channels than the model, or the strength is
                not from 0 to 1.
        """
        check_strength(strength)
        ordered = check_image(image, channel_axis)
        channels = self.info.spec.channels
        if channels != 1 and ordered.shape[-1] != channels:
            raise InputError(
                f"the image has shape {ordered.shape}",
                expected=f"{channels} channels, as in training",
                remedy="Say where they are with channel_axis",
            )
        images = to_batch(ordered, grey=channels == 1 and channel_axis is None)
        scales = choose_scales(self.info, ordered.dtype)
        denoised = mix(images, self.runtime.denoise_colours(scales[0].normalise(images)), strength, scales)
        denoised = denoised.reshape(ordered.shape)
        return denoised if channel_axis is None else np.moveaxis(denoised, -1, channel_axis)


def check_image(image: ArrayLike, channel_axis: int | None) -> NDArray[Any]:
    """An image or images of numbers, `(..., H, W)` or, with colours wherever they were, `(..., H, W, C)`.

    Raises:
        InputError: it is none, or holds NaN or infinity.
    """
    values = np.asarray(image)
    values = values.astype(np.float32) if values.dtype == bool else values
    if values.dtype.kind not in "uif" or values.ndim < 2 + (channel_axis is not None) or values.size == 0:
        raise InputError(
            f"the array has shape {values.shape} and type {values.dtype}",
            expected="an image of numbers (..., H, W), and colours where channel_axis says",
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError("the image holds NaN or infinity")
    return values if channel_axis is None else np.moveaxis(values, channel_axis, -1)


def check_floats(values: NDArray[Any]) -> None:
    """Refuse floats of which most cannot be on a scale from 0 to 1, however noisy.

    Raises:
        InputError: they are on another.
    """
    middle = float(np.median(values)) if values.dtype.kind == "f" else 0.0
    if not _DARKEST < middle < _LIGHTEST:
        raise InputError(
            f"half of the values are beyond {middle:g}",
            expected="floats from 0 to 1, but for noise",
            remedy="Divide them by their full scale",
        )


def to_batch(ordered: NDArray[Any], *, grey: bool) -> NDArray[Any]:
    """`(..., H, W)`, where it is grey, or `(..., H, W, C)` as `(N, H, W, C)`."""
    return ordered.reshape(-1, *ordered.shape[-2:], 1) if grey else ordered.reshape(-1, *ordered.shape[-3:])


def load(model: str | Path) -> Model:
    """See `smidgen.load`."""
    return Model(Runtime(find_model(model)))
