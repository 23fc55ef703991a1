"""The search against random search at equal compute, and against the default recipe alone and begun several times.

    python benchmarks/search_sampling.py [--pairs 100] [--epochs 27] [--trials 40] [--seeds 3] [--task NAME]

On images that the package holds and two corruptions that the default recipe was not tuned on: digits with values
turned black or white, and parts of photographs in a sensor's noise; with the full space and the default budget. Search
and random search get so many trials in the same rounds with the same early ending, in this process. The default recipe
is what the search begins with; other seeds of it get the core-seconds that the search took. Printed is, for each, the
lowest validation loss of a finished trial after so many trials and after shares of the search's core-seconds, and the
loss of the model that was chosen so on pairs that nothing was chosen by.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from smidgen.data.corruptions import make_corruption
from smidgen.data.mnist import load_sample
from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.data.sample_pictures import load_pictures
from smidgen.engine.native import Engine
from smidgen.network.spec import OUTPUTS, Spec, default_spec
from smidgen.scaling.workers import Here
from smidgen.search.space import full_space
from smidgen.search.study import Plan, Standing, Study, run_study
from smidgen.training.losses import bce_of_each, mse
from smidgen.training.recipe import default_recipe
from smidgen.training.train import Trained, train

SIDE = 32
NUM_VAL, NUM_TEST = 100, 500
BUDGET = 3600
SHARES = (0.25, 0.5, 1.0)


def digits(count: int) -> Dataset:
    archive = load_sample("mnist")
    parts = [archive.train[:count], archive.val[:NUM_VAL], archive.test[:NUM_TEST]]
    return corrupt("digits, half of the values black or white", parts, ("salt-and-pepper", 0.5), OUTPUTS[0])


def photographs(count: int) -> Dataset:
    """Parts of three pictures to train on, of others to validate and to test."""
    generator = np.random.default_rng(0)
    pictures = [(picture[0, ..., 0] * 255).astype(np.uint8) for picture in load_pictures().values()]

    def parts(of: list[np.ndarray], count: int) -> np.ndarray:
        found = []
        for number in range(count):
            picture = of[number % len(of)]
            top, left = (int(generator.integers(size - SIDE + 1)) for size in picture.shape)
            found.append(picture[top : top + SIDE, left : left + SIDE])
        return np.stack(found)

    split = [parts(pictures[::2], count), parts(pictures[1:2], NUM_VAL), parts(pictures[3::2], NUM_TEST)]
    return corrupt("photographs in a sensor's noise", split, ("poisson-gaussian", 0.2), OUTPUTS[1])


def corrupt(name: str, parts: list[np.ndarray], kind: tuple[str, float], output: str) -> Dataset:
    corruption, generator, made = make_corruption(kind), np.random.default_rng(0), []
    for part in parts:
        clean = (part[..., None] / np.float32(255)).astype(np.float32)
        made.append(Pairs(noisy=corruption.apply(clean, generator), clean=clean))
    return Dataset(name=name, train=FixedSource(made[0]), val=made[1], test=made[2], fingerprint=name, output=output)


TASKS = {"digits": digits, "photographs": photographs}


def search(dataset: Dataset, epochs: int, seed: int, trials: int, sampler: str) -> dict:
    """Search in this process."""
    space = full_space(dataset, BUDGET, epochs=epochs, seed=seed, threads=1)
    with tempfile.TemporaryDirectory() as name:
        plan = Plan(dataset=dataset, space=space, num_trials=trials, folder=Path(name), seed=seed, sampler=sampler)
        study, way = Study(plan), []
        started = time.process_time()

        def watch(now: Standing) -> None:
            if now.best is not None:
                way.append((now.done, time.process_time() - started, now.best))

        run_study(study, Here(), watch)
        best = study.best()
        found = {"way": way, "held_out": held_out(dataset, best.spec, best.trained()), "params": best.frozen.params}
        first = study.trials[0]
        if sampler != "random":
            found["default"] = first.loss_at(first.done)
            found["default_held_out"] = held_out(dataset, first.spec, first.trained())
        return found


def repeat(dataset: Dataset, epochs: int, seed: int, seconds: float) -> dict:
    """The default recipe with one seed after the other, while there is time for another."""
    spec, (examples, pixels) = default_spec(output=dataset.output), dataset.measure(0)
    started, way, best = time.process_time(), [], None
    while not way or time.process_time() - started + way[0][1] < seconds:
        recipe = default_recipe(spec, examples, pixels, epochs=epochs, seed=seed + 100 * len(way), threads=1)
        trained = train(dataset, spec, recipe)
        loss = min(record["val_loss"] for record in trained.history)
        if best is None or loss < best[0]:
            best = loss, trained
        way.append((len(way) + 1, time.process_time() - started, best[0]))
    return {"way": way, "held_out": held_out(dataset, spec, best[1])}


def held_out(dataset: Dataset, spec: Spec, trained: Trained) -> float:
    denoised = Engine(spec, trained.weights, 1).denoise_batch(dataset.test.noisy)
    loss = bce_of_each if dataset.output == OUTPUTS[0] else mse
    return float(loss(denoised, dataset.test.clean).mean())


def reached(way: list, limit: float, column: int) -> float:
    """The loss after so many trials (column 0) or core-seconds (1)."""
    return min((entry[2] for entry in way if entry[column] <= limit), default=float("nan"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--task", choices=TASKS)
    args = parser.parse_args()
    arms: dict[tuple[str, str], list[dict]] = {}
    for seed in range(args.seeds):
        for task in [args.task] if args.task else TASKS:
            dataset = TASKS[task](args.pairs)
            found = {"search": search(dataset, args.epochs, seed, args.trials, "tpe")}
            seconds = found["search"]["way"][-1][1]
            found["random"] = search(dataset, args.epochs, seed, args.trials, "random")
            found["default, several seeds"] = repeat(dataset, args.epochs, seed, seconds)
            for name, result in found.items():
                arms.setdefault((task, name), []).append(result)
                after = {n: reached(result["way"], n, 0) for n in range(9, args.trials + 9, 9)}
                equal = {share: reached(result["way"], share * seconds, 1) for share in SHARES}
                told = {"task": task, "seed": seed, "arm": name, "after_trials": after, "after_seconds": equal}
                rest = {key: value for key, value in result.items() if key != "way"}
                told |= {"trials": result["way"][-1][0], "core_seconds": result["way"][-1][1]} | rest
                print(json.dumps(told), flush=True)
    for (task, name), results in arms.items():
        ends = [result["way"][-1][2] for result in results]
        print(f"{task}, {name}: {statistics.mean(ends):.5f} of {[round(end, 5) for end in ends]}, on other pairs "
              f"{statistics.mean(result['held_out'] for result in results):.5f}")  # fmt: skip


if __name__ == "__main__":
    main()
