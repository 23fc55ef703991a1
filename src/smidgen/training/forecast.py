"""How long a training will take and how much memory, before it starts."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from smidgen.data.collection import shapes_of
from smidgen.engine.native import Engine
from smidgen.training.experiment import Experiment
from smidgen.training.torch_network import TorchNetwork

_TRIED_SIDE = 96
_BYTES_A_PIXEL = 1300  # of activations, measured with the default network
_BYTES_A_VALIDATED_PIXEL = 60  # of the largest image: noisy, clean, denoised, and float64 for its scores


@dataclass(frozen=True)
class Forecast:
    """Seconds on this machine as busy as it is now, and bytes beside what the pairs and the program take."""

    seconds: float
    memory: int


def forecast(experiment: Experiment) -> Forecast:
    """Try a step and a validation on a little noise, and multiply."""
    dataset, spec, recipe = experiment.dataset, experiment.spec, experiment.recipe
    examples, each = dataset.measure(recipe.crop)
    network = TorchNetwork(spec.network(), torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    noise = np.random.default_rng(0).random((1, _TRIED_SIDE, _TRIED_SIDE, spec.channels), dtype=np.float32)
    images = torch.from_numpy(noise).permute(0, 3, 1, 2)
    engine = Engine(spec, network.export_weights(), recipe.threads)

    def step(_: int = 0) -> None:
        torch.set_num_threads(1)
        torch.autograd.grad(network(images).square().mean(), list(network.parameters()))

    with ThreadPoolExecutor(recipe.threads) as pool:
        stepping = _time(lambda: list(pool.map(step, range(recipe.threads)))) / recipe.threads
    validating = _time(lambda: engine.denoise_batch(np.repeat(noise, 8, 0))) / 8
    shapes = shapes_of(dataset.val.clean)
    areas = shapes[:, 0] * shapes[:, 1]
    pixels = recipe.epochs * np.array([examples * each, int(areas.sum())])
    seconds = float(pixels @ np.array([stepping, validating])) / _TRIED_SIDE**2
    activations = min(recipe.batch_size * each, 100_000 * recipe.threads) * _BYTES_A_PIXEL
    return Forecast(seconds, int(max(activations, int(areas.max()) * _BYTES_A_VALIDATED_PIXEL)))


def _time(work: Callable[[], object]) -> float:
    """Seconds of the second of two runs: the first loads and warms what it needs."""
    work()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
