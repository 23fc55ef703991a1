"""Which output suits which pairs, and what of the pairs tells it: sigmoid and residual beside each other.

    python benchmarks/outputs.py CASE... [--data FOLDER] [--budget 3600] [--megapixels 20] [--seed 0] [--threads 1]

A case is a named task, a file or folder of pairs, or clean images and how to corrupt them: FOLDER:gaussian-noise:0.1.
Two figures of up to 500 training pairs stand before each: the share of y's values that are black or white, and the
squared error of X as a share of y's variance. Scores are on validation; "veil" is the share of what should be black or
white and comes out more than a hundredth beside it.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from smidgen.data.open import open_clean, open_dataset
from smidgen.data.pairs import Dataset, Pairs
from smidgen.engine.native import Engine
from smidgen.judging.scores import psnr_of, ssim
from smidgen.network.spec import OUTPUTS, default_spec
from smidgen.training.losses import bce, bce_floor, mse
from smidgen.training.recipe import CROP, default_recipe
from smidgen.training.train import train

AT_THE_END = 1 / 255 / 2
VEIL = 0.01
LOOKED_AT = 500


def open_case(case: str, data: Path | None) -> Dataset:
    """What the command line names, X on y's scale."""
    path, *corruption = case.rsplit(":", 2)
    if not corruption:
        return open_dataset(case, data=data, output="residual")
    return open_clean(Path(path), (corruption[0], float(corruption[1])))


def look(pairs: Pairs) -> tuple[float, float]:
    """Share of y's values at the ends of its range, and the squared error of X over y's variance."""
    noisy, clean = (np.concatenate([image.ravel() for image in images]) for images in (pairs.noisy, pairs.clean))
    ends = (clean <= AT_THE_END) | (clean >= 1 - AT_THE_END)
    return float(ends.mean()), float(np.square(noisy - clean).mean(dtype=np.float64) / clean.var(dtype=np.float64))


def score(engine: Engine, pairs: Pairs) -> str:
    """Columns of the table."""
    denoised = [engine.denoise([noisy])[0] for noisy in pairs.noisy]
    clean = list(pairs.clean)
    errors = np.array([float(mse(a[None], b[None])[0]) for a, b in zip(denoised, clean, strict=True)])
    alike = np.mean([float(ssim(a[None], b[None])[0]) for a, b in zip(denoised, clean, strict=True)])
    above = np.mean([bce(a[None], b[None]) - bce_floor(b[None]) for a, b in zip(denoised, clean, strict=True)])
    flat, truth = (np.concatenate([image.ravel() for image in images]) for images in (denoised, clean))
    ends = (truth <= AT_THE_END) | (truth >= 1 - AT_THE_END)
    veil = float((np.abs(flat - truth)[ends] > VEIL).mean()) if ends.any() else np.nan
    return f"{errors.mean():.3e} | {psnr_of(errors).mean():.2f} | {alike:.4f} | {above:.4f} | {veil:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="+", metavar="CASE")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--budget", type=int, default=3600)
    parser.add_argument("--megapixels", type=float, default=20, help="to show in a training")
    parser.add_argument("--crop", type=int, default=CROP)
    parser.add_argument("--rate", type=float, default=3e-2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| pairs | black or white | error / variance | output | MSE | PSNR | SSIM | BCE - floor | veil | seconds |")
    for case in args.cases:
        dataset = open_case(case, args.data)
        ends, ratio = look(dataset.train.example(LOOKED_AT))
        examples, pixels = dataset.measure(args.crop)
        epochs = max(1, round(args.megapixels * 1e6 / (examples * pixels)))
        chosen = {"epochs": epochs, "learning_rate": args.rate, "crop": args.crop, "threads": args.threads}
        for output in OUTPUTS:
            spec = default_spec(args.budget, dataset.channels, output=output)
            started = time.process_time()
            trained = train(dataset, spec, default_recipe(spec, examples, pixels, seed=args.seed, **chosen))
            seconds = time.process_time() - started
            shown = score(Engine(spec, trained.weights, args.threads), dataset.val)
            name = case.rsplit("/", 1)[-1]
            print(f"| {name} | {ends:.2f} | {ratio:.2f} | {output} | {shown} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
