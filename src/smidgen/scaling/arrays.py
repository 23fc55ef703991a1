"""Arrays of Dask, denoised block by block when somebody asks for them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import InputError
from smidgen.model.model import Model
from smidgen.model.values import check_strength, choose_scales


class _Block:
    """Denoises one block with its surroundings; with one thread, since Dask has its own."""

    def __init__(self, model: Model, channel_axis: int | None, strength: float) -> None:
        self._model = Model(model.runtime.with_threads(1))
        self._channel_axis, self._strength = channel_axis, strength

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self._model.runtime.fingerprint, self._channel_axis, self._strength

    def __call__(self, noisy: NDArray[Any]) -> NDArray[Any]:
        return self._model.denoise(noisy, channel_axis=self._channel_axis, strength=self._strength)


def denoise(array: Any, model: Model, channel_axis: int | None, strength: float, side: int) -> Any:
    """See `smidgen.scaling.denoise`."""
    from dask.array import map_overlap

    check_strength(strength)
    axis = None if channel_axis is None else channel_axis % max(1, array.ndim)
    image = [number for number in range(array.ndim) if number != axis][-2:]
    # Sizes that only computing would tell are NaN.
    if len(image) < 2 or array.dtype.kind not in "uifb" or not all(size >= 1 for size in array.shape):
        raise InputError(
            f"the array has shape {array.shape} and type {array.dtype}", expected="images of numbers, of known sizes"
        )
    network, channels = model.info.spec.network(), model.info.spec.channels
    if channels != 1 and (axis is None or array.shape[axis] != channels):
        raise InputError(f"the array has shape {array.shape}", expected=f"{channels} channels, where channel_axis says")
    around = -(-network.reach // network.stride) * network.stride
    wanted: dict[int, Any] = {number: _sides(array.chunks[number], around, network.stride, side) for number in image}
    if axis is not None:
        wanted[axis] = -1
    dtype = choose_scales(model.info, np.dtype(np.float32) if array.dtype == bool else array.dtype)[2]
    return map_overlap(
        _Block(model, axis, strength), array.rechunk(wanted), depth=dict.fromkeys(image, around),
        boundary="none", dtype=dtype, meta=np.empty((0,) * array.ndim, dtype),
    )  # fmt: skip


def _sides(sizes: tuple[int, ...], around: int, stride: int, side: int) -> tuple[int, ...]:
    """How an axis is cut: as it is where it can be, else evenly, by whole pixels of the coarsest scale.

    No part is smaller than what lies around it.
    """
    least, total = max(side // 2, around), sum(sizes)
    if min(sizes) >= least and all(size % stride == 0 for size in sizes[:-1]):
        return sizes
    whole = max(-(-side // stride) * stride, -(-around // stride) * stride, stride)
    count = max(1, total // whole)
    return (*(whole,) * (count - 1), total - whole * (count - 1))
