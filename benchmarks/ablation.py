"""Each part of the default spec and recipe removed alone, at a short length, on several seeds.

    python benchmarks/ablation.py --data FOLDER [--steps 1000] [--seeds 3] [--processes 2]

All train on the first digits of `digits-on-garments` and are scored on its 5,000 validation pairs;
nothing here looks at the test part. A spec with a part removed gets the numbers it saves back as
width and `hidden`, by the rule of the default spec. Printed are mean and standard deviation over the
seeds, and the seconds of one core.
"""

import argparse
import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from smidgen.data.pairs import Dataset, FixedSource
from smidgen.data.stamps import FreshSource
from smidgen.data.tasks import DEFAULT_TASK, load_task
from smidgen.engine.native import Engine
from smidgen.network.layers import Kind, Layer, Network
from smidgen.network.spec import DEFAULT_BUDGET, PyramidSpec
from smidgen.training import loop
from smidgen.training.losses import mse
from smidgen.training.recipe import Recipe
from smidgen.training.train import train

EPOCHS = 8
BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class WithoutNormalising(PyramidSpec):
    def network(self) -> Network:
        network = super().network()
        names = {layer.output: layer.inputs[0] for layer in network.layers if layer.kind is Kind.RMS_NORM}
        layers = [
            replace(layer, inputs=tuple(names.get(name, name) for name in layer.inputs))
            for layer in network.layers
            if layer.kind is not Kind.RMS_NORM
        ]
        return replace(network, layers=tuple(layers))


@dataclass(frozen=True, kw_only=True)
class ReluForGate(PyramidSpec):
    def network(self) -> Network:
        network = super().network()
        layers: list[Layer] = []
        for layer in network.layers:
            if layer.kind is Kind.GATED_CONV:
                inner = f"{layer.output}.inner"
                layers.append(replace(layer, kind=Kind.CONV, output=inner))
                layers.append(replace(layer, kind=Kind.RELU, inputs=(inner,), weight=None, bias=None, gain=None))
            else:
                layers.append(layer)
        gated = {layer.weight for layer in network.layers if layer.kind is Kind.GATED_CONV}
        gated |= {layer.bias for layer in network.layers if layer.kind is Kind.GATED_CONV}
        weights = [
            replace(weight, shape=(weight.shape[0] // 2, *weight.shape[1:])) if weight.name in gated else weight
            for weight in network.weights
        ]
        return replace(network, layers=tuple(layers), weights=tuple(weights))


@dataclass(frozen=True, kw_only=True)
class NearestUpsampling(PyramidSpec):
    def network(self) -> Network:
        network = super().network()
        layers = [
            replace(layer, kind=Kind.UPSAMPLE_NEAREST) if layer.kind is Kind.UPSAMPLE_BILINEAR else layer
            for layer in network.layers
        ]
        return replace(network, layers=tuple(layers))


@dataclass(frozen=True, kw_only=True)
class OneCell(PyramidSpec):
    def network(self) -> Network:
        return _rename_weights(super().network(), lambda name: name.replace("up.", "down."))


@dataclass(frozen=True, kw_only=True)
class OneBias(PyramidSpec):
    def network(self) -> Network:
        return _rename_weights(super().network(), lambda name: _without_visit(name, "bias"))


@dataclass(frozen=True, kw_only=True)
class OneGain(PyramidSpec):
    def network(self) -> Network:
        return _rename_weights(super().network(), lambda name: _without_visit(name, "gain"))


def _without_visit(name: str, role: str) -> str:
    """`pass0.down2.bias` -> `down.bias`."""
    if name.startswith("pass") and name.endswith(role):
        return f"{'down' if 'down' in name else 'up'}.{role}"
    return name


def _rename_weights(network: Network, rename: Callable[[str], str]) -> Network:
    layers = [
        replace(
            layer,
            **{role: name and rename(name) for role in ("weight", "bias", "gain") for name in [getattr(layer, role)]},
        )
        for layer in network.layers
    ]
    weights = {rename(weight.name): replace(weight, name=rename(weight.name)) for weight in network.weights}
    return replace(network, layers=tuple(layers), weights=tuple(weights.values()))


class WithoutWarmUp(Recipe):
    def rate_at(self, step: int, total_steps: int) -> float:
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total_steps))


