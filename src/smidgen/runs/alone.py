"""Learn on a noisy image alone, to denoise this very image: from a shipped model's numbers on, or from none."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from smidgen.data.formats import read_clean
from smidgen.data.noisy import split_noisy
from smidgen.data.pairs import Dataset
from smidgen.data.scale import Scale, Scales
from smidgen.model.file import parse_model, read_content, write_model
from smidgen.model.records import ModelInfo
from smidgen.model.values import choose_picture_scales
from smidgen.network.spec import DEFAULT_BUDGET, choose_spec
from smidgen.training.experiment import Experiment
from smidgen.training.loop import Progress
from smidgen.training.recipe import CROP
from smidgen.training.train import train

# From a model's numbers on some six seconds of a core, in small steps: larger ones, and more, learn the noise of this
# one image (docs/experiments.md). From none so long as to get anywhere.
_STEPS, _RATE = 150, 5e-4
_STEPS_ANEW, _RATE_ANEW = 3000, 1e-2


def open_alone(image: Path, model: Path, scale: Scale | None = None) -> Dataset:
    """An image, of which every part of the data set is all; several channels as grey ones.

    Args:
        image: the file; its pages are learned from together.
        model: whose rule for values is followed where they are on it.
        scale: of the values, in its place.

    Raises:
        FileError, PairsError: it cannot be read.
    """
    raw = read_clean(image)
    info, _ = parse_model(read_content(model), str(model))
    values = raw.train.surveys[0].extent
    chosen, _ = choose_picture_scales(info, values.dtype, scale)
    seen = chosen.widen(values.low, values.high)
    dataset = split_noisy(raw.train, scales=Scales(chosen, chosen, seen), apart=True, whole=True)
    return replace(dataset, warnings=(*raw.warnings, *dataset.warnings))


def learn_alone(
    dataset: Dataset,
    path: Path,
    *,
    start: Path | None,
    threads: int,
    watch: Callable[[Progress], None] | None = None,
) -> Path:
    """Learn from a few noisy images and leave the model's file.

    Args:
        dataset: see `open_alone`.
        path: of the file.
        start: the file of a model of one channel whose numbers are adjusted; None begins with none.
        threads: processor cores to use.
        watch: called with the progress.

    Raises:
        FileError: a file cannot be read or written.
    """
    if start is None:
        spec, weights = choose_spec("pyramid", DEFAULT_BUDGET, 1, 1, dataset.output), None
        steps, rate = _STEPS_ANEW, _RATE_ANEW
    else:
        info, weights = parse_model(read_content(start), str(start))
        spec, steps, rate = info.spec, _STEPS, _RATE
    planned = Experiment.plan(dataset, spec, spec.num_parameters, learning_rate=rate, flips=True, threads=threads)
    examples, _ = dataset.measure(CROP)
    recipe = replace(planned.recipe, epochs=math.ceil(steps / math.ceil(examples / planned.recipe.batch_size)))
    trained = train(dataset, spec, recipe, watch=watch, start=weights)
    experiment = replace(planned, recipe=recipe)
    write_model(path, ModelInfo.of(experiment, best_epoch=trained.best_epoch, ending=trained.ending), trained.weights)
    return path
