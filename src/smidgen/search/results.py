"""What a search leaves in its folder: a table of all trials, figures, and the best model."""

import csv
import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from smidgen.files import make_folder, write_whole
from smidgen.judging.evaluate import Watch
from smidgen.network.spec import spec_from_dict
from smidgen.runs.figures import draw_bars, draw_points
from smidgen.runs.run import Run, leave_run
from smidgen.search.study import Plan, best_trial, slots_of, trained_of
from smidgen.training.experiment import Experiment
from smidgen.training.recipe import Recipe

TRIALS_FILE = "trials.csv"
BEST_FOLDER = "best"
_FEWEST_FOR_IMPORTANCE = 8
_STATES = {
    TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
    TrialState.RUNNING: "running", TrialState.WAITING: "waiting",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """One attempt at one slot.

    Attributes:
        slot, trial: which proposal, and which attempt at it by the storage's own count.
        retry_of: the attempt before, where that one was killed or stopped.
        state: finished, pruned, failed, running or waiting.
        val_loss: of the best epoch, or None before the first.
        epochs, seconds: spent; None while running.
        parameters: of the network.
        values: what was chosen, by name.
        error: what went wrong.
    """

    slot: int
    trial: int
    retry_of: int | None
    state: str
    val_loss: float | None
    epochs: int | None
    seconds: float | None
    parameters: int | None
    values: dict[str, Any]
    error: str


def list_rows(study: optuna.Study) -> list[Row]:
    """All attempts, the lowest validation loss first."""
    rows = [_row(trial) for trials in slots_of(study) for trial in trials]
    finished = {"finished": 0, "pruned": 1}
    return sorted(
        rows,
        key=lambda row: (finished.get(row.state, 2), math.inf if row.val_loss is None else row.val_loss, row.trial),
    )


def _row(trial: FrozenTrial) -> Row:
    attributes = trial.user_attrs
    candidate, spent = attributes.get("candidate", {}), attributes.get("spent", {})
    spec, settings = candidate.get("spec", {}), candidate.get("settings", {})
    # What the values led to tells more than the values: a width instead of a ratio, a rate instead of a factor.
    chosen = {name: spec[name] for name in ("kind", "width", "hidden", "scales", "passes", "kernel") if name in spec}
    chosen |= {name: settings[name] for name in ("epochs", "batch_size", "optimizer", "learning_rate") if settings}
    chosen |= {name: value for name, value in trial.params.items() if name == "patience"}
    value = trial.value if trial.state == TrialState.COMPLETE else None
    if value is None and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    state = "stopped" if "stopped" in attributes else _STATES[trial.state]
    return Row(
        slot=attributes["slot"],
        trial=trial.number,
        retry_of=attributes.get("retry_of"),
        state=state,
        val_loss=value,
        epochs=spent.get("epochs"),
        seconds=spent.get("seconds"),
        parameters=candidate.get("num_parameters"),
        values=chosen,
        error=attributes.get("error", ""),
    )


def write_results(
    study: optuna.Study, plan: Plan, *, command: str, split: str, watch: Watch = lambda what, done: None
) -> Run | None:
    """Write `trials.csv`, the figures, and the run of the best model if one was trained to its end.

    `watch` is told what is scored, and what share of it is done.

    Raises:
        FileError: the folder cannot be written to.
    """
    make_folder(plan.folder)
    rows = list_rows(study)
    write_whole(plan.folder / TRIALS_FILE, _csv(rows))
    scored = [row for row in rows if row.val_loss is not None and row.seconds is not None and row.parameters]
    if scored:
        labels = [row.state for row in scored]
        losses = [row.val_loss or 0.0 for row in scored]
        for name, label, values in (
            ("parameters", "parameters", [float(row.parameters or 0) for row in scored]),
            ("seconds", "seconds of training", [row.seconds or 0.0 for row in scored]),
        ):
            write_whole(plan.folder / f"{name}.png", draw_points(values, losses, labels, x=label, y="validation loss"))
    shares = importance(study)
    if shares:
        write_whole(plan.folder / "importance.png", draw_bars(shares, x="share of the variation in validation loss"))
    trial = best_trial(study)
    if trial is None or "trained" not in trial.user_attrs:
        return None
    candidate = trial.user_attrs["candidate"]
    experiment = Experiment(
        dataset=plan.dataset, spec=spec_from_dict(candidate["spec"]), recipe=Recipe(**candidate["settings"]),
        budget=plan.space.budget, command=command, split=split,
    )  # fmt: skip
    return leave_run(experiment, trained_of(trial), folder=plan.folder / BEST_FOLDER, watch=watch)


def importance(study: optuna.Study) -> dict[str, float]:
    """How much each setting moves the validation loss, by PED-ANOVA; empty with fewer than 8 finished trials.

    Watanabe et al. 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces".
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < _FEWEST_FOR_IMPORTANCE:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            shares = optuna.importance.get_param_importances(study)
        except (ValueError, RuntimeError):  # nothing varies, or all losses are the same
            return {}
    return {name: float(share) for name, share in shares.items() if math.isfinite(share)}


def _csv(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    fixed = ("slot", "trial", "retry_of", "state", "val_loss", "epochs_done", "seconds", "parameters")
    writer.writerow([*fixed, *names, "error"])
    for row in rows:
        start = (row.slot, row.trial, row.retry_of, row.state, row.val_loss, row.epochs, row.seconds, row.parameters)
        writer.writerow([*("" if cell is None else cell for cell in start),
                         *(row.values.get(name, "") for name in names), row.error])  # fmt: skip
    return buffer.getvalue()
