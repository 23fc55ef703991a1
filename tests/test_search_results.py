import csv
from pathlib import Path

import pytest

from smidgen.data.pairs import Dataset
from smidgen.model.runtime import Runtime
from smidgen.search.results import importance, write_results
from smidgen.search.study import Plan, Study
from tests.search_plans import carry_out, small_plan


@pytest.fixture
def plan(small_dataset: Dataset, tmp_path: Path) -> Plan:
    return small_plan(small_dataset, tmp_path, epochs=3, num_trials=9, prune=False)


def test_a_search_leaves_table_figures_and_the_best(plan: Plan):
    """The folder has a CSV with every trial, the lowest loss first, three figures, and a run with the best model."""
    study = carry_out(plan)
    run = write_results(study, command="smidgen search bars", split="val")
    assert run is not None
    with (plan.folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["val_loss"]) for row in rows]
    assert len(rows) == 9
    assert losses == sorted(losses)
    best = study.best()
    assert best is not None
    assert (int(rows[0]["trial"]), float(rows[0]["val_loss"])) == (best.number, best.loss_at(best.done))
    assert all(int(row["parameters"]) <= 300 for row in rows)
    for name in ("parameters.png", "seconds.png", "importance.png"):
        assert (plan.folder / name).read_bytes().startswith(b"\x89PNG")
    model = Runtime(plan.folder / "best")
    assert model.info.spec.num_parameters == int(rows[0]["parameters"])
    assert run.record.best_val_loss == best.loss_at(best.done)
    assert (plan.folder / "best" / "report.html").exists()


def test_importance_needs_some_trials(plan: Plan):
    """With few trials nothing is claimed; with more the shares are of one whole."""
    assert importance(Study(plan).optuna) == {}
    shares = importance(carry_out(plan).optuna)
    assert sum(shares.values()) == pytest.approx(1)
    assert {"optimizer", "learning_rate_factor"} <= shares.keys()


def test_nothing_finished_leaves_a_table_only(plan: Plan):
    """A search stopped before any trial ended still writes its table, and no model."""
    study = Study(plan)
    study.due()
    assert write_results(study, command="", split="val") is None
    assert (plan.folder / "trials.csv").read_text().count(",waiting,") == 9
    assert not (plan.folder / "best").exists()
