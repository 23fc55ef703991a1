"""Where a study is kept: a file that processes of one machine share, or a server for many machines."""

import datetime as dt
import functools
import time
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

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
    """

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
        gone_since: float | None = None
        while True:
            try:
                return method(*args, **kwargs)
            except (StorageInternalError, DBAPIError) as error:
                cause = error if isinstance(error, DBAPIError) else error.__cause__
                if isinstance(cause, IntegrityError) or not _may_come_back(cause):
                    raise
                gone_since = gone_since or time.monotonic()
                if time.monotonic() - gone_since > _PATIENCE_SECONDS:
                    raise StorageLostError(
                        f"The study's database has not answered for {_PATIENCE_SECONDS / 60:.0f} minutes "
                        f"({_reason(cause)}). Everything finished is kept; the same command goes on."
                    ) from None
                time.sleep(_PAUSE_SECONDS)

    return ask


def _may_come_back(error: BaseException | None) -> bool:
    """A full disk or a file that cannot be written will not mend itself; a lock or a server may."""
    text = str(error).lower()
    return isinstance(error, DBAPIError) and not ("disk" in text or "readonly" in text or "unable to open" in text)


for _name, _method in (vars(RDBStorage) | vars(PatientStorage)).items():
    if isinstance(_method, FunctionType) and not _name.startswith("__"):
        setattr(PatientStorage, _name, _patiently(_method))


def storage_url(storage: str | None, folder: Path) -> str:
    """The address of a study's storage: what the user gave, or a file in the study's folder."""
    if storage is None:
        return f"sqlite:///{folder / 'study.db'}"
    # The driver that installs everywhere, whatever SQLAlchemy would take by itself.
    for scheme in ("postgresql://", "postgres://"):
        if storage.startswith(scheme):
            return "postgresql+psycopg://" + storage.removeprefix(scheme)
    return storage


def open_storage(url: str, *, create: bool = False, grace: int = GRACE_SECONDS) -> PatientStorage:
    """Connect to a study's storage.

    Args:
        url: as SQLAlchemy writes it.
        create: make the tables if they are missing.
        grace: seconds without a sign of life after which a worker counts as dead.

    Raises:
        InputError: the address is not one, or nothing answers there.
    """
    sqlite = url.startswith("sqlite")
    connect: dict[str, Any] = {"timeout": _SQLITE_WAITS_SECONDS} if sqlite else {}
    if url.startswith("postgresql+psycopg"):
        connect["client_encoding"] = "utf8"  # a database without an encoding would answer in bytes
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = PatientStorage(
                url,
                engine_kwargs={"connect_args": connect, "pool_pre_ping": not sqlite},
                heartbeat_interval=max(1, grace // _HEARTBEATS_A_GRACE),
                grace_period=grace,
                skip_table_creation=not create,
            )
        weakref.finalize(storage, storage.engine.dispose)  # closes what the pool still holds open
        return storage
    except (ArgumentError, NoSuchModuleError) as error:
        raise InputError(
            f"--storage {hide_password(url)!r} is not the address of a database ({error})",
            expected="one like postgresql://user@host/name",
        ) from None
    except ImportError as error:
        raise MissingPartError(error.name or str(error), "This kind of database", "search") from None
    except (SQLAlchemyError, RuntimeError) as error:
        raise InputError(
            f"the study's database {hide_password(url)} cannot be opened ({_reason(error)})",
            expected="a running server and a database that may be written to",
        ) from None


def hide_password(url: str) -> str:
    """The address without its password."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return url.split("@")[-1]


def _reason(error: BaseException | None) -> str:
    """The database's own first line."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def quiet_optuna() -> None:
    """Keep Optuna's own log off the terminal; what matters of it is in the progress and the table."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