def fit(spec: type[PyramidSpec], **shape: int) -> PyramidSpec:
    """The largest of this kind under the budget, by the default spec's rule."""

    def fits(width: int, hidden: int) -> bool:
        return spec(width=width, hidden=hidden, **shape).network().num_parameters <= DEFAULT_BUDGET

    width = max(width for width in range(1, 60) if fits(width, width))
    width -= width % 4 if width >= 16 else 0
    return spec(width=width, hidden=max(hidden for hidden in range(width, 200) if fits(width, hidden)), **shape)


def variants() -> dict[str, tuple[PyramidSpec, dict[str, Any]]]:
    """Name -> spec, and what of the recipe changes."""
    default = fit(PyramidSpec)
    return {
        "nothing removed": (default, {}),
        "no normalising": (fit(WithoutNormalising), {}),
        "ReLU for the gate": (fit(ReluForGate), {}),
        "3 x 3 for 5 x 5": (fit(PyramidSpec, kernel=3), {}),
        "one cell for both ways": (fit(OneCell), {}),
        "one bias for all visits": (fit(OneBias), {}),
        "one gain for all visits": (fit(OneGain), {}),
        "nearest for bilinear": (fit(NearestUpsampling), {}),
        "3 scales for 4": (fit(PyramidSpec, scales=3), {}),
        "AdamW at 3e-3 for SOAP": (default, {"optimizer": "adamw", "learning_rate": 3e-3}),
        "AdamW at 1e-2 for SOAP": (default, {"optimizer": "adamw", "learning_rate": 1e-2}),
        "constant rate": (default, {"annealed": False}),
        "no warm-up": (default, {"class": WithoutWarmUp}),
        "no clipping": (default, {"clip": math.inf}),
        "batches of 128": (default, {"batch_size": 2 * BATCH_SIZE}),
        "pairs fixed": (default, {"fixed": True}),
    }


def run(job: tuple[str, int, int, Path | None]) -> tuple[str, int, float, float, float]:
    """Train one variant on one seed; gives its validation BCE and MSE and the seconds."""
    name, seed, steps, data = job
    spec, changes = variants()[name]
    changes = dict(changes)
    dataset = load_task(DEFAULT_TASK, data)
    dataset = first_digits(dataset, steps * BATCH_SIZE // EPOCHS, fixed=changes.pop("fixed", False))
    loop.LONGEST_GRADIENT = changes.pop("clip", 1.0)
    settings_class = changes.pop("class", Recipe)
    settings = settings_class(epochs=EPOCHS, threads=1, seed=seed, **{"batch_size": BATCH_SIZE} | changes)
    started = time.process_time()
    trained = train(dataset, spec, settings)
    seconds = time.process_time() - started
    denoised = Engine(spec, trained.weights).denoise_batch(dataset.val.noisy)
    val_loss = min(record["val_loss"] for record in trained.history)
    return name, seed, val_loss, float(mse(denoised, dataset.val.clean).mean()), seconds


def first_digits(dataset: Dataset, n: int, *, fixed: bool) -> Dataset:
    """The data set with only the first `n` training digits, paired once if `fixed`."""
    source = dataset.train
    if not isinstance(source, FreshSource):
        raise TypeError("not a task")
    source = dataclasses.replace(source, clean=source.clean[:n], labels=source.labels[:n])
    return replace(dataset, train=FixedSource(source.example(n)) if fixed else source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(variants()), default=list(variants()), metavar="NAME")
    args = parser.parse_args()
    names = args.only
    jobs = [(name, seed, args.steps, args.data) for seed in range(args.seeds) for name in names]
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    with get_context("spawn").Pool(args.processes, maxtasksperchild=4) as pool:
        for name, seed, *figures in pool.imap_unordered(run, jobs):
            found[name].append((figures[0], figures[1], figures[2]))
            print(f"# {name}, seed {seed}: BCE {figures[0]:.4f}, MSE {figures[1]:.2e}, {figures[2]:.0f} s", flush=True)
    print("| removed | width, hidden | parameters | BCE | MSE | seconds of one core |")
    print("|---|---|---|---|---|---|")
    for name, rows in found.items():
        spec = variants()[name][0]
        bces, mses, seconds = zip(*rows, strict=True)
        spread = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in (bces, mses)]
        quality = f"{np.mean(bces):.4f} ± {spread[0]:.4f} | {np.mean(mses):.2e} ± {spread[1]:.0e}"
        print(
            f"| {name} | {spec.width}, {spec.hidden} | {spec.network().num_parameters:,} "
            f"| {quality} | {np.mean(seconds):.0f} |"
        )


if __name__ == "__main__":
    main()
