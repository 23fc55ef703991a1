"""A training step's gradients by the engine beside those by torch, as trainings computed them before.

    pip install 'smidgen[torch]'
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/gradients.py [--rounds 7] [--no-torch]

One thread each, in turns; medians by processor time of images and megapixels a second, and the share of the rate of a
large float32 matrix product in the same round. A pass forwards and back counts as three passes forwards.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch_step import OldNetwork, to_tensor

from smidgen.engine.library import levels
from smidgen.engine.native import Engine
from smidgen.network.spec import PlainSpec, PyramidSpec, Spec, default_spec

PRODUCT = 1536
NETWORKS: dict[str, Spec] = {
    "default": default_spec(),
    "residual": default_spec(output="residual"),
    "two passes": default_spec(passes=2),
    "450 numbers": default_spec(450),
    "10,000 numbers": default_spec(10_000),
    **{f"width {width}": PyramidSpec(width=width, hidden=width) for width in (8, 12, 20, 32)},
    "plain": PlainSpec(),
}
BATCHES = {  # by network: images and their side
    "default": ((64, 28), (12, 64), (3, 128), (1, 512)),
    "residual": ((12, 64),),
}
BATCH = ((64, 28),)  # of the others


def measure(function: Callable[[], object]) -> float:
    begun = time.process_time()
    function()
    return time.process_time() - begun


def random_weights(spec: Spec) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        weight.name: generator.normal(weight.mean, weight.std or 0.02, weight.shape).astype(np.float32)
        for weight in spec.network().weights
    }


def torch_step(spec: Spec, noisy: np.ndarray, clean: np.ndarray) -> Callable[[], object]:
    """Loss and gradients of a batch, as `Loop` computes them in one part."""
    model = OldNetwork(spec.network(), random_weights(spec))
    parameters = list(model.parameters())

    def step() -> object:
        values, wanted = model(to_tensor(noisy)), to_tensor(clean)
        loss = F.mse_loss(values, wanted) if model.residual else F.binary_cross_entropy_with_logits(values, wanted)
        return torch.autograd.grad(loss, parameters)

    return step


def compare(title: str, spec: Spec, count: int, side: int, rounds: int, *, with_torch: bool) -> None:
    generator = np.random.default_rng(0)
    noisy, clean = (generator.random((count, side, side, 1), dtype=np.float32) for _ in range(2))
    product = generator.random((PRODUCT, PRODUCT), dtype=np.float32)
    engine = Engine(spec, random_weights(spec), threads=1)
    loss = "mse" if spec.output == "residual" else "bce"
    repeats = max(1, 200_000 // noisy.size)
    steps: dict[str, Callable[[], object]] = {
        "engine": lambda: [engine.gradients(noisy, clean, loss) for _ in range(repeats)]
    }
    if with_torch:
        steps["torch"] = torch_step(spec, noisy, clean)
    work = 6 * spec.network().multiply_accumulates_per_pixel * noisy.size
    rates: dict[str, list[float]] = {name: [] for name in steps}
    shares: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        peak = 2 * PRODUCT**3 / measure(lambda: product @ product)
        for name, step in steps.items():
            seconds = measure(step) / (repeats if name == "engine" else 1)
            if number:  # the first warms up
                rates[name].append(count / seconds)
                shares[name].append(work / seconds / peak)
    first = statistics.median(rates["engine"])
    print(f"{title}, {count} of {side} x {side}; product {peak / 1e9:.0f} GFLOP/s")
    for name in steps:
        rate = statistics.median(rates[name])
        print(
            f"  {name:<8}{rate:9.1f} images/s {rate * side * side / 1e6:7.2f} MP/s  share "
            f"{statistics.median(shares[name]):4.0%} ({min(shares[name]):.0%} to {max(shares[name]):.0%})  "
            f"engine x {first / rate:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--only", nargs="+", choices=NETWORKS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"engine level {levels()[0]}, one thread, medians of {args.rounds} rounds")
    for name, spec in NETWORKS.items():
        if not args.only or name in args.only:
            for count, side in BATCHES.get(name, BATCH):
                compare(name, spec, count, side, args.rounds, with_torch=not args.no_torch)


if __name__ == "__main__":
    main()
