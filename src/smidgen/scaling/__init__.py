"""Beyond memory and beyond one machine: stores of Zarr, arrays of Dask, folders of pictures, on workers of Dask."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smidgen.model.model import Model


def denoise(
    array: Any, model: "Model", *, channel_axis: int | None = None, strength: float = 1.0, side: int = 2048
) -> Any:
    """A Dask array of the denoised images, of which nothing is computed yet; one task a block.

    Values are taken and given as by `Model.denoise`, and the same to the bit, however the array is cut.

    Args:
        array: of Dask, (..., H, W).
        model: what denoises; see `smidgen.load`.
        channel_axis, strength: as for `Model.denoise`.
        side: how large blocks of an image are made where they are smaller than half of that, or cut it between pixels
            that belong together; what lies around a block is computed too, so small ones are dear.

    Returns:
        A Dask array of the same shape.

    Raises:
        InputError: these are no images of numbers, or have other channels than the model, or the strength is not from 0
            to 1. NaN and infinity are found when a block is computed.
    """
    from smidgen.scaling.arrays import denoise

    return denoise(array, model, channel_axis, strength, side)
