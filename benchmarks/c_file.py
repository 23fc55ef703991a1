"""The exported C file with one, four, eight and sixteen lanes, one thread.

    pip install 'smidgen[export]'
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/c_file.py [--rounds 5]

Printed are medians over rounds of the share of the rate of a large float32 matrix product (numpy) in the same round, by
processor time, on 512 x 512 with the default network. The compiler is `cc` or `CC`.
"""

import argparse
import os
import statistics

import numpy as np
from throughput import SIDE, measure, random_weights

from smidgen.export.c import compile_c, write_c
from smidgen.network.spec import default_spec

SIZE = (512, 512)
BUILDS = {
    "1 lane": (),
    "4 lanes, -msse4.2": ("-DSMIDGEN_LANES=4", "-msse4.2"),
    "8 lanes, -march=x86-64-v3": ("-DSMIDGEN_LANES=8", "-march=x86-64-v3"),
    "16 lanes, -march=native": ("-DSMIDGEN_LANES=16", "-march=native"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(name) != "1":
            parser.error(f"set {name}=1, so that the matrix product has one thread too")
    spec = default_spec()
    source = write_c(spec, random_weights(spec), SIZE, bits=32, title="")
    ways = {name: compile_c(source, SIZE, 1, flags) for name, flags in BUILDS.items()}
    generator = np.random.default_rng(0)
    image, product = (generator.random(shape, dtype=np.float32) for shape in ((1, *SIZE, 1), (SIDE, SIDE)))
    flops = 2 * spec.network().multiply_accumulates_per_pixel * image.size
    shares: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(args.rounds + 1):
        peak = 2 * SIDE**3 / measure(lambda: product @ product)[0]
        for name, run in ways.items():
            share = flops / measure(lambda run=run: run(image), 4)[0] / peak
            if number:  # the first warms up
                shares[name].append(share)
    for name, found in shares.items():
        print(f"{name:<28}{statistics.median(found):4.0%} of the matrix product's rate")


if __name__ == "__main__":
    main()
