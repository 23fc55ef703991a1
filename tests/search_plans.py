"""What the tests of a search share: a small plan, and this process carrying it out."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from smidgen.data.pairs import Batch, Dataset, FixedSource
from smidgen.scaling.workers import Here, Workers
from smidgen.search.results import Row, list_rows
from smidgen.search.space import full_space
from smidgen.search.study import Plan, Study, run_study


def small_plan(dataset: Dataset, folder: Path, *, epochs: int = 27, num_trials: int = 8, prune: bool = True) -> Plan:
    """Proposals of tiny trainings, seven of them around the default recipe."""
    space = full_space(dataset, 300, epochs=epochs, seed=0, threads=1)
    space = replace(space, choices={name: space.choices[name] for name in ("passes", "optimizer")})
    return Plan(dataset=dataset, space=space, num_trials=num_trials, folder=folder, prune=prune)


@dataclass(frozen=True)
class SlowSource(FixedSource):
    """Pairs that come slowly: an epoch lasts as long as on a small machine, and costs next to nothing."""

    def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0) -> Iterator[Batch]:
        time.sleep(0.02)
        yield from super().batches(batch_size, generator, crop)


def slowly(plan: Plan) -> Plan:
    """The same with trainings that are long enough to be killed in their middle."""
    return replace(plan, dataset=replace(plan.dataset, train=SlowSource(plan.dataset.train.pairs)))


def carry_out(plan: Plan, workers: Workers | None = None) -> Study:
    """All trials, done by this process unless by others."""
    study = Study(plan)
    assert run_study(study, workers or Here(), lambda now: None) == "finished"
    return study


def but_for_times(study: Study) -> list[Row]:
    """The table of a study, without what differs each time."""
    return [replace(row, seconds=0.0) for row in list_rows(study.trials)]
