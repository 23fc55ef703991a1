"""How values go into a model and come out again: scales, depths, strength, and what looks odd about them."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.scale import FULL_SCALES, UNIT, Scale, chunks
from smidgen.errors import InputError, plural
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.network.layers import Kind

DEPTHS: dict[str, np.dtype[Any]] = {"8": np.dtype(np.uint8), "16": np.dtype(np.uint16), "float": np.dtype(np.float32)}
# A picture whose brightest value is below this share of full scale is probably on another one.
DIM = 1 / 8
# How much nearer to the training images' mean the inverted picture must be, of full scale.
_CLEARLY = 0.2
_CLEAR_SKEW = 0.5
_FLAT = 1e-9
_FEW = 0.001
_ALL, _EVERY = 2**16, 31  # up to so many values all count for their skewness, of more only some


@dataclass(frozen=True, kw_only=True)
class Handling:
    """How the user wants pictures handled.

    Attributes:
        depth: of the result, a value of `DEPTHS`; None keeps the picture's.
        value_scale: of the picture's values; None chooses by their type, see `choose_picture_scales`.
        inverted: whether the pictures are dark on light for a model of light on dark, or the reverse.
        strength: how much of what the model does is done: 0 leaves the picture as it is, 1 is the denoised one.
    """

    depth: np.dtype[Any] | None = None
    value_scale: Scale | None = None
    inverted: bool = False
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_strength(self.strength)


def check_strength(strength: float) -> None:
    """Refuse a strength that is no mixture.

    Raises:
        InputError: it is not from 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"the strength is {strength:g}", expected="from 0, the picture as it is, to 1, denoised")


def mix(
    noisy: NDArray[Any], denoised: NDArray[np.float32], strength: float, scales: tuple[Scale, Scale, np.dtype[Any]]
) -> NDArray[Any]:
    """A mixture of noisy values and denoised ones: exactly the noisy at a strength of 0, exactly the denoised at 1.

    Args:
        noisy: on their own scale, any shape.
        denoised: of the same shape, in [0, 1].
        strength: from 0 to 1.
        scales: of the noisy values and of the result, and the result's type.
    """
    taken, given, dtype = scales
    if strength == 1:
        return given.restore(denoised, dtype)
    result = np.empty(noisy.shape, dtype)
    for part in chunks(noisy):
        values = noisy[part] if taken == given else given.restore(taken.normalise(noisy[part]), np.float64)
        mixed = (1 - strength) * values.astype(np.float64) + strength * given.restore(denoised[part], np.float64)
        result[part] = UNIT.restore(mixed, dtype)
    return result


def choose_scales(info: ModelInfo, dtype: np.dtype[Any]) -> tuple[Scale, Scale, np.dtype[Any]]:
    """The scales of values of a type and of their denoised values, and the type that these have.

    Values of the type that the model was trained on follow the model's rules, so that outputs are in y's units.
    Other whole numbers go from 0 to the largest of their type, other floats from 0 to 1.
    """
    found = info.origin.found
    noisy, clean = (np.dtype(found[name].type if name in found else np.float32) for name in ("X", "y"))
    if dtype != noisy and not dtype.kind == noisy.kind == "f":
        full = full_scale(dtype)
        return full, full, dtype
    if clean.kind == "f":
        clean = dtype if dtype.kind == "f" else np.dtype(np.float32)
    return info.scales.noisy, info.scales.clean, clean


def choose_picture_scales(info: ModelInfo, dtype: np.dtype[Any], given: Scale | None = None) -> tuple[Scale, Scale]:
    """The scales of a picture's values and of its denoised values, which keep their type.

    Where y's were floats and the picture's are whole numbers, outputs stay on the picture's scale, which can hold them.
    """
    if given is not None:
        return given, given
    noisy, clean, kind = choose_scales(info, dtype)
    return noisy, noisy if kind.kind == "f" and dtype.kind != "f" else clean


def full_scale(dtype: np.dtype[Any]) -> Scale:
    """0 to the largest value of a whole-number type, 0 to 1 for floats."""
    return Scale(0.0, float(np.iinfo(dtype).max)) if dtype.kind in "ui" else Scale()


