"""Cut the sample that ships with Smidgen from the full data sets.

    python tools/make_sample.py DATA

The sample holds the first images of each part of MNIST and Fashion-MNIST as the tasks split them:
6,000 for training, 1,000 for validation (from the last 5,000 of the training files) and 1,000
from the test files.
"""

import argparse
from pathlib import Path

import numpy as np

from smidgen.data.mnist import load_full

SIZES = {"train": 6000, "val": 1000, "test": 1000}
OUT = Path(__file__).parents[1] / "src" / "smidgen" / "tasks" / "sample"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    OUT.mkdir(exist_ok=True)
    for name in ("mnist", "fashion-mnist"):
        archive = load_full(name, data)
        parts = {}
        for part, n in SIZES.items():
            parts[part] = getattr(archive, part)[:n]
            parts[f"{part}_labels"] = getattr(archive, f"{part}_labels")[:n].astype(np.uint8)
        np.savez_compressed(OUT / f"{name}.npz", **parts)
        print(f"{name}: {(OUT / f'{name}.npz').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
