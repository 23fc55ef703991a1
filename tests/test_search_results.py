import csv
from dataclasses import replace
from pathlib import Path

import pytest

from smidgen.data.pairs import Dataset
from smidgen.model.runtime import Runtime
from smidgen.search.results import importance, list_rows, write_results
from smidgen.search.study import Plan, best_trial, prepare
from smidgen.search.workers import work
from tests.search_plans import small_plan


@pytest.fixture
def plan(small_dataset: Dataset, tmp_path: Path) -> Plan:
    return small_plan(small_dataset, tmp_path, epochs=3, num_trials=9, prune=False)


def test_a_search_leaves_table_figures_and_the_best(plan: Plan):
    """The folder has a CSV with every trial, the lowest loss first, three figures, and a run with the best model."""
    study = prepare(plan)
    work(plan)
    run = write_results(study, plan, command="smidgen search bars", split="val")
    assert run is not None
    with (plan.folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["val_loss"]) for row in rows]
    assert len(rows) == 9
    assert losses == sorted(losses)
    best = best_trial(study)
    assert best is not None
    assert (int(rows[0]["trial"]), float(rows[0]["val_loss"])) == (best.number, best.value)
    assert all(int(row["parameters"]) <= 300 for row in rows)
    for name in ("parameters.png", "seconds.png", "importance.png"):
        assert (plan.folder / name).read_bytes().startswith(b"\x89PNG")
    model = Runtime(plan.folder / "best")
    assert model.info.spec.num_parameters == int(rows[0]["parameters"])
    assert run.record.best_val_loss == best.value
    assert (plan.folder / "best" / "report.html").exists()


def test_importance_needs_some_trials(plan: Plan):
    """With few trials nothing is claimed; with more the shares are of one whole."""
    study = prepare(replace(plan, num_trials=9))
    assert importance(study) == {}
    work(plan)
    shares = importance(study)
    assert sum(shares.values()) == pytest.approx(1)
    assert {"optimizer", "learning_rate_factor"} <= shares.keys()


def test_nothing_finished_leaves_a_table_only(plan: Plan):
    """A search stopped before any trial ended still writes its table, and no model."""
    study = prepare(plan)
    assert write_results(study, plan, command="", split="val") is None
    assert {row.state for row in list_rows(study)} == {"waiting"}
    assert not (plan.folder / "best").exists()
