import contextlib
import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from smidgen.data.pairs import Dataset
from smidgen.errors import FileError
from smidgen.search.storage import StorageLostError, storage_url
from smidgen.search.study import Plan, Standing, prepare, slots_of, standing
from smidgen.search.workers import run_study, work
from smidgen.training.train import Trained
from tests.conftest import needs_debian
from tests.search_plans import database_error, one_worker, slowly, small_plan, states


@pytest.fixture
def plan(small_dataset: Dataset, tmp_path: Path) -> Plan:
    return small_plan(small_dataset, tmp_path)


def test_every_slot_ends_once_and_poor_ones_early(plan: Plan):
    """A worker alone fills all slots; some are pruned after a part of the epochs, the others run to their end."""
    study = one_worker(plan)
    assert [len(slot) for slot in states(study)] == [1] * 8
    ended = [slot[0] for slot in states(study)]
    assert {*ended} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in study.trials:
        done = trial.user_attrs["spent"]["epochs"]
        assert done == 27 if trial.state == TrialState.COMPLETE else done in (1, 3, 9)
    now = standing(study, plan)
    assert (now.done, now.total, now.running, now.failed) == (8, 8, 0, 0)


def test_same_seed_same_trials(small_dataset: Dataset, tmp_path: Path):
    """One worker with one seed proposes the same and finds the same; another seed something else."""
    found = []
    for number, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        mine = replace(small_plan(small_dataset, folder, epochs=3, num_trials=4), seed=seed)
        found.append([(trial.params, trial.values) for trial in one_worker(mine).trials])
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_stopped_slot_goes_on_from_where_it_stood(plan: Plan):
    """A slot stopped in mid-training is taken up again with the same values, and ends as if it never stopped."""
    whole = one_worker(replace(plan, num_trials=1, prune=False, name="whole", folder=plan.folder / "whole"))
    looks = 0

    def stop_soon() -> bool:
        nonlocal looks
        looks += 1
        return looks > 40

    plan = replace(plan, num_trials=1, prune=False)
    study = prepare(plan)
    work(plan, stop_soon)
    assert states(study) == [[TrialState.FAIL]]
    assert (plan.folder / "trials" / "0000" / "checkpoint.npz").exists()
    work(plan)
    first, second = slots_of(study)[0]
    assert (first.user_attrs["stopped"], second.user_attrs["retry_of"]) == (True, first.number)
    assert first.params == second.params
    assert second.value == whole.trials[0].value


def test_a_slot_in_other_hands_is_left_alone(plan: Plan):
    """Two machines that put the slots in line at the same moment do not train them twice, also when one is stopped."""
    plan = replace(plan, num_trials=2)
    study = prepare(plan)
    for slot in (0, 1):
        study.enqueue_trial({}, user_attrs={"slot": slot})
    work(plan)
    assert [len(trials) for trials in slots_of(study)] == [1, 1]
    assert sum("superfluous" in trial.user_attrs for trial in study.trials) == 2


