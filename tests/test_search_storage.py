import sqlite3
import threading
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import PendingRollbackError

from smidgen.errors import InputError
from smidgen.search import storage as module
from smidgen.search.storage import StorageLostError, hide_password, open_storage, storage_url
from tests.search_plans import database_error


def test_a_file_in_the_folder_is_the_default(tmp_path: Path):
    """Without --storage a study is a SQLite file beside its results."""
    url = storage_url(None, tmp_path)
    open_storage(url, create=True)
    assert (tmp_path / "study.db").read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not the address"),
        ("mystery://host/name", "not the address"),
        ("sqlite:////nowhere/at/all.db", "cannot be opened"),
        ("sqlite://", "in memory"),
        ("postgresql://me:secret@host:port/none", "not the address"),
        ("postgresql://me:{secret}@127.0.0.1:1/none", "cannot be opened"),
        ("postgresql://me:secret@127.0.0.1:1/none", "cannot be opened"),
    ],
)
def test_bad_addresses(url: str, message: str):
    """What is no database, or does not answer, is named, without its password."""
    with pytest.raises(InputError, match=message) as error:
        open_storage(storage_url(url, Path()), create=True)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("name", ["a b", "a{b}", "w?x", "p%20c", "ümläut#1"])
def test_folders_of_any_name(tmp_path: Path, name: str):
    """The file lies in the folder whatever the folder is called."""
    folder = tmp_path / name
    folder.mkdir()
    open_storage(storage_url(None, folder), create=True)
    assert [path.name for path in folder.iterdir() if path.suffix == ".db"] == ["study.db"]


@pytest.mark.filterwarnings("ignore:Heartbeat")  # a trial asked for has none
def test_only_one_gets_a_waiting_trial(tmp_path: Path):
    """Two workers that take waiting trials as fast as they can never get the same one."""
    url = storage_url(None, tmp_path)
    study = optuna.create_study(storage=open_storage(url, create=True), study_name="race")
    for _ in range(80):
        study.enqueue_trial({}, user_attrs={"waited": True})
    taken: list[int] = []

    def take() -> None:
        mine = optuna.load_study(study_name="race", storage=open_storage(url))
        while "waited" in (trial := mine.ask()).user_attrs:
            taken.append(trial.number)

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 80


def test_passwords_are_hidden():
    """An address is shown without its password."""
    assert hide_password("postgresql://me:secret@host/name") == "postgresql://me:***@host/name"


def test_a_locked_database_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While another holds the file for itself a question waits, and is answered when it lets go."""
    monkeypatch.setattr(module, "_SQLITE_WAITS_SECONDS", 0)
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    storage = open_storage(storage_url(None, tmp_path), create=True)
    other = sqlite3.connect(tmp_path / "study.db", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    waits = []

    def let_go(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.rollback()

    monkeypatch.setattr(module.time, "sleep", let_go)
    study = optuna.create_study(storage=storage, study_name="locked")
    assert study.study_name == "locked"
    assert len(waits) == 3
    other.close()


def test_a_transaction_that_broke_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where a connection broke within a transaction, all of it is asked again."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    storage = open_storage(storage_url(None, tmp_path), create=True)
    broken = [PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")]

    def fail_once(*asked: object) -> None:
        if broken:
            raise broken.pop()

    sqlalchemy.event.listen(storage.engine, "before_cursor_execute", fail_once)
    assert optuna.create_study(storage=storage, study_name="broken").study_name == "broken"
    assert not broken


def test_patience_ends_with_a_clear_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A database that stays away is given up, and the message says that nothing is lost."""
    storage = open_storage(storage_url(None, tmp_path), create=True)
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
    with (
        database_error("server closed the connection"),
        pytest.raises(StorageLostError, match=r"server closed the connection.*is kept"),
    ):
        optuna.create_study(storage=storage)


def test_a_full_disk_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What no waiting can mend is raised at once."""
    storage = open_storage(storage_url(None, tmp_path), create=True)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: pytest.fail("it waited"))
    with database_error("database or disk is full"), pytest.raises(StorageInternalError) as raised:
        optuna.create_study(storage=storage)
    assert "disk is full" in str(raised.value.__cause__)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_worker_that_died_before_its_first_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A trial that runs without ever a heartbeat counts as dead after twice the grace, not before."""
    storage = open_storage(storage_url(None, tmp_path), create=True, grace=1)
    study = optuna.create_study(storage=storage)
    with pytest.warns(UserWarning, match="Heartbeat"):
        study.ask()
    optuna.storages.fail_stale_trials(study)
    assert study.trials[0].state == TrialState.RUNNING
    monkeypatch.setattr(storage, "grace_period", -1)
    optuna.storages.fail_stale_trials(study)
    assert study.trials[0].state == TrialState.FAIL
