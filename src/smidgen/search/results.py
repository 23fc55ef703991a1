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
from optuna.trial import TrialState

from smidgen.files import write_whole
from smidgen.judging.evaluate import Watch
from smidgen.network.spec import spec_to_dict
from smidgen.runs.figures import draw_bars, draw_points
from smidgen.runs.run import Run, leave_run
from smidgen.search.study import Study, Trial
from smidgen.training.experiment import Experiment

TRIALS_FILE, BEST_FOLDER = "trials.csv", "best"
_FEWEST_FOR_IMPORTANCE = 8
_FIRST = {"finished": 0, "pruned": 1}
# What the values led to tells more than the values: a width instead of a ratio, a rate instead of a factor.
_TOLD = ("kind", "width", "hidden", "scales", "passes", "kernel", "epochs", "batch_size", "optimizer", "learning_rate")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial.

    `state` is as in `Trial`, `val_loss` that of the best epoch, or None before the first, `values` what was chosen, by
    name, and `error` what went wrong.
    """

    trial: int
    state: str
    val_loss: float | None
    epochs_done: int
    seconds: float
    parameters: int
    values: dict[str, Any]
    error: str


def list_rows(trials: Sequence[Trial]) -> list[Row]:
    """All trials: those trained to their end, those that ended early, others; the lowest validation loss first."""
    rows = [_row(trial) for trial in trials]
    return sorted(rows, key=lambda row: (_FIRST.get(row.state, 2), row.val_loss is None, row.val_loss or 0, row.trial))


def _row(trial: Trial) -> Row:
    values = spec_to_dict(trial.spec) | trial.recipe.to_dict()
    told = (*_TOLD, "patience") if "patience" in trial.frozen.params else _TOLD
    return Row(
        trial=trial.number, state=trial.state, val_loss=trial.loss_at(trial.done) if trial.done else None,
        epochs_done=trial.done, seconds=trial.seconds, parameters=trial.spec.num_parameters,
        values={name: values[name] for name in told if name in values}, error=trial.error,
    )  # fmt: skip


def write_results(study: Study, *, command: str, split: str, watch: Watch = lambda what, done: None) -> Run | None:
    """Write `trials.csv`, the figures, and the run of the best model if one was trained to its end.

    `watch` is told what is scored, and what share of it is done.

    Raises:
        FileError: the folder cannot be written to.
    """
    plan, rows = study.plan, list_rows(study.trials)
    write_whole(plan.folder / TRIALS_FILE, _csv(rows))
    scored = [(row, row.val_loss) for row in rows if row.val_loss is not None]
    labels, losses = [row.state for row, _ in scored], [loss for _, loss in scored]
    for name, x in (("parameters", "parameters"), ("seconds", "seconds of training")) if scored else ():
        values = [float(getattr(row, name)) for row, _ in scored]
        write_whole(plan.folder / f"{name}.png", draw_points(values, losses, labels, x=x, y="validation loss"))
    if shares := importance(study.optuna):
        write_whole(plan.folder / "importance.png", draw_bars(shares, x="share of the variation in validation loss"))
    if (best := study.best()) is None:
        return None
    experiment = Experiment(
        dataset=plan.dataset, spec=best.spec, recipe=best.recipe, budget=plan.space.budget, command=command, split=split
    )
    return leave_run(experiment, best.trained(), folder=plan.folder / BEST_FOLDER, watch=watch)


def importance(study: optuna.Study) -> dict[str, float]:
    """How much each setting moves the validation loss, by PED-ANOVA; empty with fewer than 8 finished trials.

    Watanabe et al. 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces".
    """
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < _FEWEST_FOR_IMPORTANCE:
        return {}
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        try:
            shares = optuna.importance.get_param_importances(study)
        except (ValueError, RuntimeError):  # nothing varies, or all losses are the same
            return {}
    return {name: float(share) for name, share in shares.items() if math.isfinite(share)}


def _csv(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    fixed = [name for name in Row.__annotations__ if name not in ("values", "error")]
    table = [[*fixed, *names, "error"]]
    for row in rows:
        cells = [getattr(row, name) for name in fixed] + [row.values.get(name) for name in names] + [row.error]
        table.append(["" if cell is None else cell for cell in cells])
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(table)
    return buffer.getvalue()
