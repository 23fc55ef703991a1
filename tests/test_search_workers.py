"""Searches on processes that are killed, and on a scheduler."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import distributed
import numpy as np
import psutil
import pytest

from smidgen.cli.main import main
from smidgen.data.pairs import Dataset
from smidgen.scaling.workers import open_workers
from smidgen.search.study import Plan, Standing, Study, run_study
from tests.conftest import make_pairs
from tests.search_plans import but_for_times, carry_out, slowly, small_plan

# A cluster begins so slowly on a busy machine.
pytestmark = [pytest.mark.slow(8), pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def plan(small_dataset: Dataset, tmp_path: Path) -> Plan:
    return slowly(small_plan(small_dataset, tmp_path / "one", num_trials=11))


@pytest.fixture
def pairs(tmp_path: Path, generator: np.random.Generator) -> Path:
    """Forty of 8 x 8."""
    pairs = make_pairs(60, generator)
    np.savez(tmp_path / "pairs.npz", X=pairs.noisy[..., 0], y=pairs.clean[..., 0])
    return tmp_path / "pairs.npz"


def searching(pairs: Path, out: Path, jobs: str) -> list[str]:
    options = ["--budget", "100", "--trials", "11", "--epochs", "54", "--jobs", jobs]
    return ["search", str(pairs), "--out", str(out), *options]


def table(folder: Path) -> list[dict[str, str]]:
    """The CSV without what differs each time."""
    with (folder / "trials.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def find_workers(parent: int) -> list[psutil.Process]:
    children = psutil.Process(parent).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_workers_killed_in_mid_trial_cost_a_repetition(plan: Plan, tmp_path: Path):
    """On four processes, of which two are killed while they train, a study is what one process makes of it."""
    expected = but_for_times(carry_out(plan))
    study = Study(Plan(**(vars(plan) | {"folder": tmp_path / "four"})))
    killed: list[psutil.Process] = []

    def kill(now: Standing) -> None:
        if not killed and now.counts["running"] > 4 and any(trial.done for trial in study.trials):
            killed.extend(find_workers(os.getpid())[:2])
            for worker in killed:
                worker.kill()

    with open_workers(4) as workers:
        assert run_study(study, workers, kill) == "finished"
    assert len(killed) == 2
    assert but_for_times(study) == expected


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    while not condition():
        assert process.poll() is None
        time.sleep(0.02)


def test_a_killed_parent_is_started_again(pairs: Path, tmp_path: Path):
    """A command killed twice with SIGKILL goes on where it stood; its CSV is that of one job, but for times."""
    assert main(searching(pairs, tmp_path / "one", "1")) == 0
    command = searching(pairs, tmp_path / "two", "2")
    for number in (1, 6):
        process = subprocess.Popen([sys.executable, "-m", "smidgen", *command], stderr=subprocess.DEVNULL)
        wait_for(process, lambda number=number: len(list((tmp_path / "two" / "trials").glob("*.npz"))) >= number)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert main(command) == 0
    assert table(tmp_path / "two") == table(tmp_path / "one")


def test_a_scheduler_does_the_work(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Its workers give what this process gives; of another version, or without an engine, they are refused."""
    assert main(searching(pairs, tmp_path / "one", "1")) == 0
    command = searching(pairs, tmp_path / "two", "1")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        assert main([*command, "--scheduler", cluster.scheduler_address]) == 0
        assert table(tmp_path / "two") == table(tmp_path / "one")
        capsys.readouterr()
        command = [*searching(pairs, tmp_path / "three", "1"), "--scheduler", cluster.scheduler_address]
        for place, value, message in (
            ("smidgen.scaling.workers.__version__", "0.0.9", "of Smidgen. Expected 0.0.9, as here"),
            ("smidgen.cli.search.levels", broken, "cannot do this work (no engine)"),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(place, value)
                assert main(command) == 2
                assert message in capsys.readouterr().err


def broken() -> None:
    raise OSError("no engine")


def test_without_distributed(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """More than one job says what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(searching(pairs, tmp_path / "out", "2")) == 2
    assert "pip install 'smidgen[search]'" in capsys.readouterr().err
