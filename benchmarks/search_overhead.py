"""How busy a search keeps its workers: what Dask, sampling, bookkeeping and waiting for each other cost.

    python benchmarks/search_overhead.py [--trials 100] [--jobs 2] [--pairs 300] [--epochs 27]

A search of the usual kind on a part of the embedded sample, at a small budget. Busy is the time within tasks, as
workers tell it, over wall time and workers; the start of the processes and the judging of the best are left out, since
they do not grow with the trials. Beside it, the processor time of the command's own process, which needs a core, too.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from smidgen.data.pairs import Dataset, FixedSource
from smidgen.data.tasks import SAMPLE_TASK, load_task
from smidgen.scaling.workers import Workers, open_workers
from smidgen.search.space import full_space
from smidgen.search.study import Plan, Study, run_study
from smidgen.training.stretch import Part, Stretch, Trainer


class Timed:
    """Does a stretch and says how long that took."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def do(self, stretch: Stretch) -> tuple[Part, float]:
        started = time.perf_counter()
        return self.trainer.do(stretch), time.perf_counter() - started


class Watched:
    """Workers, and how long they were at work."""

    def __init__(self, workers: Workers) -> None:
        self.workers, self.seconds = workers, []

    def run(self, work: Trainer, tasks: Iterable[Stretch]) -> Iterator[tuple[Stretch, Part]]:
        for stretch, (part, seconds) in self.workers.run(Timed(work), tasks):
            self.seconds.append(seconds)
            yield stretch, part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=27)
    args = parser.parse_args()
    whole = load_task(SAMPLE_TASK)
    val = whole.val.first(100)
    dataset = Dataset(name="some", train=FixedSource(whole.train.example(args.pairs)), val=val, test=val,
                      fingerprint="some")  # fmt: skip
    space = full_space(dataset, 600, epochs=args.epochs, seed=0, threads=1)
    with tempfile.TemporaryDirectory() as folder, open_workers(args.jobs) as workers:
        study = Study(Plan(dataset=dataset, space=space, num_trials=args.trials, folder=Path(folder)))
        watched, started, own = Watched(workers), time.perf_counter(), time.process_time()
        ending = run_study(study, watched, lambda now: None)
        wall, own = time.perf_counter() - started, time.process_time() - own
    busy = sum(watched.seconds)
    print(f"{ending}: {args.trials} trials, {len(watched.seconds)} stretches of {busy / len(watched.seconds):.2f} s on "
          f"{args.jobs} workers in {wall:.1f} s: {busy / wall / args.jobs:.1%} busy; {own:.1f} s of the processor "
          f"in the command's own process")  # fmt: skip


if __name__ == "__main__":
    main()
