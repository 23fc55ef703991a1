"""A study under way: slots for the proposals, workers that fill them, and what survives them.

A search of N trials is N slots, put into the storage as waiting trials before anything runs. A
worker takes one, proposes values for it and trains. If the worker is killed or stopped, the slot is
put in line again with the same values, and whoever takes it goes on from the checkpoint where the
folder is shared. So every slot ends once, however many workers come and go.
"""

import base64
import contextlib
import io
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from smidgen.errors import FileError, InputError, SmidgenError
from smidgen.network.spec import spec_to_dict
from smidgen.pairs.pairs import Dataset
from smidgen.search.space import Space
from smidgen.search.storage import GRACE_SECONDS, StorageLostError, open_storage, quiet_optuna
from smidgen.training.train import Progress, Trained, train

_REDUCTION, _RUNGS = 3, 3
_FIRST_RUNG = int(_REDUCTION**_RUNGS)  # the part of the epochs after which the first trials may end
_MOST_ATTEMPTS = 4
_MOST_WORKER_DEATHS = 10
_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 0.5
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All a worker has to know.

    Attributes:
        url: of the storage.
        name: of the study in it.
        dataset, space: what to train on, and what may be proposed.
        num_trials: slots.
        folder: for checkpoints.
        seed: of the proposals.
        prune: end poor candidates early.
        sampler: "tpe", or "random" to compare with.
        grace: seconds without a sign of life after which a worker counts as dead.
    """

    url: str
    name: str
    dataset: Dataset
    space: Space
    num_trials: int
    folder: Path
    seed: int = 0
    prune: bool = True
    sampler: str = "tpe"
    grace: int = GRACE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a study is.

    Attributes:
        finished, pruned, failed, running: slots; `finished` counts those trained to their end.
        total: slots.
        best: lowest validation loss of a finished one, or None.
        seconds_left: by the time the slots of this session took; None before one has ended.
    """

    finished: int
    pruned: int
    failed: int
    running: int
    total: int
    best: float | None
    seconds_left: float | None = None

    @property
    def done(self) -> int:
        """Slots that need no more work."""
        return self.finished + self.pruned + self.failed


class _SuperfluousError(Exception):
    """The slot of this trial is in other hands."""


class _StoppedError(Exception):
    """The worker was asked to stop, or this candidate cannot be trained."""


class _BrokenError(Exception):
    """Not the candidate but the machine is in the way: a full disk, a folder that cannot be written to."""


def prepare(plan: Plan) -> optuna.Study:
    """Open the study or make it, and see that each slot is in line.

    Raises:
        InputError: the storage cannot be opened, or holds another search under this name.
    """
    storage = open_storage(plan.url, create=True, grace=plan.grace)
    identity = {"pairs": plan.dataset.fingerprint, "seed": plan.seed, "prune": plan.prune} | plan.space.describe()
    try:
        study = optuna.create_study(storage=storage, study_name=plan.name)
        study.set_user_attr("search", identity)
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=plan.name, storage=storage)
        found = study.user_attrs.get("search", identity)
        different = [key for key in identity if found.get(key) != _plain(identity[key])]
        if different:
            key = different[0]
            raise InputError(
                f"the study {plan.name!r} is another search: {key} was {found.get(key)} and is now {identity[key]}",
                remedy="Repeat the command that began it, or choose another folder or --study",
            ) from None
    _put_in_line(study, plan)
    return study


