"""What a search costs beside its trainings: sampling, bookkeeping, storage.

    python benchmarks/search_overhead.py [--trials 6] [--epochs 1] [--storage URL]

One worker, trials of about ten seconds on the embedded sample, nothing pruned. Wall time of the
worker's loop less the time inside `train`, as a share of the whole; loading of torch and data is not
counted, since it does not grow with the trials.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import smidgen.search.workers as workers
from smidgen.data.tasks import SAMPLE_TASK, load_task
from smidgen.search.space import full_space
from smidgen.search.storage import storage_url
from smidgen.search.study import Plan, prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--storage")
    args = parser.parse_args()
    dataset = load_task(SAMPLE_TASK)
    space = full_space(dataset, 600, epochs=args.epochs, seed=0, threads=1)
    spent, real = [], workers.train

    def train(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return real(*arguments, **options)
        finally:
            spent.append(time.perf_counter() - started)

    workers.train = train
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(
            url=storage_url(args.storage, Path(folder)), name=f"overhead {time.time()}", dataset=dataset, space=space,
            num_trials=args.trials, folder=Path(folder), prune=False,
        )  # fmt: skip
        prepare(plan)
        started = time.perf_counter()
        workers.work(plan)
        wall = time.perf_counter() - started
    print(f"{len(spent)} trials of {sum(spent) / len(spent):.1f} s: {wall - sum(spent):.2f} s beside them, "
          f"{1 - sum(spent) / wall:.2%} of the wall time")  # fmt: skip


if __name__ == "__main__":
    main()
