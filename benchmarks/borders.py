"""How large the parts of large images should be that a training shows: inside whole pictures, and at their edges.

    python benchmarks/borders.py PHOTOGRAPHS LARGER [--crops 32,64,128,0] [--rates 3e-2] [--sigma 25] [--megapixels 100]

Trains the default residual network on a folder of clean photographs with Gaussian noise, once for each crop and rate,
over equally many pixels. Scores are PSNR on the tenth of them that is kept for validation, and on a folder of larger
photographs that no training sees: of whole pictures, of what lies further from the edge than the network reaches, of
whole pictures that are reflected at their edges before the network and cut after it; and of the lowest and rightmost
pixels of pictures cut to sides that all scales halve without a rest, and to sides that none does.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from smidgen.data.collection import Image
from smidgen.data.open import open_clean
from smidgen.data.pairs import Pairs
from smidgen.engine.native import Engine
from smidgen.network.spec import default_spec
from smidgen.training.recipe import default_recipe
from smidgen.training.train import train

REACH = 64  # a little more than the network's
OUTERMOST = 8
COARSEST = 8  # pixels to one of the coarsest scale
REFLECTED = 32
PARTS = ("whole", "inside", "reflected", "even edges", "odd edges")


def denoise(engine: Engine, noisy: Image, reflected: int = 0) -> Image:
    """An image that goes on beyond its edges as in a mirror, so many pixels."""
    padded = np.pad(noisy, ((reflected, reflected), (reflected, reflected), (0, 0)), mode="reflect")
    height, width = noisy.shape[:2]
    return engine.denoise([padded])[0][reflected : reflected + height, reflected : reflected + width]


def score(engine: Engine, pairs: Pairs) -> dict[str, float]:
    """Mean PSNR in dB of each of `PARTS`."""
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    for number in range(len(pairs)):
        noisy, clean = pairs.noisy[number], pairs.clean[number]
        errors = np.square(denoise(engine, noisy) - clean)
        reflected = np.square(denoise(engine, noisy, REFLECTED) - clean)
        edges = []
        for rest in (0, 1):
            rows, columns = (slice((side - rest) // COARSEST * COARSEST + rest) for side in clean.shape[:2])
            cut = np.square(denoise(engine, noisy[rows, columns]) - clean[rows, columns])
            edges.append(np.concatenate([cut[-OUTERMOST:].ravel(), cut[:, -OUTERMOST:].ravel()]))
        inside = errors[REACH:-REACH, REACH:-REACH]
        for part, values in zip(PARTS, (errors, inside, reflected, *edges), strict=True):
            found[part].append(float(-10 * np.log10(values.mean(dtype=np.float64))))
    return {part: float(np.mean(values)) for part, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("larger", type=Path)
    parser.add_argument("--crops", default="32,64,128,0")
    parser.add_argument("--rates", default="3e-2")
    parser.add_argument("--sigma", type=float, default=25, help="of the noise, of 255")
    parser.add_argument("--megapixels", type=float, default=100, help="to show in a training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dataset = open_clean(args.photographs, ("gaussian-noise", args.sigma / 255), test=args.larger)
    spec = default_spec(output="residual")
    print(f"| crop | rate | images | {' | '.join(PARTS)} | seconds |")
    for crop in map(int, args.crops.split(",")):
        for rate in map(float, args.rates.split(",")):
            examples, pixels = dataset.measure(crop)
            epochs = max(1, round(args.megapixels * 1e6 / (examples * pixels)))
            chosen = {"epochs": epochs, "learning_rate": rate, "crop": crop, "threads": args.threads, "seed": args.seed}
            started = time.process_time()
            trained = train(dataset, spec, default_recipe(spec, examples, pixels, **chosen))
            seconds = time.process_time() - started
            engine = Engine(spec, trained.weights, args.threads)
            for name, pairs in (("kept for validation", dataset.val), ("larger", dataset.test)):
                scores = score(engine, pairs)
                shown = " | ".join(f"{scores[part]:.2f}" for part in PARTS)
                print(f"| {crop or 'whole'} | {rate:g} | {name} | {shown} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
