"""What the tests of a search share: a small plan, and one worker that carries it out."""

from pathlib import Path

import optuna
from optuna.trial import TrialState

from smidgen.data.pairs import Dataset
from smidgen.search.space import full_space
from smidgen.search.storage import storage_url
from smidgen.search.study import Plan, prepare, slots_of
from smidgen.search.workers import work


def small_plan(dataset: Dataset, folder: Path, *, epochs: int = 27, num_trials: int = 8, prune: bool = True) -> Plan:
    """Slots of tiny trainings, in a file."""
    space = full_space(dataset, 300, epochs=epochs, seed=0, threads=1)
    return Plan(url=storage_url(None, folder), name="bars", dataset=dataset, space=space, num_trials=num_trials,
                folder=folder, prune=prune)  # fmt: skip


def states(study: optuna.Study) -> list[list[TrialState]]:
    """Of every attempt at every slot."""
    return [[trial.state for trial in trials] for trials in slots_of(study)]


def one_worker(plan: Plan) -> optuna.Study:
    """All slots filled by this process."""
    study = prepare(plan)
    work(plan)
    return study
