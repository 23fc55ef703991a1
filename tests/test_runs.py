import json
from dataclasses import replace
from pathlib import Path

import pytest

from smidgen.data.pairs import Dataset
from smidgen.errors import BudgetError, FileError
from smidgen.model.runtime import Runtime
from smidgen.network.spec import PlainSpec
from smidgen.runs.record import find_run, read_run
from smidgen.runs.run import make_run, write_report
from smidgen.training.experiment import Experiment
from smidgen.training.recipe import Recipe
from tests.conftest import TINY

RECIPE = Recipe(epochs=2, batch_size=8, threads=1)


def experiment_on(dataset: Dataset, **changed: object) -> Experiment:
    about = {"spec": TINY, "recipe": RECIPE, "budget": 3600, "command": "smidgen train bars"}
    return Experiment(dataset=dataset, **about | changed)


@pytest.fixture
def run_folder(small_dataset: Dataset, tmp_path: Path) -> Path:
    make_run(experiment_on(small_dataset), folder=tmp_path / "run")
    return tmp_path / "run"


def test_a_run_leaves_everything(run_folder: Path):
    """Model, history, checkpoint, figures, settings and report are all in the folder, nothing else."""
    names = {path.name for path in run_folder.iterdir()}
    assert names == {"model.onnx", "history.jsonl", "checkpoint.npz", "run.json", "report.html", ".lock", "images",
                     "curves.png", "pairs.png"}  # fmt: skip
    content = json.loads((run_folder / "run.json").read_text())
    info = Runtime(run_folder).info
    assert info.judged.scores.bce == content["evaluation"]["scores"]["bce"]
    assert (info.judged.split, info.budget, info.recipe.seed) == ("val", 3600, 0)


def test_two_trainings_in_one_folder(small_dataset: Dataset, tmp_path: Path):
    """The second is refused while the first runs, and the first goes on undisturbed."""
    refused = []

    def watch(progress: object) -> None:
        if not refused:
            with pytest.raises(FileError, match="another process runs a training there") as caught:
                make_run(experiment_on(small_dataset), folder=tmp_path, resume=True)
            refused.append(caught)

    run = make_run(experiment_on(small_dataset), folder=tmp_path, watch=watch)
    assert refused
    assert run.record.ending == "finished"


def test_report_is_one_page_that_opens_offline(run_folder: Path):
    """The page holds its pictures and asks the network for nothing; what it shows is escaped."""
    page = (run_folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 10 * 3 + 1  # of few pairs all are shown, and once
    assert "http" not in page
    assert 'src="data:' in page
    assert "smidgen train bars" in page
    assert page.count('alt="') == 31


def test_report_is_written_anew(run_folder: Path):
    """`report` gives back the same page from what is stored."""
    page = (run_folder / "report.html").read_text()
    (run_folder / "report.html").unlink()
    assert write_report(run_folder).read_text() == page


def test_report_of_no_run(tmp_path: Path):
    """A folder without a run is told so."""
    with pytest.raises(FileError, match="no finished run"):
        write_report(tmp_path)


def test_over_budget_is_refused_before_any_work(small_dataset: Dataset, tmp_path: Path):
    """A spec over the budget leaves not even a folder."""
    with pytest.raises(BudgetError):
        make_run(experiment_on(small_dataset, spec=PlainSpec(), budget=3000), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_split_asked_for_is_scored(small_dataset: Dataset, tmp_path: Path):
    """Scores are on validation unless test is asked for."""
    run = make_run(
        experiment_on(small_dataset, recipe=replace(RECIPE, loss="mse"), split="test"), folder=tmp_path / "r"
    )
    assert run.record.evaluation.split == "test"
    assert run.record.floor == 0


def test_ctrl_c_while_judging_leaves_the_report(small_dataset: Dataset, tmp_path: Path):
    """The model and its own scores are reported; the baselines that are missing are said to be."""

    def watch(what: str, done: float) -> None:
        if what == "wavelet":
            raise KeyboardInterrupt

    experiment = experiment_on(small_dataset)
    record = make_run(experiment, folder=tmp_path / "r", watch_judging=watch).record
    assert record.evaluation.interrupted
    assert list(record.evaluation.baselines) == ["doing nothing", "median", "total variation"]
    assert "judging was interrupted" in (tmp_path / "r" / "report.html").read_text()
    assert find_run(tmp_path / "r", experiment) is None  # so that `front` judges it again


def test_a_complete_run_is_found_again(small_dataset: Dataset, run_folder: Path):
    """What a folder holds stands for a new training only if data, recipe and split are the same."""
    experiment = experiment_on(small_dataset)
    assert find_run(run_folder, experiment) == read_run(run_folder)
    assert find_run(run_folder / "other", experiment) is None
    assert find_run(run_folder, replace(experiment, split="test")) is None
    assert find_run(run_folder, replace(experiment, recipe=replace(RECIPE, seed=1))) is None


def test_a_run_of_an_older_version(run_folder: Path):
    """What this version cannot read is refused in one line, and the report that lies there stays."""
    content = json.loads((run_folder / "run.json").read_text())
    (run_folder / "run.json").write_text(
        json.dumps({"dataset": {}} | {k: v for k, v in content.items() if k != "origin"})
    )
    with pytest.raises(FileError, match="of this version"):
        write_report(run_folder)
    assert (run_folder / "report.html").exists()
