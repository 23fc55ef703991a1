"""What a budget buys: the default spec and recipe at several budgets, about the same training time each.

    python benchmarks/front.py --data FOLDER [--budgets 450,900,1800,3600] [--minutes 5]

The speed of each network is measured first; it is then trained for as many epochs over
`digits-on-garments` as fit the time, and scored on validation.
"""

import argparse
import os
import time
from pathlib import Path

from smidgen.data.pairs import Dataset
from smidgen.data.tasks import DEFAULT_TASK, load_task
from smidgen.engine.native import Engine
from smidgen.judging.digits import Digits
from smidgen.judging.legibility import find_truth, legibility
from smidgen.network.spec import PyramidSpec, default_spec
from smidgen.training.loop import Progress
from smidgen.training.losses import bce, mse
from smidgen.training.recipe import default_recipe
from smidgen.training.train import train

SECONDS_OF_TRIAL = 15.0


class _Enough(KeyboardInterrupt):
    """Ends the trial that measures the speed, as Ctrl-C would."""


def images_per_second(dataset: Dataset, spec: PyramidSpec, threads: int) -> float:
    """Of the first seconds of a training."""
    started, speed = time.perf_counter(), 0.0

    def watch(progress: Progress) -> None:
        nonlocal speed
        speed = progress.images_per_second
        if time.perf_counter() - started > SECONDS_OF_TRIAL:
            raise _Enough

    train(dataset, spec, default_recipe(spec, len(dataset.train), 28 * 28, threads=threads), watch=watch)
    return speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--budgets", default="450,900,1800,3600")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    dataset = load_task(DEFAULT_TASK, args.data)
    truth, _ = find_truth(Digits(), dataset.val)
    if isinstance(truth, str):
        raise SystemExit(truth)
    print("| budget | width, hidden | parameters | epochs | minutes | BCE | MSE | legible |")
    print("|---|---|---|---|---|---|---|---|")
    for budget in map(int, args.budgets.split(",")):
        spec = default_spec(budget)
        speed = images_per_second(dataset, spec, args.threads)
        epochs = max(1, round(60 * args.minutes * speed / len(dataset.train)))
        settings = default_recipe(spec, len(dataset.train), 28 * 28, threads=args.threads, epochs=epochs)
        trained = train(dataset, spec, settings)
        denoised = Engine(spec, trained.weights).denoise_batch(dataset.val.noisy)
        clean = dataset.val.clean
        print(
            f"| {budget:,} | {spec.width}, {spec.hidden} | {spec.num_parameters:,} | {epochs} "
            f"| {trained.seconds / 60:.1f} | {bce(denoised, clean):.4f} | {mse(denoised, clean).mean():.2e} "
            f"| {legibility(Digits().read(denoised), truth).rate:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
