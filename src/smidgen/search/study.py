"""A study: slots for the proposals, where they stand, and the best that was found.

A search of N trials is N slots, put into the storage as waiting trials before anything runs. A
worker takes one, proposes values for it and trains. If the worker is killed or stopped, the slot is
put in line again with the same values, and whoever takes it goes on from the checkpoint where the
folder is shared. So every slot ends once, however many workers come and go.
"""

import base64
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.exceptions import DuplicatedStudyError
from optuna.trial import FrozenTrial, TrialState, create_trial

from smidgen.data.pairs import Dataset
from smidgen.errors import InputError
from smidgen.search.space import Space
from smidgen.search.storage import GRACE_SECONDS, open_storage
from smidgen.training.train import Trained

_MOST_ATTEMPTS = 4


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
    """

    finished: int
    pruned: int
    failed: int
    running: int
    total: int
    best: float | None

    @property
    def done(self) -> int:
        """Slots that need no more work."""
        return self.finished + self.pruned + self.failed


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
        wanted = json.loads(json.dumps(identity))  # as it comes back from a storage
        different = [key for key in wanted | found if found.get(key) != wanted.get(key)]
        if different:
            key = different[0]
            was, now = found.get(key), identity.get(key)
            raise InputError(
                f"the study {plan.name!r} holds another search: {key} was {was} and is now {now}",
                remedy="Repeat the command that began it, or choose another folder or --study",
            ) from None
    put_in_line(study, plan)
    return study


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


def put_in_line(study: optuna.Study, plan: Plan) -> None:
    """Enqueue each slot that nobody works on, has ended or waits."""
    fixed = plan.space.combinations() if plan.space.grid else None
    for slot, trials in enumerate(slots_of(study, plan.num_trials)):
        if any(trial.state != TrialState.FAIL for trial in trials) or _given_up(trials):
            continue
        attributes: dict[str, Any] = {"slot": slot}
        params: dict[str, Any] = dict(fixed[slot]) if fixed else {}
        if slot == 0 and not fixed and plan.sampler != "random":
            params = plan.space.default_values()  # so that no search ends with less than the default recipe
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


def record_best(study: optuna.Study, trial: optuna.Trial, trained: Trained, loss: float) -> None:
    """Keep weights and history where they are the best so far, so that any machine can write them."""
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
