"""One build of the engine beside another, of another compiler or source, at each level of the processor.

    python tools/build_wheels.py --only linux-x86_64 && unzip -j dist/*manylinux*x86_64.whl '*/engine.so' -d dist
    python benchmarks/compilers.py dist/engine.so [--than src/smidgen/engine/engine.so] [--rounds 15]

The two take turns on one thread; printed are medians of the ratio of their processor times in the same round, above 1
where the first one takes longer.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from smidgen.engine import build, native
from smidgen.engine.library import levels, library
from smidgen.network.spec import default_spec


def load(path: Path, level: str) -> dict[str, Callable[[], object]]:
    """What is measured, with a library of its own."""
    build.LIBRARY = path.resolve()
    native.library = library.__wrapped__  # without its cache
    loaded = native.library()
    spec, generator = default_spec(), np.random.default_rng(0)
    weights = {
        weight.name: generator.normal(weight.mean, weight.std or 0.02, weight.shape).astype(np.float32)
        for weight in spec.network().weights
    }
    engine = native.Engine(spec, weights, 1, level)
    large = generator.random((1, 1024, 1024, 1), np.float32)
    small, clean = generator.random((2, 64, 28, 28, 1), np.float32)

    def with_library(function: Callable[[], object]) -> Callable[[], object]:
        def call() -> object:
            native.library = lambda: loaded  # an engine asks for it at each call
            return function()

        return call

    return {
        "1024 x 1024": with_library(lambda: engine.denoise_batch(large)),
        "64 of 28 x 28": with_library(lambda: [engine.denoise_batch(small) for _ in range(10)]),
        "gradients, 64 of 28 x 28": with_library(lambda: [engine.gradients(small, clean, "bce") for _ in range(3)]),
    }


def seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the speed of two builds of the engine.")
    parser.add_argument("library", type=Path)
    parser.add_argument("--than", type=Path, default=build.LIBRARY)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    for level in levels():
        first, second = (load(path, level) for path in (options.library, options.than))
        for name in first:
            times = [(seconds(first[name]), seconds(second[name])) for _ in range(options.rounds + 1)][1:]
            ratios = [one / other for one, other in times]
            low, middle, high = statistics.quantiles(ratios)
            print(f"{level}, {name}: {middle:.3f} (half of the rounds: {low:.3f} to {high:.3f})", flush=True)


if __name__ == "__main__":
    main()
