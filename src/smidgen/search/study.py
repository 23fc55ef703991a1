"""A study: what was proposed, how far each trial is, which end early; kept in one file by the one process that owns it.

Proposals come in rounds of a fixed size. Within a round, trials are compared after a 27th, a ninth and a third of the
epochs, once all have come so far, and the best third goes on. A round is proposed when the one before the last has
ended, from what had ended then. So all follows from pairs and settings, however many workers there are.
"""

import json
import math
import os
import warnings
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from smidgen.data.pairs import Dataset
from smidgen.errors import FileError, InputError, SmidgenError
from smidgen.files import make_folder
from smidgen.scaling.workers import Workers
from smidgen.search.space import Space
from smidgen.training.stretch import FAILED, REDUCTION, Queue, Trainer, Training, rungs_of

STUDY_FILE, _NAME = "study.db", "smidgen"
_ROUNDS_AT_ONCE = 2
_PRUNED = "pruned"
_LOCKED_SECONDS = 1  # that are waited for whoever looks into the file meanwhile


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, and where it is kept.

    `num_trials` proposals from `space` are made, `round_size` at a time (of a grid all at once), from `seed`, by
    `sampler`: "tpe", or "random" to compare with. `prune` ends poor ones early. The folder gets study and checkpoints.
    """

    dataset: Dataset
    space: Space
    num_trials: int
    folder: Path
    seed: int = 0
    prune: bool = True
    sampler: str = "tpe"
    round_size: int = 9

    @property
    def file(self) -> Path:
        """The study's."""
        return self.folder / STUDY_FILE


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How many trials are in each state, or "running", how many are wanted, and the lowest loss of a finished one."""

    counts: Counter[str]
    total: int
    best: float | None

    @property
    def done(self) -> int:
        """Trials that need no more work."""
        return sum(self.counts[state] for state in ("finished", _PRUNED, FAILED))


@dataclass(kw_only=True, eq=False)
class Trial(Training):
    """A proposal and its training, whose `ending` may also be "pruned".

    Attributes:
        frozen: the proposal, as it was first kept.
        held_at: epochs it may not go beyond until others of its round come as far.
        told: whether the study's file says how it ended.
    """

    frozen: FrozenTrial
    held_at: float = math.inf
    told: bool = False

    @property
    def state(self) -> str:
        """`finished`, `pruned`, `failed`, `stopped` (begun) or `waiting`."""
        if self.ending:
            return self.ending if self.ending in (_PRUNED, FAILED) else "finished"
        return "stopped" if self.done else "waiting"

    @property
    def round(self) -> int:
        """Whose trials it is compared with."""
        return int(self.frozen.user_attrs["round"])


class Study(Queue):
    """Every proposal of a search; the stretches to be done follow from where the trials stand."""

    def __init__(self, plan: Plan) -> None:
        """Open the study in the plan's folder, or begin it.

        Raises:
            FileError: the file or a checkpoint cannot be read or written.
            InputError: the folder holds another search, or one of an earlier version.
        """
        self.plan = plan
        self.optuna = _open(plan)
        self._rungs = rungs_of(plan.space.most_epochs)
        # Values that are set: all of a grid, else those of the default recipe and around it, to begin with.
        first = [] if plan.sampler == "random" else plan.space.first_values()
        self._set = plan.space.combinations() if plan.space.grid else first
        try:
            frozen = self.optuna.get_trials(deepcopy=False)
            self.trials = [self._trial(number, one) for number, one in enumerate(frozen)]
        except SmidgenError:
            raise
        except Exception as error:  # what somebody changed may be anything
            raise FileError(f"the study {plan.file} cannot be read ({type(error).__name__})") from None
        super().__init__(self.trials)

    def _trial(self, number: int, frozen: FrozenTrial) -> Trial:
        if frozen.number != number or not self.plan.space.holds(frozen.params):  # the number names a file
            raise FileError(f"the study {self.plan.file} cannot be read (no search proposed {number})")
        spec, recipe = self.plan.space.build(frozen.params)
        about, most = frozen.user_attrs, self.plan.num_trials if self.plan.space.grid else self.plan.round_size
        if not (type(about["round"]) is type(about["size"]) is int and about["round"] >= 0 < about["size"] <= most):
            raise FileError(f"the study {self.plan.file} cannot be read ({number} is of no round)")
        return Trial(
            number=number, dataset=self.plan.dataset, spec=spec, recipe=recipe,
            path=self.plan.folder / "trials" / f"{number:04}.npz", rungs=self._rungs, frozen=frozen,
            ending=str(about.get("ending", "")), error=str(about.get("error", "")), told=frozen.state.is_finished(),
        )  # fmt: skip

    def due(self) -> list[Trial]:
        """See `Queue.due`; proposes where it is time to."""
        try:
            while self._settle() < _ROUNDS_AT_ONCE and self._propose():
                pass
        except (SmidgenError, SQLAlchemyError, StorageInternalError):
            raise
        except Exception as error:  # Optuna raises nearly anything about what somebody changed
            reason = f"{type(error).__name__}: {error}"
            raise FileError(f"the study {self.plan.file} cannot be read ({reason})") from error
        return [trial for trial in self.trials if not trial.ending and trial.done < trial.held_at]

    def _settle(self) -> int:
        """End what is poor; gives how many rounds are under way."""
        rounds: dict[int, list[Trial]] = defaultdict(list)
        for trial in self.trials:
            rounds[trial.round].append(trial)
        for trials in rounds.values():
            self._compare(trials)
        for trial in self.trials:
            if trial.ending and not trial.told:
                self._tell(trial)
        return sum(not all(trial.ending for trial in trials) for trials in rounds.values())

    def _compare(self, alive: list[Trial]) -> None:
        """Successive halving, worked out from the start: what the histories say does not depend on when it is asked."""
        lacking = len(alive) < alive[0].frozen.user_attrs["size"]  # as after a kill while they were proposed
        for rung in self._rungs if self.plan.prune else ():
            if lacking or any(trial.done < rung and not trial.ending for trial in alive):
                for trial in alive:
                    trial.held_at = rung
                return
            left = [t for t in alive if (t.done, t.ending not in ("finished", "stopped early")) >= (rung, True)]
            for trial in sorted(left, key=lambda t: (t.loss_at(rung), t.number))[max(1, len(left) // REDUCTION) :]:
                # The default recipe is trained to its end, so that no search ends with less.
                if self.plan.space.grid or trial.number >= len(self._set[:1]):
                    trial.ending = _PRUNED
                    alive = [other for other in alive if other is not trial]
        for trial in alive:
            trial.held_at = math.inf

    def _tell(self, trial: Trial) -> None:
        """Say in the file how a trial ended, for the next time and for whoever looks into it with Optuna."""
        seen, storage, key = _as_seen(trial, True), self.optuna._storage, trial.frozen._trial_id
        for step, loss in seen.intermediate_values.items():
            storage.set_trial_intermediate_value(key, step, loss)
        for name in ("ending", "error"):
            if getattr(trial, name):
                storage.set_trial_user_attr(key, name, getattr(trial, name))
        self.optuna.tell(trial.number, seen.value, seen.state)
        trial.told = True

    def _propose(self) -> bool:
        """What a round lacks, or a new one; False where there are enough."""
        left = self.plan.num_trials - len(self.trials)
        about = self.trials[-1].frozen.user_attrs if self.trials else {"round": -1, "size": 0}
        lacking = about["size"] - sum(trial.round == about["round"] for trial in self.trials)
        if not lacking:
            lacking = left if self.plan.space.grid else min(left, self.plan.round_size)
            about = {"round": about["round"] + 1, "size": lacking}
        storage = self.optuna._storage
        for _ in range(lacking):
            # All of it or nothing, should this process be killed.
            key = storage.create_new_trial(self.optuna._study_id, self._sample(about))
            self.trials.append(self._trial(len(self.trials), storage.get_trial(key)))
        return lacking > 0

    def _sample(self, about: dict[str, int]) -> FrozenTrial:
        """Another trial, from how those of the rounds that must have ended did."""
        number, last = len(self.trials), about["round"] - _ROUNDS_AT_ONCE
        seed = int(np.random.SeedSequence([self.plan.seed, number]).generate_state(1)[0])
        sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
        if self.plan.sampler != "random":
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        view = optuna.create_study(sampler=sampler)
        if number < len(self._set):
            view.enqueue_trial(self._set[number])
        else:
            view.add_trials([_as_seen(trial, trial.round <= last) for trial in self.trials])
        trial = view.ask()
        self.plan.space.suggest(trial)
        return create_trial(
            state=TrialState.RUNNING, user_attrs=dict(about), params=trial.params, distributions=trial.distributions
        )

    def standing(self) -> Standing:
        """How far it is."""
        counts, best = Counter(trial.state for trial in self.trials), self.best()
        counts["running"] = len(self.under_way)
        total = max(self.plan.num_trials, len(self.trials))
        return Standing(counts=counts, total=total, best=best.loss_at(best.done) if best else None)

    def best(self) -> Trial | None:
        """The finished trial with the lowest validation loss, the first of equals."""
        finished = [trial for trial in self.trials if trial.state == "finished"]
        return min(finished, key=lambda trial: (trial.loss_at(trial.done), trial.number), default=None)


def run_study(study: Study, workers: Workers, watch: Callable[[Standing], None]) -> str:
    """Train until all trials have ended, or the user has had enough; `watch` is told after each stretch.

    Returns:
        "finished", "interrupted", or what went wrong; whatever it was, the same command goes on.
    """
    trainer = Trainer(replace(study.plan.dataset, test=study.plan.dataset.val))  # no training looks at the test pairs
    try:
        watch(study.standing())
        for stretch, part in workers.run(trainer, study):
            study.take(stretch, part)
            study.due()
            watch(study.standing())
    except KeyboardInterrupt:
        return "interrupted"
    except (SQLAlchemyError, StorageInternalError) as error:
        return f"{study.plan.file} cannot be written to ({_reason(error)})"
    except SmidgenError as error:
        return str(error)
    return "finished"


def _as_seen(trial: Trial, ended: bool) -> FrozenTrial:
    """A trial as a sampler is to see it; one that may be under way or ended by chance only as being under way."""
    loss, state, told = trial.loss_at(trial.done), TrialState.RUNNING, {}
    if ended and trial.ending == _PRUNED:
        state, told = TrialState.PRUNED, {trial.done: loss}
    elif ended:
        state = TrialState.FAIL if trial.ending == FAILED or not math.isfinite(loss) else TrialState.COMPLETE
    return create_trial(
        state=state, value=loss if state == TrialState.COMPLETE else None, intermediate_values=told,
        params=trial.frozen.params, distributions=trial.frozen.distributions,
    )  # fmt: skip


def _open(plan: Plan) -> optuna.Study:
    """See `Study`."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # what matters of it is in the progress and the table
    make_folder(plan.folder)
    path = plan.file
    identity = {"pairs": plan.dataset.fingerprint, "seed": plan.seed, "prune": plan.prune, "round": plan.round_size}
    identity = json.loads(json.dumps(identity | plan.space.describe()))  # as it comes back
    try:
        url = sqlalchemy.URL.create("sqlite", database=os.path.realpath(path)).render_as_string()
        url = url.replace("{", "{{").replace("}", "}}")  # Optuna fills in what stands in braces
        storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _LOCKED_SECONDS}})
        weakref.finalize(storage, storage.engine.dispose)  # closes what the pool still holds open
        if {summary.study_name for summary in optuna.get_all_study_summaries(storage)} - {_NAME}:
            raise InputError(
                f"{path} holds a study of an earlier version of Smidgen",
                remedy="Finish it with that version, or choose another --out",
            )
        study = optuna.create_study(storage=storage, study_name=_NAME, load_if_exists=True)
        if "search" not in study.user_attrs:
            study.set_user_attr("search", identity)
        found = dict(study.user_attrs["search"])
    except SmidgenError:
        raise
    except Exception as error:  # Optuna raises nearly anything about what somebody changed
        raise FileError(f"the study {path} cannot be opened ({_reason(error)})") from None
    if different := [key for key in identity | found if found.get(key) != identity.get(key)]:
        key = different[0]
        raise InputError(
            f"{plan.folder} holds another search: {key} was {found.get(key)} and is now {identity.get(key)}",
            remedy="Repeat the command that began it, or choose another --out",
        )
    return study


def _reason(error: Exception) -> str:
    """The first line of what SQLite says."""
    return str(error.__cause__ or error).partition("\n")[0]
