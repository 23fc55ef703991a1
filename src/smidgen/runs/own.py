"""A few noisy images as a model denoised them, in noise again: what this model is adjusted by to these very images.

Targets made of the noisy images themselves (`RecorruptedSource`) hold their noise, which few images let even a small
network learn by heart. What a model made of them holds hardly any: averaged over the eight ways to turn an image, and
on values where noise is as strong everywhere, it is cleaner than the model gives at once. What it lacks, fine texture,
the model was about to lose anyhow. See Vaksman, Elad and Milanfar 2020, "LIDIA: Lightweight learned image denoising
with instance adaptation".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import (
    Image,
    Images,
    ScaledImages,
    Shapes,
    Window,
    group_by_size,
    spread_places,
    whole,
)
from smidgen.data.corruptions import SEED
from smidgen.data.crops import draw_batches, turn_one
from smidgen.data.noise import Noise
from smidgen.data.pairs import Batch, Labels, Pairs
from smidgen.data.stabiliser import Stabiliser
from smidgen.model.colour import split_colours
from smidgen.model.runtime import Runtime

_GREY = np.float32(0.5)


def denoise_well(runtime: Runtime, page: Image, noise: Noise, factors: NDArray[np.float32]) -> Image:
    """A page `(H, W, C)` denoised as well as a model for white noise can, in [0, 1].

    Args:
        runtime: the model.
        page: in [0, 1], noise beyond that included.
        noise: of all pages and channels.
        factors: (C,), by what the variance in each channel differs from it.
    """
    stabilisers = [Stabiliser(noise.times(factor)) for factor in factors.tolist()]
    level = _per_channel([stabiliser.apply for stabiliser in stabilisers], page)
    # Stronger noise than the model knows is brought down to it, and the picture's contrast with it.
    weaker = min(1.0, runtime.info.strongest_noise / max(stabiliser.deviation for stabiliser in stabilisers))
    level = np.float32(weaker) * (level - _GREY) + _GREY
    total = np.zeros(page.shape, np.float64)
    for way in range(8):
        turned = np.ascontiguousarray(turn_one(level, way))
        denoised = np.rot90(runtime.denoise_colours(turned[None])[0], -(way % 4))
        total += denoised[:, ::-1] if way >= 4 else denoised
    strong = (total / 8 - _GREY) / weaker + _GREY
    return np.clip(_per_channel([stabiliser.invert for stabiliser in stabilisers], strong), 0, 1)


def _per_channel(
    functions: Sequence[Callable[[NDArray[np.floating[Any]]], Image]], page: NDArray[np.floating[Any]]
) -> Image:
    """Each channel of a page by its own function."""
    return np.stack([function(page[..., channel]) for channel, function in enumerate(functions)], -1)


@dataclass(frozen=True, eq=False)
class OwnSource:
    """Denoised pages in noise that is drawn anew each time they are shown, plane by plane.

    Attributes:
        clean: the pages, `(H, W, C)` each, in [0, 1].
        noise: that they get, in all channels.
        factors: (N, C), by what the variance in each channel of each page differs from that.
        limits: the smallest and the largest of the noisy values, which may have been clipped there.
        split: whether the planes are luma and chroma, or else the channels.
    """

    clean: Sequence[Image]
    noise: Noise
    factors: NDArray[np.float32]
    limits: tuple[float, float]
    split: bool

    def __len__(self) -> int:
        return int(self.factors.size)

    @property
    def shapes(self) -> Shapes:
        """Of all planes, those of a page one after the other."""
        sides = np.array([(*page.shape[:2], 1) for page in self.clean], np.int64)
        return np.repeat(sides, self.factors.shape[1], 0)

    @property
    def labels(self) -> Labels | None:
        """Of noisy images nobody knows them."""
        return None

    def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0) -> Iterator[Batch]:
        """One epoch."""
        for windows in draw_batches(self.shapes, crop, batch_size, generator):
            yield [self._make(group, generator) for group in group_by_size(windows)]

    def _make(self, windows: Sequence[Window], generator: np.random.Generator) -> tuple[Images, Images]:
        """Parts of planes in noise, and without."""
        channels = self.factors.shape[1]
        places = [divmod(number, channels) for number, _, _ in windows]
        cut = zip(places, windows, strict=True)
        clean = np.stack([self.clean[page][rows, columns] for (page, _), (_, rows, columns) in cut])
        spread = np.sqrt(self.factors[[page for page, _ in places]])[:, None, None, :]
        noisy = np.clip(clean + self.noise.draw_at(clean, generator) * spread, *self.limits)
        if self.split:
            noisy, clean = split_colours(noisy), split_colours(clean)
        index = np.arange(len(places)), [plane for _, plane in places]
        return np.moveaxis(noisy, 3, 1)[index][..., None], np.moveaxis(clean, 3, 1)[index][..., None]

    def fixed(self) -> Pairs:
        """All planes, in noise once and for all."""
        made = [
            self._make([whole(number, shape)], np.random.default_rng(SEED + number))
            for number, shape in enumerate(self.shapes)
        ]
        return Pairs(ScaledImages([noisy[0] for noisy, _ in made]), ScaledImages([clean[0] for _, clean in made]))

    def example(self, n: int) -> Pairs:
        """The first `n` planes."""
        return self.fixed().first(n)

    def spread(self, n: int) -> Pairs:
        """At most `n` planes from all over."""
        return self.fixed().pick(spread_places(len(self), n))
