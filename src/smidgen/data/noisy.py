"""Noisy images alone, or two noisy shots of each scene: what a network learns from when there are no clean ones.

Of one shot each pair is made anew by recorruption: more noise n of the kind that is there, weighed a, goes onto the
input, and 1/a of it off the target. Then the two err independently, and the target that serves best is the clean image,
which nobody has (Pang et al. 2021, "Recorrupted-to-Recorrupted"). Each n is shown with its negative beside it: what the
target has too much in one it lacks in the other, so that a small weight, with which the input is hardly noisier than
what the network will be given, costs no more steps. Of two shots one is the input and the other the target (Lehtinen
et al. 2018, "Noise2Noise").
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import (
    Collection,
    Images,
    MadeImages,
    ScaledImages,
    Shapes,
    first_pieces,
    group_by_size,
    read,
    shapes_of,
    spread_places,
)
from smidgen.data.corruptions import SEED
from smidgen.data.crops import draw_batches
from smidgen.data.draw import draw_parts, keep_all
from smidgen.data.noise import MOST_AT_ENDS, VARIANCE_OFF, Noise, estimate_noise, strengths
from smidgen.data.oddities import different
from smidgen.data.origin import RECORRUPTED, TWO_SHOTS, WithoutClean
from smidgen.data.pairs import Batch, Dataset, FixedSource, Labels, Pairs
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.scale import Extent, Scale, Scales, fit_scale
from smidgen.errors import InputError, PairsError, plural
from smidgen.network.spec import OUTPUTS

_WEIGHT = 0.3
_FEWEST_TO_SPLIT = 10
_MOST_VALUES = 16_000_000
_WORTH_A_WORD = 1.5


@dataclass(frozen=True)
class RecorruptedSource:
    """Noisy images in [0, 1], with noise shared out anew between input and target each time they are shown.

    Attributes:
        noisy: the images.
        noise: what they have in common.
        factors: (N,), by what each one's variance differs from that.
    """

    noisy: ScaledImages
    noise: Noise
    factors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.noisy)

    @property
    def shapes(self) -> Shapes:
        """Of all images."""
        return self.noisy.shapes

    @property
    def labels(self) -> Labels | None:
        """Of noisy images nobody knows them."""
        return None

    def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0) -> Iterator[Batch]:
        """One epoch: half of the windows, each with two pairs, so that a batch is as large as with clean images."""
        for windows in draw_batches(self.shapes, crop, batch_size, generator):
            half = windows[: max(1, len(windows) // 2)]
            signs = (1, -1) if len(windows) > 1 else (1,)
            batch = []
            for group in group_by_size(half):
                noisy = self.noisy.read(group)
                drawn = self._draw(noisy, [number for number, _, _ in group], generator)
                batch += [_recorrupt(noisy, sign * drawn) for sign in signs]
            yield batch

    def _draw(self, noisy: Images, places: Sequence[int], generator: np.random.Generator) -> Images:
        """More noise of the kind that these parts of the images at some places have."""
        factors = np.sqrt(self.factors[places])
        return self.noise.draw(noisy, generator) * factors[:, None, None, None]

    def fixed(self) -> Pairs:
        """All images, recorrupted once and for all."""

        def make(side: int) -> MadeImages:
            def part(images: Images, places: Sequence[int]) -> Images:
                made = [
                    self._draw(image[None], [place], np.random.default_rng(SEED + place))
                    for image, place in zip(images, places, strict=True)
                ]
                return _recorrupt(images, np.concatenate(made))[side]

            return MadeImages(self.noisy, part)

        return Pairs(make(0), make(1))

    def example(self, n: int) -> Pairs:
        """The first `n` images, which are all that is known of clean ones, too."""
        return Pairs(self.noisy.first(n), self.noisy.first(n))

    def spread(self, n: int) -> Pairs:
        """At most `n` images from all over, recorrupted in a way that stays the same."""
        return self.fixed().pick(spread_places(len(self), n))


def _recorrupt(noisy: Images, drawn: Images) -> tuple[Images, Images]:
    """Input and target."""
    return noisy + np.float32(_WEIGHT) * drawn, noisy - drawn / np.float32(_WEIGHT)


def split_noisy(
    raw: RawPairs,
    *,
    scales: Scales | None = None,
    output: str | None = None,
    whole: bool = False,
    apart: bool = False,
    **draw: Any,
) -> Dataset:
    """Split noisy images as `split_pairs` does pairs; of fewer than ten all are in every part.

    Args:
        raw: noisy images, alone as X and as y, or first shots as X and second ones as y.
        scales: a model's, whose rule for X is used as long as the values are on it.
        output: of the network, which is a residual.
        whole: all images in every part, for a model that saw none of them.
        apart: take each channel of a colour image as an image of its own.
        draw: `val`, `test`, `group`, `seed`, `val_share` and `test_share`, as of `draw_parts`.

    Raises:
        PairsError: parts whose images differ in their number of channels, or images of one value or without noise.
        InputError: another output is asked for, or the pattern of groups is of no use.
    """
    if output not in (None, OUTPUTS[1]):
        raise InputError(
            f"the output {output} is asked for, and there are noisy images alone",
            expected="residual: without clean images only what is noise can be learned",
        )
    few = not whole and len(raw) < _FEWEST_TO_SPLIT and not {"val", "test"} & draw.keys()
    drawn = keep_all(raw, apart=apart) if whole or few else draw_parts(raw, apart=apart, **draw)
    parts = drawn.parts
    scale = _choose_scale(parts[0], scales)
    two = raw.noisy is not raw.clean
    made = {
        id(part): Pairs(ScaledImages(part.noisy, scale), ScaledImages(part.clean, scale), names=part.names)
        for part in parts
    }
    train, held_out, last = (made[id(part)] for part in parts)
    noise = estimate_noise(train.noisy)
    warnings = list(drawn.warnings)
    if few:
        warnings.append(
            f"{plural(len(raw), 'noisy image')}: all are learned from and all are judged, which so few numbers cannot "
            "learn by heart"
        )
    if noise.none and not two:
        found = "no noise is found in the images"
        expected = f"some dozen pixels either way, and at most {MOST_AT_ENDS:.0%} of values at either end"
        if not whole:
            raise PairsError(found, expected=expected)
        warnings.append(f"{found}: either there is none, or nearly all values were clipped")
    if noise.correlation:
        warnings.append(
            f"the noise of neighbouring pixels is correlated ({noise.neighbours:.2f}), as far as flat parts tell; "
            + ("two shots do not mind" if two else "the noise that is added has the same correlation")
        )
    known = WithoutClean(method=TWO_SHOTS if two else RECORRUPTED, noise=noise)
    surveys = [seen for part in different(parts) for seen in part.surveys]
    ends = min(float(seen.low.min()) for seen in surveys), max(float(seen.high.max()) for seen in surveys)
    dataset = Dataset(
        name=raw.source,
        train=FixedSource(train),
        val=held_out,
        test=last,
        scales=Scales(scale, scale, scale.widen(*ends), f"X is on its own scale, {scale}, and so is what is denoised"),
        fingerprint=f"{drawn.fingerprint} {known.method}",
        source_fingerprint=drawn.source_fingerprint,
        found=raw.found,
        output=OUTPUTS[1],
        output_reason="output: residual, since there are noisy images alone",
        whole=whole,
        without_clean=known,
        warnings=tuple(warnings),
    )
    if two:
        return replace(dataset, floor=_mean_square(held_out.noisy, held_out.clean) / 2)
    source = RecorruptedSource(ScaledImages(parts[0].noisy, scale), noise, strengths(train.noisy, noise))
    choosing = replace(
        source, noisy=ScaledImages(parts[1].noisy, scale), factors=strengths(held_out.noisy, noise)
    ).fixed()
    own = float(noise.variance(np.concatenate([part.ravel() for part in _first(held_out.noisy)])).mean())
    floor = (1 - VARIANCE_OFF) * own + _mean_square(held_out.noisy, choosing.clean)
    varied = np.quantile(source.factors, [0.1, 0.9])
    if varied[1] > _WORTH_A_WORD * varied[0]:
        times = f"from {varied[0]:.2g} to {varied[1]:.2g} times what they have in common"
        text = f"the noise is not the same in all images: its variance is {times}"
        dataset = replace(dataset, warnings=(*dataset.warnings, text))
    return replace(dataset, train=source, chosen_on=choosing, floor=floor, fresh=True)


def _choose_scale(train: RawPairs, given: Scales | None) -> Scale:
    """The model's rule for X where it suits the values, else their own."""
    first, second = (seen.extent for seen in train.surveys)
    values = Extent(min(first.low, second.low), max(first.high, second.high), first.dtype)
    if given is not None and given.seen.suits(values):
        return given.noisy
    return fit_scale(values, "the noisy images")


def _mean_square(one: Collection, other: Collection) -> float:
    """Of the difference, as far as it is soon read."""
    total, count = 0.0, 0
    for windows in first_pieces(shapes_of(one), _MOST_VALUES):
        difference = read(one, windows).astype(np.float64) - read(other, windows)
        total, count = total + float(np.square(difference).sum()), count + difference.size
    return total / max(1, count)


def _first(images: Collection) -> Iterator[Images]:
    for windows in first_pieces(shapes_of(images), _MOST_VALUES):
        yield read(images, windows)
