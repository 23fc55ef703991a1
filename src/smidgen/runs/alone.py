"""Learn on a noisy image alone, to denoise this very image: from a shipped model's numbers on, or from none."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from smidgen.data.collection import ScaledImages, middle, read, spread_places
from smidgen.data.noise import strengths
from smidgen.data.noisy import split_noisy
from smidgen.data.origin import OWN, WithoutClean
from smidgen.data.pairs import Dataset
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.scale import Scale, Scales, fit_scale
from smidgen.judging.without_truth import stein
from smidgen.model.file import Weights, pack_model, parse_model, read_content
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.values import DIM, choose_picture_scales
from smidgen.network.spec import DEFAULT_BUDGET, Spec, choose_spec
from smidgen.runs.own import OwnSource, denoise_well
from smidgen.training.experiment import Experiment
from smidgen.training.loop import Progress
from smidgen.training.recipe import CROP
from smidgen.training.train import train

# How long and how fast to learn (docs/experiments.md): from what the model made of the image; recorrupted, where more
# would learn the noise of this one image; and from nothing.
_OWN_STEPS, _OWN_RATE = 600, 5e-3
_STEPS, _RATE = 150, 5e-4
_STEPS_ANEW, _RATE_ANEW = 3000, 1e-2
# Of a page its middle is enough, and of many some.
_WIDEST, _MOST_PIXELS, _JUDGED, _DRAWS = 1024, 4_000_000, 16, 2


@dataclass(frozen=True, kw_only=True)
class Alone:
    """A few noisy images to learn from.

    Attributes:
        pages: all, with their channels.
        dataset: each channel as an image, in every part.
        rescaled: whether a model for pictures would take their values on another scale, unless told.
    """

    pages: ScaledImages
    dataset: Dataset
    rescaled: bool

    @property
    def known(self) -> WithoutClean:
        """Of the noise."""
        if self.dataset.without_clean is None:
            raise ValueError("a data set with clean images")
        return self.dataset.without_clean


def open_alone(raw: RawPairs, model: Path, scale: Scale | None = None) -> Alone:
    """Noisy images that are all there is to learn from.

    Args:
        raw: the images as X and as y.
        model: whose rule for values is followed; whole numbers far below it, such as 12 bits in 16, have their own.
        scale: of the values, in its place.

    Raises:
        FileError, PairsError: the model cannot be read, or the images hold one value.
    """
    info, _ = parse_model(read_content(model), str(model))
    values = raw.surveys[0].extent
    usual, _ = choose_picture_scales(info, values.dtype, None)
    chosen = scale or usual
    if scale is None and values.dtype.kind in "ui" and values.high < chosen.low + DIM * (chosen.high - chosen.low):
        chosen = fit_scale(values, raw.source)
    scales = Scales(chosen, chosen, chosen.widen(values.low, values.high))
    dataset = split_noisy(raw, scales=scales, apart=True, whole=True)
    return Alone(pages=ScaledImages(raw.noisy, chosen), dataset=dataset, rescaled=chosen != usual)


def learn_alone(
    images: Alone, *, start: Path | None, threads: int, watch: Callable[[Progress], None] | None = None
) -> bytes | None:
    """Learn from a few noisy images.

    Args:
        images: see `open_alone`.
        start: the file of a model of one channel whose numbers are adjusted; None begins with none.
        threads: processor cores to use.
        watch: called with the progress.

    Returns:
        The model file's content; None where the model to begin with errs less as it is, by Stein's estimate.

    Raises:
        FileError: a file cannot be read.
    """
    if start is None:
        spec = choose_spec("pyramid", DEFAULT_BUDGET, 1, 1, images.dataset.output)
        return _learn(images.dataset, spec, None, (_STEPS_ANEW, _RATE_ANEW), threads, watch)
    runtime = Runtime(start, threads)
    info, weights = parse_model(read_content(start), str(start))
    # A model for white noise leaves correlated noise in, and would learn from itself to do so.
    if images.known.noise.correlation:
        content = _learn(images.dataset, info.spec, weights, (_STEPS, _RATE), threads, watch)
    else:
        own = _make_own(images, runtime)
        content = _learn(own, info.spec, weights, (_OWN_STEPS, _OWN_RATE), threads, watch)
    return content if _error(Runtime(content, threads), images) < _error(runtime, images) else None


def leave_alone(images: Alone, start: Path) -> bytes:
    """The file of the model to begin with as it is, on the images' scale where it would not take them on that."""
    content = read_content(start)
    if not images.rescaled:
        return content
    info, weights = parse_model(content, str(start))
    origin = replace(info.origin, found=images.dataset.found)  # which says of what type the values on this scale are
    return pack_model(replace(info, scales=images.dataset.scales, origin=origin), weights)


def _make_own(images: Alone, runtime: Runtime) -> Dataset:
    """What the model made of the images, to learn from in their noise."""
    known, pages = images.known, images.pages
    channels = int(pages.shapes[0, 2])
    factors = strengths(images.dataset.val.noisy, known.noise).reshape(len(pages), channels)
    each = np.minimum(pages.shapes[:, :2], _WIDEST).prod(1).mean()
    chosen = spread_places(len(pages), max(1, round(_MOST_PIXELS / each)))
    parts = [read(pages, [(place, *middle(pages.shapes[place], _WIDEST))])[0] for place in chosen.tolist()]
    source = OwnSource(
        [denoise_well(runtime, part, known.noise, factors[place]) for place, part in zip(chosen, parts, strict=True)],
        known.noise,
        factors[chosen],
        (min(float(part.min()) for part in parts), max(float(part.max()) for part in parts)),
        runtime.splits(channels),
    )
    learned = replace(known, method=OWN, split=source.split)
    fingerprint = f"{images.dataset.source_fingerprint} {OWN}"
    return replace(
        images.dataset, train=source, chosen_on=source.fixed(), fingerprint=fingerprint, without_clean=learned
    )


def _learn(
    dataset: Dataset,
    spec: Spec,
    weights: Weights | None,
    how: tuple[int, float],
    threads: int,
    watch: Callable[[Progress], None] | None,
) -> bytes:
    """The file of a model that learned so many steps at such a rate."""
    steps, rate = how
    planned = Experiment.plan(dataset, spec, spec.num_parameters, learning_rate=rate, flips=True, threads=threads)
    examples, _ = dataset.measure(CROP)
    recipe = replace(planned.recipe, epochs=math.ceil(steps / math.ceil(examples / planned.recipe.batch_size)))
    trained = train(dataset, spec, recipe, watch=watch, start=weights)
    experiment = replace(planned, recipe=recipe)
    info = ModelInfo.of(experiment, best_epoch=trained.best_epoch, ending=trained.ending)
    return pack_model(info, trained.weights)


def _error(runtime: Runtime, images: Alone) -> float:
    """Stein's estimate of the mean squared error of all pages."""
    errors = []
    for place in spread_places(len(images.pages), _JUDGED).tolist():
        (noisy,) = read(images.pages, [(place, *middle(images.pages.shapes[place], _WIDEST))])
        denoised = runtime.denoise_colours(noisy[None])[0]
        for seed in range(_DRAWS):
            values, _ = stein(noisy, denoised, images.known.noise, runtime.denoise_colours, seed)
            errors.append(float(values.mean()))
    return float(np.mean(errors))