def _plain(value: Any) -> Any:
    """As it comes back from a storage."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def slots_of(study: optuna.Study, num_trials: int | None = None) -> list[list[FrozenTrial]]:
    """The trials of each slot in order, without those that turned out to be superfluous."""
    slots: dict[int, list[FrozenTrial]] = defaultdict(list)
    for trial in study.get_trials(deepcopy=False):
        if "slot" in trial.user_attrs and "superfluous" not in trial.user_attrs:
            slots[trial.user_attrs["slot"]].append(trial)
    return [slots[slot] for slot in range(max(num_trials or 0, *(n + 1 for n in slots), 0))]


def _attempts(trials: list[FrozenTrial]) -> int:
    """How often a slot was begun, not counting when the user stopped it."""
    return sum("stopped" not in trial.user_attrs for trial in trials)


def _given_up(trials: list[FrozenTrial]) -> bool:
    """Whether a slot is not to be tried again: it failed by itself, or too often."""
    failed = all(trial.state == TrialState.FAIL for trial in trials)
    return bool(trials) and failed and ("error" in trials[-1].user_attrs or _attempts(trials) >= _MOST_ATTEMPTS)


def _put_in_line(study: optuna.Study, plan: Plan) -> None:
    """Enqueue each slot that nobody works on, has ended or waits."""
    fixed = plan.space.combinations() if plan.space.grid else None
    for slot, trials in enumerate(slots_of(study, plan.num_trials)):
        if any(trial.state != TrialState.FAIL for trial in trials) or _given_up(trials):
            continue
        attributes: dict[str, Any] = {"slot": slot}
        params: dict[str, Any] = dict(fixed[slot]) if fixed else {}
        if trials:
            attributes["retry_of"] = trials[-1].number
            params |= trials[-1].params
        study.add_trial(
            create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": params}, user_attrs=attributes)
        )


def standing(study: optuna.Study, plan: Plan) -> Standing:
    """How far the study is."""
    slots = slots_of(study, plan.num_trials)
    states = [{trial.state for trial in trials} for trials in slots]
    complete = [state for state in states if TrialState.COMPLETE in state]
    pruned = [state for state in states if TrialState.PRUNED in state and TrialState.COMPLETE not in state]
    best = best_trial(study)
    return Standing(
        finished=len(complete),
        pruned=len(pruned),
        failed=sum(_given_up(trials) for trials in slots),
        running=sum(TrialState.RUNNING in state for state in states),
        total=len(slots),
        best=None if best is None else best.value,
    )


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The finished trial with the lowest validation loss."""
    finished = [trial for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if trial.values]
    return min(finished, key=lambda trial: (trial.value, trial.number), default=None)


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
    started, before = time.monotonic(), standing(study, plan).done
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    workers: list[SpawnProcess] = []
    deaths, ending = 0, "finished"
    try:
        workers.extend(_start(context, plan, stop) for _ in range(min(jobs, plan.num_trials - before)))
        while True:
            for number, worker in enumerate(workers):
                if worker.exitcode is not None and worker.exitcode < 0 and deaths < _MOST_WORKER_DEATHS:
                    deaths += 1  # killed; its slot is put in line again once it counts as dead
                    workers[number] = _start(context, plan, stop)
            if not any(worker.is_alive() for worker in workers):
                break
            now = standing(study, plan)
            done, seconds = now.done - before, time.monotonic() - started
            watch(replace(now, seconds_left=seconds / done * (now.total - now.done) if done > 0 else None))
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
    """A worker that Ctrl-C does not reach: it would be torn out of its start; the parent says when to stop."""
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
        _put_in_line(study, plan)
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
    space = plan.space
    most = space.common.get("epochs")
    if most is None or "epochs" in space.choices:
        most = max(space.build(values).settings.epochs for values in space.combinations())
    return max(1, int(most) // _FIRST_RUNG)


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
        raise _BrokenError(f"{error} The trial goes back in line; the same command goes on.") from None
    except Exception as error:  # of this candidate; the others go on
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        raise _StoppedError from error
    trial.set_user_attr("spent", {"epochs": len(trained.history), "seconds": trained.seconds})
    if trained.ending == "interrupted":
        trial.set_user_attr("stopped", True)
        raise _StoppedError
    loss = min(record["val_loss"] for record in trained.history)
    _record(study, trial, trained, loss)
    return loss


def _record(study: optuna.Study, trial: optuna.Trial, trained: Trained, loss: float) -> None:
    """What was found; the weights too where they are the best so far, so that any machine can write them."""
    best = best_trial(study)
    if best is None or best.value is None or (loss, trial.number) < (best.value, best.number):
        details = {"history": trained.history, "best_epoch": trained.best_epoch, "ending": trained.ending}
        trial.set_user_attr("trained", details | {"weights": _pack(trained.weights)})


def _pack(weights: dict[str, NDArray[np.float32]]) -> str:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **weights)  # type: ignore[arg-type]
    return base64.b64encode(buffer.getvalue()).decode()


def trained_of(trial: FrozenTrial) -> Trained:
    """What the best trial's training gave, weights and all."""
    content = trial.user_attrs["trained"]
    with np.load(io.BytesIO(base64.b64decode(content["weights"])), allow_pickle=False) as file:
        weights = {name: file[name] for name in file.files}
    return Trained(
        weights=weights,
        history=content["history"],
        best_epoch=content["best_epoch"],
        ending=content["ending"],
        seconds=trial.user_attrs["spent"]["seconds"],
    )
