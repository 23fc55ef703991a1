"""Time to quality, side by side: from nothing to the validation loss at which `plain` comes to rest.

    python benchmarks/time_to_quality.py --data FOLDER [--plain-run RUN]

First `plain` is trained the exercise's way (Adam at 1e-3, batches of 128, patience 5) on the full
`digits-on-garments`; its time is the one at its best epoch, without the epochs of patience after it.
With a stored run of the same training only its number of epochs and its loss are taken from there;
the speed is measured here, on two epochs. Then the default network is trained by the default recipe
for one epoch over a few training digits, twice as many at each try, until it passes that loss; its
time is that of the try that passed, validation included. Everything runs in one process on the same
cores, one after the other.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path

from smidgen.data.pairs import Dataset
from smidgen.data.stamps import FreshSource
from smidgen.data.tasks import DEFAULT_TASK, load_task
from smidgen.network.spec import PlainSpec, Spec, default_spec
from smidgen.training.loop import Progress
from smidgen.training.recipe import default_recipe
from smidgen.training.train import train

FIRST_TRY = 2_500


def time_training(dataset: Dataset, spec: Spec, threads: int, epochs: int | None) -> tuple[float, float]:
    """The best validation loss of a training, and the seconds until the epoch that reached it."""
    settings = default_recipe(spec, len(dataset.train), 28 * 28, epochs=epochs, threads=threads)
    started, best, seconds = time.perf_counter(), float("inf"), 0.0

    def watch(progress: Progress) -> None:
        nonlocal best, seconds
        if progress.val_loss < best:
            best, seconds = progress.val_loss, time.perf_counter() - started

    train(dataset, spec, settings, watch=watch)
    return best, seconds


def time_epoch(dataset: Dataset, spec: Spec, threads: int) -> float:
    """Seconds of an epoch, validation included: the second of two."""
    settings = default_recipe(spec, len(dataset.train), 28 * 28, epochs=2, threads=threads)
    ends: list[float] = []
    seen = float("nan")

    def watch(progress: Progress) -> None:
        nonlocal seen
        if not math.isnan(progress.val_loss) and progress.val_loss != seen:
            seen = progress.val_loss
            ends.append(time.perf_counter())

    train(dataset, spec, settings, watch=watch)
    return ends[1] - ends[0]


def first_digits(dataset: Dataset, n: int) -> Dataset:
    """The data set with only the first `n` training digits, still paired with any garment."""
    source = dataset.train
    if not isinstance(source, FreshSource):
        raise TypeError("not a task")
    return replace(dataset, train=replace(source, clean=source.clean[:n], labels=source.labels[:n]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plain-run", type=Path, help="a run folder of 'train digits-on-garments --network plain'")
    args = parser.parse_args()
    dataset = load_task(DEFAULT_TASK, args.data)
    if args.plain_run:
        lines = (args.plain_run / "history.jsonl").read_text().splitlines()
        rest, epochs = min((record["val_loss"], record["epoch"]) for record in map(json.loads, lines))
        plain_seconds = epochs * time_epoch(dataset, PlainSpec(), args.threads)
    else:
        rest, plain_seconds = time_training(dataset, PlainSpec(), args.threads, None)
    print(f"plain came to rest at a validation BCE of {rest:.4f} after {plain_seconds:.0f} s", flush=True)
    n = FIRST_TRY
    while True:
        best, seconds = time_training(first_digits(dataset, n), default_spec(), args.threads, 1)
        print(f"ours, one epoch over {n:,} digits: {best:.4f} after {seconds:.1f} s", flush=True)
        if best <= rest:
            break
        n *= 2
    print(f"{plain_seconds / seconds:.0f} times faster to {rest:.4f}")


if __name__ == "__main__":
    main()
