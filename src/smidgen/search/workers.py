"""The workers of a study: processes that take slots, train, end poor candidates early, and survive trouble."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.synchronize import Event

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from smidgen.errors import FileError, SmidgenError
from smidgen.network.spec import spec_to_dict
from smidgen.search.storage import StorageLostError, open_storage, quiet_optuna
from smidgen.search.study import Plan, Standing, prepare, put_in_line, record_best, slots_of, standing
from smidgen.training.loop import Progress
from smidgen.training.train import train

_REDUCTION, _RUNGS = 3, 3
_FIRST_RUNG = int(_REDUCTION**_RUNGS)  # the part of the epochs after which the first trials may end
_MOST_WORKER_DEATHS = 10
_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 0.5


class _SuperfluousError(Exception):
    """The slot of this trial is in other hands."""


class _StoppedError(Exception):
    """The worker was asked to stop, or this candidate cannot be trained."""


class _BrokenError(Exception):
    """Not the candidate but the machine is in the way: a full disk, a folder that cannot be written to."""


def run_study(plan: Plan, jobs: int, watch: Callable[[Standing], None]) -> tuple[optuna.Study, str]:
    """Fill the slots with worker processes, until none is left or the user has had enough.

    Args:
        plan: of the study.
        jobs: worker processes.
        watch: called now and then.

    Returns:
        The study, and "finished", "interrupted", or why the workers ended before all slots had.

    Raises:
        InputError: the storage cannot be opened, or holds another search under this name.
    """
    quiet_optuna()
    study = prepare(plan)
    left = plan.num_trials - standing(study, plan).done
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    workers: list[SpawnProcess] = []
    deaths, ending = 0, "finished"
    try:
        workers.extend(_start(context, plan, stop) for _ in range(min(jobs, left)))
        while True:
            for number, worker in enumerate(workers):
                if worker.exitcode is not None and worker.exitcode < 0 and deaths < _MOST_WORKER_DEATHS:
                    deaths += 1  # killed; its slot is put in line again once it counts as dead
                    workers[number] = _start(context, plan, stop)
            if not any(worker.is_alive() for worker in workers):
                break
            watch(standing(study, plan))
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        ending = "interrupted"
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    now = standing(study, plan)
    watch(now)
    codes = sorted({worker.exitcode or 0 for worker in workers} - {0})
    if ending == "finished" and now.done < now.total:
        ending = f"a worker ended with code {codes[0] if codes else 0}"
    return study, ending


def _start(context: SpawnContext, plan: Plan, stop: Event) -> SpawnProcess:
    """A worker that Ctrl-C does not reach, not even while it starts; the parent says when to stop."""
    worker = context.Process(target=_work, args=(plan, stop, os.getpid()))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        worker.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return worker


def _work(plan: Plan, stop: Event, parent: int) -> None:
    """A worker process."""

    def stopped() -> bool:
        return stop.is_set() or os.getppid() != parent

    try:
        work(plan, stopped)
    except (SmidgenError, _BrokenError) as error:
        print(f"smidgen: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def work(plan: Plan, stopped: Callable[[], bool] = lambda: False) -> None:
    """Take slots until all have ended or `stopped` says so.

    Args:
        plan: of the study.
        stopped: asked at every step of a training.

    Raises:
        StorageLostError: the database has not answered for too long.
    """
    quiet_optuna()
    warnings.simplefilter("ignore", ExperimentalWarning)
    storage = open_storage(plan.url, grace=plan.grace)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if plan.prune:
        pruner = optuna.pruners.SuccessiveHalvingPruner(_first_rung(plan), _REDUCTION)
    try:
        study = optuna.load_study(study_name=plan.name, storage=storage, pruner=pruner)
        while not stopped() and _take_slot(study, plan, stopped):
            pass
    except Exception:
        if storage.lost:  # whatever came of that inside Optuna
            raise StorageLostError(storage.lost) from None
        raise


def _take_slot(study: optuna.Study, plan: Plan, stopped: Callable[[], bool]) -> bool:
    """Fill one slot, or wait a moment for others to end theirs; False when all have ended."""
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        optuna.storages.fail_stale_trials(study)
        put_in_line(study, plan)
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if not study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            return False
        time.sleep(_PAUSE_SECONDS)
        return True
    # Where this worker counted as dead, and its trial was ended by another, telling fails: with a
    # ValueError in newer versions of Optuna. Whoever took the slot ends it.
    with contextlib.suppress(UpdateFinishedTrialError, ValueError):
        study.optimize(
            lambda trial: _objective(study, trial, plan, stopped), n_trials=1, catch=(_StoppedError, _SuperfluousError)
        )
    return True


def _sampler(plan: Plan, slot: int) -> optuna.samplers.BaseSampler:
    """Seeded by the slot, so that one worker repeats itself and two do not propose the same."""
    seed = int(np.random.SeedSequence([plan.seed, slot]).generate_state(1)[0])
    if plan.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, multivariate=True)


def _first_rung(plan: Plan) -> int:
    """Epochs after which the first trials may end."""
    return max(1, plan.space.most_epochs // _FIRST_RUNG)


def _objective(study: optuna.Study, trial: optuna.Trial, plan: Plan, stopped: Callable[[], bool]) -> float:
    slot = trial.user_attrs.get("slot")
    earlier = [] if slot is None else [t for t in slots_of(study)[slot] if t.number < trial.number]
    if slot is None or (earlier and trial.user_attrs.get("retry_of") != earlier[-1].number):
        trial.set_user_attr("superfluous", True)
        raise _SuperfluousError
    rungs = [_first_rung(plan) * _REDUCTION**n for n in range(_RUNGS)] if plan.prune else []
    reported = 0

    def watch(progress: Progress) -> None:
        nonlocal reported
        if stopped():
            raise KeyboardInterrupt
        done = progress.epochs_done
        passed = max((rung for rung in rungs if rung <= done), default=0)
        if passed > reported and done < progress.epochs:
            reported = passed
            trial.report(progress.best_val_loss, passed)
            if trial.should_prune():
                trial.set_user_attr("spent", {"epochs": done, "seconds": time.monotonic() - started})
                raise optuna.TrialPruned

    started = time.monotonic()
    folder = plan.folder / "trials" / f"{slot:04}"
    try:
        study.sampler = _sampler(plan, slot)  # asked at the first suggestion, not before
        candidate = plan.space.suggest(trial)
        described = {
            "spec": spec_to_dict(candidate.spec),
            "num_parameters": candidate.spec.num_parameters,
            "settings": candidate.settings.to_dict(),
        }
        trial.set_user_attr("candidate", described)
        trained = train(plan.dataset, candidate.spec, candidate.settings, folder=folder, resume=True, watch=watch)
    except (optuna.TrialPruned, StorageLostError, StorageInternalError):
        raise
    except (FileError, OSError) as error:
        trial.set_user_attr("stopped", True)
        raise _BrokenError(f"{error} The trial will be repeated; run the same command again to continue.") from None
    except Exception as error:  # of this candidate; the others go on
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        raise _StoppedError from error
    trial.set_user_attr("spent", {"epochs": len(trained.history), "seconds": trained.seconds})
    if trained.ending == "interrupted":
        trial.set_user_attr("stopped", True)
        raise _StoppedError
    loss = min(record["val_loss"] for record in trained.history)
    record_best(study, trial, trained, loss)
    return loss
