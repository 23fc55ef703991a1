"""Where a study is kept: a file that processes of one machine share, or a server for many machines."""

import datetime as dt
import functools
import sqlite3
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from smidgen.errors import InputError, MissingPartError, SmidgenError

# A worker is given up for dead when it has not been heard of for this long. Longer than a database
# is likely to be restarted, since nobody can be heard of then.
GRACE_SECONDS = 60
_HEARTBEATS_A_GRACE = 6
_PATIENCE_SECONDS = 300.0
_PAUSE_SECONDS = 1.0
_SQLITE_WAITS_SECONDS = 60
_HEARTBEATS = sqlalchemy.text("SELECT COUNT(*) FROM trial_heartbeats WHERE trial_id = :trial")


class StorageLostError(SmidgenError):
    """The database has not answered for too long."""


class PatientStorage(RDBStorage):
    """Asks again when the database does not answer, for up to five minutes.

    So a database that is restarted costs no trial: whoever trains goes on training meanwhile.

    Attributes:
        lost: why the database was given up, or None; from then on every question fails at once.
    """

    lost: str | None = None

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Only one of several workers gets a waiting trial: SQLite has no locked rows, so it locks the whole file."""
        if self.url.startswith("sqlite"):
            self.scoped_session().execute(sqlalchemy.text("BEGIN IMMEDIATE"))
        return bool(super().set_trial_state_values(trial_id, state, values))

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """Also those whose worker died before it could give its first sign of life."""
        stale: list[int] = super()._get_stale_trial_ids(study_id)
        # Times of start are told by the workers' clocks, which need not agree.
        latest = dt.datetime.now() - dt.timedelta(seconds=2 * (self.grace_period or 0))
        for trial in self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.datetime_start is not None and trial.datetime_start < latest:
                with self.engine.connect() as connection:
                    beats = connection.execute(_HEARTBEATS, {"trial": trial._trial_id}).scalar()
                if not beats and trial._trial_id not in stale:
                    stale.append(trial._trial_id)
        return stale


def _patiently(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def ask(*args: Any, **kwargs: Any) -> Any:
        storage = args[0] if args and isinstance(args[0], PatientStorage) else None
        gone_since: float | None = None
        while True:
            if storage is not None and storage.lost:
                raise StorageLostError(storage.lost)
            try:
                return method(*args, **kwargs)
            except (StorageInternalError, DBAPIError) as error:
                cause = error if isinstance(error, DBAPIError) else error.__cause__
                if not _may_come_back(cause):
                    raise
                if storage is not None and storage.scoped_session.registry.has():
                    storage.scoped_session.rollback()
                gone_since = gone_since or time.monotonic()
                if time.monotonic() - gone_since > _PATIENCE_SECONDS:
                    lost = (
                        f"The study's database has not answered for {_PATIENCE_SECONDS / 60:.0f} minutes "
                        f"({_reason(cause)}). Everything finished is kept; run the same command again to continue."
                    )
                    if storage is not None:
                        storage.lost = lost
                    raise StorageLostError(lost) from None
                time.sleep(_PAUSE_SECONDS)

    return ask


def _may_come_back(error: BaseException | None) -> bool:
    """A full disk or a file that cannot be written will not mend itself; a lock or a server may."""
    if isinstance(error, PendingRollbackError):
        return True  # the connection broke in an earlier question of this transaction, which is begun anew
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    text = str(error.orig).lower()
    return not ("disk" in text or "readonly" in text or "unable to open" in text)


for _name, _method in (vars(RDBStorage) | vars(PatientStorage)).items():
    # Not those that run inside a transaction, which another question begins anew as a whole.
    _inner = _name.endswith("_without_commit") or _name == "_get_prepared_new_trial"
    if isinstance(_method, FunctionType) and not _name.startswith("__") and not _inner:
        setattr(PatientStorage, _name, _patiently(_method))


def storage_url(storage: str | None, folder: Path) -> str:
    """The address of a study's storage: what the user gave, or a file in the study's folder."""
    if storage is None:
        return sqlalchemy.URL.create("sqlite", database=str(folder / "study.db")).render_as_string()
    # The driver that installs everywhere, whatever SQLAlchemy would take by itself.
    for scheme in ("postgresql://", "postgres://"):
        if storage.startswith(scheme):
            return "postgresql+psycopg://" + storage.removeprefix(scheme)
    return storage


def open_storage(url: str, *, create: bool = False, grace: int = GRACE_SECONDS) -> PatientStorage:
    """Connect to a study's storage.

    Args:
        url: as SQLAlchemy writes it.
        create: make the tables if they are missing, and fail where nothing answers; otherwise wait for an answer.
        grace: seconds without a sign of life after which a worker counts as dead.

    Raises:
        InputError: the address is not one, or nothing answers there.
        StorageLostError: nothing has answered for five minutes.
    """
    sqlite = url.startswith("sqlite")
    connect: dict[str, Any] = {"timeout": _SQLITE_WAITS_SECONDS} if sqlite else {}
    if url.startswith("postgresql+psycopg"):
        connect["client_encoding"] = "utf8"  # a database without an encoding would answer in bytes
    try:
        if sqlite and sqlalchemy.make_url(url).database in (None, "", ":memory:"):
            raise InputError(f"--storage {url!r} is a database in memory", expected="one that processes can share")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            make = _twice if create else _patiently(PatientStorage)
            storage = make(
                url.replace("{", "{{").replace("}", "}}"),  # Optuna fills in what stands in braces
                engine_kwargs={"connect_args": connect, "pool_pre_ping": not sqlite},
                heartbeat_interval=max(1, grace // _HEARTBEATS_A_GRACE),
                grace_period=grace,
                skip_table_creation=not create,
            )
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise InputError(
            f"--storage {hide_password(url)!r} is not the address of a database ({error})",
            expected="one like postgresql://user@host/name",
        ) from None
    except ImportError as error:
        raise MissingPartError(error.name or str(error), "This kind of database", "search") from None
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        raise InputError(
            f"the study's database {hide_password(url)} cannot be opened ({_reason(error)})",
            expected="a running server and a database that may be written to",
        ) from None
    if sqlite:
        storage.engine.dispose()  # connections made so far
        sqlalchemy.event.listen(storage.engine, "connect", _write_ahead)
    weakref.finalize(storage, storage.engine.dispose)  # closes what the pool still holds open
    return storage


def _twice(*args: Any, **kwargs: Any) -> PatientStorage:
    """Once more where another machine made the tables at the same moment."""
    try:
        return PatientStorage(*args, **kwargs)
    except (SQLAlchemyError, StorageInternalError):
        return PatientStorage(*args, **kwargs)


def _write_ahead(connection: sqlite3.Connection, record: object) -> None:
    """A log that is flushed now and then: no commit is lost with its process, and commits take a tenth of the time."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def hide_password(url: str) -> str:
    """The address without its password."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return url.rpartition("@")[2]


def _reason(error: BaseException | None) -> str:
    """The database's own first line."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    cause = getattr(cause, "orig", None) or cause
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def quiet_optuna() -> None:
    """Keep Optuna's own log off the terminal; what matters of it is in the progress and the table."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
