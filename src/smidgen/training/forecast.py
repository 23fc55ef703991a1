"""How long a training will take and how much memory, before it starts."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from smidgen.data.collection import shapes_of
from smidgen.data.crops import largest_cell
from smidgen.engine.native import Engine
from smidgen.training.experiment import Experiment
from smidgen.training.start import draw_weights

_TRIED_SIDE = 64
_BYTES_A_VALUE = 12  # of a batch: noisy and clean, and one of them again as it is made
_BYTES_A_VALIDATED_PIXEL = 60  # of the largest image: noisy, clean, denoised, and float64 for its scores


@dataclass(frozen=True)
class Forecast:
    """What a training takes on this machine as busy as it is now.

    Attributes:
        seconds: of all epochs.
        memory: bytes, at most about, beside what the pairs and the program take: a batch of the largest crops, what
            each thread holds of some of them for the gradients, and the largest image that is validated.
    """

    seconds: float
    memory: int


def forecast(experiment: Experiment) -> Forecast:
    """Try a step and a validation on a little noise, and multiply."""
    dataset, spec, recipe = experiment.dataset, experiment.spec, experiment.recipe
    examples, each = dataset.measure(recipe.crop)
    engine = Engine(spec, draw_weights(spec.network(), 0), recipe.threads)
    noise = np.random.default_rng(0).random((8, _TRIED_SIDE, _TRIED_SIDE, spec.channels), dtype=np.float32)
    stepping = _time(lambda: engine.gradients(list(noise), list(noise), "mse")) / noise[..., 0].size
    validating = _time(lambda: engine.denoise_batch(noise)) / noise[..., 0].size
    shapes = shapes_of(dataset.val.clean)
    areas = shapes[:, 0] * shapes[:, 1]
    pixels = np.array([examples * each, int(areas.sum())])
    seconds = recipe.epochs * float(pixels @ np.array([stepping, validating]))
    height, width = largest_cell(dataset.train.shapes, recipe.crop)
    batch = min(recipe.batch_size, examples)
    memory = engine.threads * engine.gradients_size(height, width, batch)
    memory += batch * height * width * spec.channels * _BYTES_A_VALUE
    return Forecast(seconds, memory + int(areas.max()) * _BYTES_A_VALIDATED_PIXEL)


def _time(work: Callable[[], object]) -> float:
    """Seconds of the second of two runs: the first loads and warms what it needs."""
    work()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