def check_channels(runtime: Runtime, channels: int) -> None:
    """Refuse pictures with other channels than a model takes.

    Raises:
        InputError: it is for others.
    """
    wanted = runtime.info.spec.channels
    if wanted not in (1, channels):
        raise InputError(
            f"the picture has {plural(channels, 'channel')}", expected=f"{wanted}, as in the model's training"
        )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What values looked like.

    Attributes:
        count: how many there were.
        outside: how many of them were not expected.
        total: their sum, where 1 is full scale.
        largest: of them.
        powers: sums of some to the powers 0 to 3.
    """

    count: int = 0
    outside: int = 0
    total: float = 0.0
    largest: float = -np.inf
    powers: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(
            count=self.count + other.count,
            outside=self.outside + other.outside,
            total=self.total + other.total,
            largest=max(self.largest, other.largest),
            powers=(
                self.powers[0] + other.powers[0],
                self.powers[1] + other.powers[1],
                self.powers[2] + other.powers[2],
                self.powers[3] + other.powers[3],
            ),
        )

    @property
    def mean(self) -> float:
        """Of the values, where 1 is full scale."""
        return self.total / max(1, self.count)

    @property
    def skewness(self) -> float:
        """Above 0 where a few values are much lighter than most, below 0 where a few are much darker."""
        first, second, third = (power / max(1, self.powers[0]) for power in self.powers[1:])
        variance = second - first**2
        return float((third - 3 * first * second + 2 * first**3) / variance**1.5) if variance > _FLAT else 0.0


def _powers(values: NDArray[np.float32]) -> tuple[float, float, float, float]:
    first = values.astype(np.float64)
    second = first * first
    return float(first.size), float(first.sum()), float(second.sum()), float((second * first).sum())


class Way:
    """The way of one picture, or of a part of one, through a model: how values are taken and given.

    Attributes:
        seen: what they looked like so far.
        depth: of the result.
        keeps_scale: whether a value of the result means what it meant in the picture.
    """

    def __init__(self, runtime: Runtime, dtype: np.dtype[Any], handling: Handling) -> None:
        self._runtime, self._inverted, self._strength = runtime, handling.inverted, handling.strength
        scales = runtime.info.scales
        self._taken, given = choose_picture_scales(runtime.info, dtype, handling.value_scale)
        # Noise may leave the scale as far as in training.
        self._expected = scales.seen if self._taken == scales.noisy else self._taken
        self.depth = handling.depth or dtype
        self.keeps_scale = self._taken == given and self.depth == dtype
        same = self.depth == dtype or self.depth.kind == dtype.kind == "f"
        self._scales = self._taken, given if same else full_scale(self.depth), self.depth
        self.seen = Seen()

    def denoise(self, page: NDArray[Any]) -> NDArray[Any]:
        """A whole page `(H, W, C)`."""
        return np.concatenate(list(self.strips(lambda first, last: page[first:last], page.shape[0], page.shape[1])))

    def denoise_stack(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images of one size `(N, H, W, C)` at once, which is quicker where they are small; the same values."""
        return self._give(images, self._runtime.denoise_colours(self._take(images)))

    def strips(
        self, read: Callable[[int, int], NDArray[Any]], height: int, width: int, step: int = 0
    ) -> Iterator[NDArray[Any]]:
        """Denoised rows `(h, W, C)`, top to bottom; `read` gives rows from one to before another, `step` at a time."""
        to_mix: deque[NDArray[Any]] = deque()  # rows read and not yet given, one by one

        def prepare(first: int, last: int) -> NDArray[np.float32]:
            values = read(first, last)
            if self._strength < 1:
                to_mix.extend(values)
            return self._take(values)

        for rows in self._runtime.denoise_rows(prepare, height, width, step):
            noisy = np.stack([to_mix.popleft() for _ in rows]) if self._strength < 1 else rows
            yield self._give(noisy, rows)
            del rows, noisy  # or it would be kept while the next is made

    def _take(self, values: NDArray[Any]) -> NDArray[np.float32]:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError("the picture holds values that are not numbers (NaN or infinity)")
        normalised = self._taken.normalise(values)
        if self._inverted:
            normalised = 1 - normalised
        if values.size:
            self.seen += Seen(
                count=values.size,
                outside=self._expected.outside(values),
                total=float(normalised.sum(dtype=np.float64)),
                largest=float(values.max()),
                powers=_powers(normalised.reshape(-1)[:: 1 if values.size <= _ALL else _EVERY]),
            )
        return normalised

    def _give(self, noisy: NDArray[Any], denoised: NDArray[np.float32]) -> NDArray[Any]:
        return mix(noisy, 1 - denoised if self._inverted else denoised, self._strength, self._scales)

    def remarks(self) -> list[str]:
        """Sentences about what is unlike the training images."""
        found, rule, seen = [], self._taken, self.seen
        if seen.outside > _FEW * seen.count:
            found.append(
                f"{seen.outside / seen.count:.1%} of the values lie outside {self._expected}, unlike in training; "
                "if the images use another scale, give it with --range LOW HIGH"
            )
        elif rule.low < seen.largest < rule.low + DIM * (rule.high - rule.low):
            likely = next((scale for scale in FULL_SCALES if scale >= seen.largest), seen.largest)
            if likely < rule.high:
                found.append(
                    f"the largest value is {seen.largest:g}, on a scale of {rule}; "
                    f"if the images use another scale, give it, for example --range 0 {likely:g}"
                )
        if not found and self._looks_inverted():
            trained = self._runtime.info.origin.means["noisy"]
            found.append(
                f"the mean value is {seen.mean:.2f} of full scale, but {trained:.2f} in the training images; "
                "if dark and light are swapped, add --invert"
            )
        return found

    def _looks_inverted(self) -> bool:
        """Whether the picture's mean is that of the training images turned to the negative.

        Not where a few values are much darker than most for a model of dark on light, or the reverse: that is a page on
        dark paper. A residual is as good on a negative.
        """
        info = self._runtime.info
        trained = info.origin.means.get("noisy")
        if trained is None or info.spec.output == Kind.RESIDUAL:
            return False
        as_trained = self.seen.skewness * (1 if trained < 0.5 else -1) > _CLEAR_SKEW
        return not as_trained and abs(1 - self.seen.mean - trained) + _CLEARLY < abs(self.seen.mean - trained)