def test_a_candidate_that_fails_does_not_end_the_search(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    """An error in one training is recorded with its reason, not tried again, and the others go on."""
    import smidgen.search.workers as module

    calls, real = [], module.train

    def train(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError("too large")
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "train", train)
    plan = replace(plan, num_trials=3)
    study = one_worker(plan)
    assert standing(study, plan).failed == 1
    assert [t.user_attrs["error"] for t in study.trials if "error" in t.user_attrs] == ["MemoryError: too large"]
    assert len(study.trials) == 3


def test_a_worker_that_counted_as_dead_goes_on(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    """A worker whose trial another declared dead drops it; the slot is done again and the others too."""
    import smidgen.search.workers as module

    real, plan = module.train, replace(plan, num_trials=2, prune=False)
    study = prepare(plan)
    calls = []

    def train(*args: object, **kwargs: object) -> Trained:
        trained = real(*args, **kwargs)
        calls.append(1)
        if len(calls) == 1:
            (running,) = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            study.tell(running.number, state=TrialState.FAIL)
        return trained

    monkeypatch.setattr(module, "train", train)
    work(plan)
    assert [slot[-1] for slot in states(study)] == [TrialState.COMPLETE] * 2
    assert len(study.trials) == 3


def test_a_full_disk_puts_the_slot_back_in_line(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    """What is not the candidate's fault ends the worker with a word, and the slot is trained when it is mended."""
    import smidgen.search.workers as module

    def train(*args: object, **kwargs: object) -> None:
        raise FileError("the folder cannot be written to (No space left on device)")

    plan = replace(plan, num_trials=1)
    study = prepare(plan)
    with monkeypatch.context() as patch:
        patch.setattr(module, "train", train)
        with pytest.raises(Exception, match=r"No space left.*will be repeated"):
            work(plan)
    work(plan)
    assert standing(study, plan).finished == 1


def test_a_lost_database_ends_the_worker_with_a_word(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    """When the database stays away in mid-training the worker says so once, and soon."""
    monkeypatch.setattr("smidgen.search.storage._PATIENCE_SECONDS", -1.0)
    looks = 0

    def leave() -> bool:
        nonlocal looks
        looks += 1
        if looks == 20:
            gone.enter_context(database_error("server closed the connection"))
        return False

    prepare(plan)
    with (
        contextlib.ExitStack() as gone,
        pytest.raises(StorageLostError, match=r"server closed the connection.*same command again"),
    ):
        work(plan, leave)


@pytest.mark.slow(5)
def test_a_killed_worker_is_replaced(plan: Plan):
    """The only worker is killed in mid-training: another takes over and every slot ends."""
    plan = slowly(replace(plan, num_trials=2, grace=2))
    killed = []

    def watch(now: Standing) -> None:
        children = multiprocessing.active_children()
        if now.running and not killed and children:
            killed.append(children[0].pid)
            os.kill(children[0].pid or 0, signal.SIGKILL)

    study, ending = run_study(plan, 1, watch)
    assert ending == "finished"
    assert killed
    assert [slot[-1] for slot in states(study)] == [TrialState.COMPLETE] * 2


@pytest.mark.slow(8)
def test_processes_share_a_file(small_dataset: Dataset, tmp_path: Path):
    """Two worker processes on one SQLite file end every slot once, and the progress counts them."""
    plan = small_plan(small_dataset, tmp_path, epochs=3)
    seen = []
    study, ending = run_study(plan, 2, seen.append)
    assert ending == "finished"
    assert [len(slot) for slot in states(study)] == [1] * 8
    assert seen[-1].done == 8
    assert (plan.folder / "study.db").exists()


class Server:
    """A PostgreSQL server of its own, on a private port and data folder, run by an unprivileged user."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://smidgen@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> None:
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, env={}, capture_output=True, text=True, check=False, **user)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        log = str(self.folder / "log")
        self.run("pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", log, "-o", options)

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.folder / "data"))


@pytest.fixture
def server() -> Iterator[Server]:
    """A running PostgreSQL; without Debian's package the test skips, or fails in CI."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    programs = found[-1] if found else Path(needs_debian("postgresql"))
    folder = Path(tempfile.mkdtemp(prefix="smidgen-postgres-", dir="/tmp"))  # where an unprivileged user gets to
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    server = Server(programs, folder)
    server.run("initdb", "-D", str(folder / "data"), "-U", "smidgen", "-A", "trust", "--no-sync")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow(15)
def test_killed_workers_lose_nothing(plan: Plan, server: Server):
    """Four workers on PostgreSQL, two killed in mid-trial: every slot ends once, the killed are linked to a retry."""
    plan = slowly(replace(plan, url=storage_url(server.url, plan.folder), num_trials=8, grace=6))
    study = prepare(plan)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(plan,), daemon=True) for _ in range(4)]
    for worker in workers:
        worker.start()
    running = (TrialState.RUNNING,)
    wait_for(lambda: len(study.get_trials(deepcopy=False, states=running)) == 4)
    begun = {trial.number for trial in study.get_trials(deepcopy=False, states=running)}
    for worker in workers[:2]:
        os.kill(worker.pid or 0, signal.SIGKILL)
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [-9, -9, 0, 0]
    slots = slots_of(study)
    assert [[t.state for t in trials].count(TrialState.COMPLETE) for trials in slots] == [1] * 8
    retried = [trials for trials in slots if len(trials) > 1]
    assert len(retried) == 2
    for killed, retry in retried:
        assert killed.number in begun
        assert killed.state == TrialState.FAIL
        assert retry.user_attrs["retry_of"] == killed.number
        assert retry.params.items() >= killed.params.items()  # it may have been killed while it chose


@pytest.mark.slow(7)
def test_the_database_goes_away_for_seconds(plan: Plan, server: Server):
    """A database stopped for 5 s in mid-study costs no trial: every slot ends once, at its first attempt."""
    plan = slowly(replace(plan, url=storage_url(server.url, plan.folder), num_trials=4))
    study = prepare(plan)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(plan,), daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    wait_for(lambda: len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))) == 2)
    server.stop()
    time.sleep(5)  # longer than a training, so that each worker comes to ask
    server.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert states(study) == [[TrialState.COMPLETE]] * 4


def test_the_default_recipe_is_tried_first(small_dataset: Dataset, tmp_path: Path):
    """A search begins with the default recipe, so that it cannot end with less."""
    plan = small_plan(small_dataset, tmp_path, num_trials=2, epochs=1)
    first = slots_of(one_worker(plan))[0][0]
    assert first.params.items() >= plan.space.default_values().items()
