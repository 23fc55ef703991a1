"""What the tests of a search share: a small plan, one worker that carries it out, a database that goes away."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
import sqlalchemy
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from smidgen.data.pairs import Batch, Dataset, FixedSource
from smidgen.search.space import full_space
from smidgen.search.storage import storage_url
from smidgen.search.study import Plan, prepare, slots_of
from smidgen.search.workers import work


def small_plan(dataset: Dataset, folder: Path, *, epochs: int = 27, num_trials: int = 8, prune: bool = True) -> Plan:
    """Slots of tiny trainings, in a file."""
    space = full_space(dataset, 300, epochs=epochs, seed=0, threads=1)
    return Plan(url=storage_url(None, folder), name="bars", dataset=dataset, space=space, num_trials=num_trials,
                folder=folder, prune=prune)  # fmt: skip


@dataclass(frozen=True)
class SlowSource(FixedSource):
    """Pairs that come slowly: an epoch lasts as long as on a small machine, and costs next to nothing."""

    def batches(self, batch_size: int, generator: np.random.Generator, crop: int = 0) -> Iterator[Batch]:
        time.sleep(0.1)
        yield from super().batches(batch_size, generator, crop)


def slowly(plan: Plan, *, epochs: int = 15) -> Plan:
    """The same with trainings of more than a second, long enough to be killed in their middle; none ends early."""
    dataset = replace(plan.dataset, train=SlowSource(plan.dataset.train.pairs))
    space = full_space(dataset, 300, epochs=epochs, seed=0, threads=1)
    return replace(plan, dataset=dataset, space=space, prune=False)


@contextmanager
def database_error(reason: str) -> Iterator[None]:
    """In this block every question to any database fails, as SQLAlchemy tells it."""

    def fail(*asked: object) -> None:
        raise OperationalError("UPDATE", {}, Exception(reason))

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", fail)


def states(study: optuna.Study) -> list[list[TrialState]]:
    """Of every attempt at every slot."""
    return [[trial.state for trial in trials] for trials in slots_of(study)]


def one_worker(plan: Plan) -> optuna.Study:
    """All slots filled by this process."""
    study = prepare(plan)
    work(plan)
    return study
