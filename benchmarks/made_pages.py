"""How fast pages are made: megapixels a second of one core, by processor time, of parts to train on and of whole A4.

python benchmarks/made_pages.py [--seconds 10]
"""

import argparse
import json
import time

import numpy as np

from smidgen.data.made_pages import open_maker
from smidgen.pages.maker import A4

KINDS = {"parts of 512 x 512": (None, False), "A4 at 100 dpi": (100, True), "A4 at 200 dpi": (200, True),
         "A4 at 300 dpi": (300, True)}  # fmt: skip
PART = (512, 512)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="of each kind")
    seconds = parser.parse_args().seconds
    started = time.process_time()
    maker = open_maker("train")
    maker.make(*PART, np.random.default_rng(0))
    found = {"fields, once, seconds": round(time.process_time() - started, 2)}
    for name, (dpi, whole) in KINDS.items():
        height, width = PART if dpi is None else (round(side * dpi) for side in A4)
        pixels, seed, started = 0, 0, time.process_time()
        while time.process_time() - started < seconds:
            page = maker.make(height, width, np.random.default_rng(seed), dpi=dpi or 0, whole=whole)
            pixels, seed = pixels + page.noisy.size, seed + 1
        found[name] = round(pixels / (time.process_time() - started) / 1e6, 1)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
