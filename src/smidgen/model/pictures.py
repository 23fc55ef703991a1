"""From a noisy picture to a denoised one: scales, depths, alpha, and what looks odd."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.scale import FULL_SCALES, UNIT, Scale, chunks
from smidgen.errors import InputError, plural
from smidgen.files import fill_whole, make_folder
from smidgen.images.kinds import Picture
from smidgen.images.metadata import Metadata
from smidgen.images.tiff import turn_white
from smidgen.images.tiff_metadata import drop_display_range
from smidgen.images.tiff_rows import open_large_tiff
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime

DEPTHS: dict[str, np.dtype[Any]] = {"8": np.dtype(np.uint8), "16": np.dtype(np.uint16), "float": np.dtype(np.float32)}
# A picture whose brightest value is below this share of full scale is probably on another one.
_DIM = 1 / 8
# How much nearer to the training images' mean the inverted picture must be, of full scale.
_CLEARLY = 0.2
_FEW = 0.001
# How far beyond the resolutions of training a picture's may be.
_NEARLY = 4 / 3


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


def denoise_picture(runtime: Runtime, picture: Picture, handling: Handling | None = None) -> tuple[Picture, list[str]]:
    """The denoised picture, and sentences about what looked odd.

    Alpha and metadata stay as they were, depth too unless another is asked for. A model of one channel takes
    colours as `Runtime.denoise_colours` says.

    Raises:
        InputError: the values are no numbers, or the model is for other channels.
    """
    handling = handling or Handling()
    _check_channels(runtime, picture.pages[0].shape[2])
    ways = [_Way(runtime, page.dtype, handling) for page in picture.pages]
    pages = tuple(way.denoise(page) for way, page in zip(ways, picture.pages, strict=True))
    alphas = tuple(None if alpha is None else _convert_alpha(alpha, handling.depth) for alpha in picture.alphas)
    resolution = _remark_resolution(runtime.info, picture.metadata)
    remarks = dict.fromkeys([*picture.metadata.remarks, *resolution, *(text for way in ways for text in way.remarks())])
    kept = all(way.keeps_scale for way in ways)
    metadata = picture.metadata if kept else drop_display_range(picture.metadata)
    return replace(picture, pages=pages, alphas=alphas, metadata=metadata), list(remarks)


def denoise_large_tiff(
    runtime: Runtime,
    source: Path,
    target: Path,
    handling: Handling | None = None,
    watch: Callable[[float], None] = lambda share: None,
) -> list[str] | None:
    """Denoise a large TIFF into another, strip by strip, where it is to be read so; see `open_large_tiff`.

    Args:
        runtime: of the model.
        source, target: files; the second is written whole or not at all, its folder made if it is missing.
        handling: as for `denoise_picture`.
        watch: called with the share that is done.

    Returns:
        Sentences about what looked odd; None where the file is not to be read by rows, and nothing was done.

    Raises:
        FileError: the source is too large and cannot be read by rows, or damaged, or the target cannot be written.
        InputError: as for `denoise_picture`.
    """
    handling = handling or Handling()
    with open_large_tiff(source) or nullcontext() as tiff:
        if tiff is None:
            return None
        _check_channels(runtime, tiff.colours)
        way = _Way(runtime, tiff.dtype, handling)

        def read(first: int, last: int) -> NDArray[Any]:
            return turn_white(tiff.read(first, last)[..., : tiff.colours], tiff.white_is_zero)

        def rows() -> Iterator[NDArray[Any]]:
            done = 0
            for strip in way.strips(read, tiff.height, tiff.width):
                result = turn_white(strip, tiff.white_is_zero)
                if tiff.alpha:
                    alpha = tiff.read(done, done + len(strip))[..., tiff.colours :]
                    result = np.concatenate([result, _convert_alpha(alpha, handling.depth)], axis=2)
                done += len(strip)
                watch(done / tiff.height)
                yield result
                del strip, result

        metadata = tiff.metadata if way.keeps_scale else drop_display_range(tiff.metadata)
        make_folder(target.parent)
        fill_whole(target, lambda temporary: tiff.write_like(temporary, rows(), way.depth, metadata))
        return [*tiff.metadata.remarks, *_remark_resolution(runtime.info, tiff.metadata), *way.remarks()]


def _remark_resolution(info: ModelInfo, metadata: Metadata) -> list[str]:
    """A sentence where the file says that letters are larger or smaller than those the model learned from."""
    if info.origin.resolution is None or metadata.resolution is None:
        return []
    (low, high), found = info.origin.resolution, max(metadata.resolution)
    if low / _NEARLY <= found <= high * _NEARLY:
        return []
    return [
        f"the file says {found:.0f} pixels an inch, but the model learned from pages of {low:.0f} to {high:.0f}; "
        "if that is so, scan it anew or resize it first"
    ]


def _check_channels(runtime: Runtime, channels: int) -> None:
    wanted = runtime.info.spec.channels
    if wanted not in (1, channels):
        raise InputError(
            f"the picture has {plural(channels, 'channel')}", expected=f"{wanted}, as in the model's training"
        )


class _Way:
    """The way of one picture through a model: how its values are taken and given, and what they look like.

    Attributes:
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
        self._count = self._outside = 0
        self._total, self._largest = 0.0, -np.inf

    def denoise(self, page: NDArray[Any]) -> NDArray[Any]:
        """A whole page `(H, W, C)`."""
        return np.concatenate(list(self.strips(lambda first, last: page[first:last], page.shape[0], page.shape[1])))

    def strips(self, read: Callable[[int, int], NDArray[Any]], height: int, width: int) -> Iterator[NDArray[Any]]:
        """Denoised rows `(h, W, C)`, top to bottom; `read` gives rows from one to before another."""
        to_mix: deque[NDArray[Any]] = deque()  # rows read and not yet given, one by one

        def prepare(first: int, last: int) -> NDArray[np.float32]:
            values = read(first, last)
            if self._strength < 1:
                to_mix.extend(values)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise InputError("the picture holds values that are not numbers (NaN or infinity)")
            normalised = self._taken.normalise(values)
            if self._inverted:
                normalised = 1 - normalised
            self._look(values, normalised)
            return normalised

        for rows in self._runtime.denoise_rows(prepare, height, width):
            noisy = np.stack([to_mix.popleft() for _ in rows]) if self._strength < 1 else rows
            yield mix(noisy, 1 - rows if self._inverted else rows, self._strength, self._scales)
            del rows, noisy  # or it would be kept while the next is made

    def _look(self, values: NDArray[Any], normalised: NDArray[np.float32]) -> None:
        if values.size:
            self._count += values.size
            self._total += float(normalised.sum(dtype=np.float64))
            self._outside += self._expected.outside(values)
            self._largest = max(self._largest, float(values.max()))

    def remarks(self) -> list[str]:
        """Sentences about what is unlike the training images."""
        found, rule = [], self._taken
        if self._outside > _FEW * self._count:
            found.append(
                f"{self._outside / self._count:.1%} of the values lie outside {self._expected}, unlike in training; "
                "if the images use another scale, give it with --range LOW HIGH"
            )
        elif rule.low < self._largest < rule.low + _DIM * (rule.high - rule.low):
            likely = next((scale for scale in FULL_SCALES if scale >= self._largest), self._largest)
            if likely < rule.high:
                found.append(
                    f"the largest value is {self._largest:g}, on a scale of {rule}; "
                    f"if the images use another scale, give it, for example --range 0 {likely:g}"
                )
        trained = self._runtime.info.origin.means.get("noisy")
        mean = self._total / max(1, self._count)
        if not found and trained is not None and abs(1 - mean - trained) + _CLEARLY < abs(mean - trained):
            found.append(
                f"the mean value is {mean:.2f} of full scale, but {trained:.2f} in the training images; "
                "if dark and light are swapped, add --invert"
            )
        return found


def _convert_alpha(alpha: NDArray[Any], depth: np.dtype[Any] | None) -> NDArray[Any]:
    if depth is None or depth == alpha.dtype:
        return alpha
    return full_scale(depth).restore(full_scale(alpha.dtype).normalise(alpha), depth)
