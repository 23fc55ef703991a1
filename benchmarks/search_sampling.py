"""The search against random search at equal compute, and against the default recipe.

    python benchmarks/search_sampling.py --data FOLDER [--pairs 1500] [--epochs 9] [--trials 16] [--seeds 3]

On `garments-in-noise`, which the default spec and recipe were not tuned on, with the full space and the
default budget. The search gets so many trials; then random proposals, once with the same early ending and
once each trained to its end, get the core-seconds that the search took. The default recipe is trained on
the same pairs for the epochs of a full trial. Printed is the best validation loss of each.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from smidgen.data.pairs import Dataset, FixedSource
from smidgen.data.tasks import load_task
from smidgen.network.spec import default_spec
from smidgen.scaling.workers import Here
from smidgen.search.space import full_space
from smidgen.search.study import Plan, Standing, Study, run_study
from smidgen.training.recipe import default_recipe
from smidgen.training.train import train

TASK = "garments-in-noise"
MOST_TRIALS = 200


def search(dataset: Dataset, epochs: int, seed: int, *, trials: int, seconds: float, sampler: str, prune: bool) -> dict:
    """Search in this process until the trials or, by about a stretch, the core-seconds are used up."""
    space = full_space(dataset, 3600, epochs=epochs, seed=seed, threads=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = Study(Plan(dataset=dataset, space=space, num_trials=trials, folder=folder, seed=seed, prune=prune,
                           sampler=sampler))  # fmt: skip
        started = time.process_time()

        def stop(now: Standing) -> None:
            if time.process_time() - started > seconds:
                raise KeyboardInterrupt

        run_study(study, Here(), stop)
        best = study.best()
        return {"loss": best.loss_at(best.done), "core_seconds": time.process_time() - started,
                "trials": study.standing().done, "params": best.frozen.params}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pairs", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    whole = load_task(TASK, args.data)
    dataset = Dataset(name="some", train=FixedSource(whole.train.example(args.pairs)), val=whole.val.first(500),
                      test=whole.val.first(500), fingerprint="some")  # fmt: skip
    arms: dict[str, list[dict]] = {"search": [], "random, ended early": [], "random, in full": [], "default": []}
    for seed in range(args.seeds):
        found = search(dataset, args.epochs, seed, trials=args.trials, seconds=1e9, sampler="tpe", prune=True)
        arms["search"].append(found)
        for name, prune in (("random, ended early", True), ("random, in full", False)):
            equal = {"trials": MOST_TRIALS, "seconds": found["core_seconds"]}
            arms[name].append(search(dataset, args.epochs, seed, sampler="random", prune=prune, **equal))
        spec = default_spec()
        settings = default_recipe(spec, args.pairs, dataset.measure(0)[1], epochs=args.epochs, seed=seed, threads=1)
        started = time.process_time()
        trained = train(dataset, spec, settings)
        loss = min(record["val_loss"] for record in trained.history)
        arms["default"].append({"loss": loss, "core_seconds": time.process_time() - started, "trials": 1})
        for name, results in arms.items():
            print(json.dumps({"arm": name, "seed": seed} | results[-1]), flush=True)
    for name, results in arms.items():
        losses = [result["loss"] for result in results]
        spread = statistics.stdev(losses) if len(losses) > 1 else 0.0
        print(f"{name}: {statistics.mean(losses):.4f} ± {spread:.4f}, {[round(loss, 4) for loss in losses]}, "
              f"{statistics.mean(result['core_seconds'] for result in results):.0f} core-seconds, "
              f"{statistics.mean(result['trials'] for result in results):.0f} trials")  # fmt: skip


if __name__ == "__main__":
    main()
