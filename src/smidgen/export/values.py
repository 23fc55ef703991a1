"""How exported models convert values: from X's scale to [0, 1], and from there to y's."""

import numpy as np

from smidgen.data.scale import Scale
from smidgen.errors import InputError
from smidgen.model.records import ModelInfo

UNIT = Scale()


def to_unit(scale: Scale) -> tuple[float, float]:
    """(factor, offset) that bring values on this scale to [0, 1]."""
    span = scale.high - scale.low
    return 1 / span, (0 - scale.low) / span


def from_unit(scale: Scale) -> tuple[float, float]:
    """(factor, offset) that bring values in [0, 1] to this scale."""
    return scale.high - scale.low, scale.low


def check_scales(info: ModelInfo) -> None:
    """Refuse scales that exported models, which compute in float32, cannot convert.

    Raises:
        InputError: they are too large, too small, or too narrow for where they lie.
    """
    for scale in (info.scales.noisy, info.scales.clean):
        with np.errstate(over="ignore"):
            numbers = np.array([scale.low, scale.high, *to_unit(scale), *from_unit(scale)], np.float32)
        if not np.isfinite(numbers).all() or numbers[0] == numbers[1] or numbers[2] == 0:
            raise InputError(
                f"the model takes or gives values on the scale {scale.low!r} to {scale.high!r}",
                expected="one that float32 can tell apart",
                remedy="Train it on values multiplied by a constant",
            )
