"""A run: the folder that one training leaves, from checkpoint to report."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import smidgen
from smidgen.data.collection import map_images
from smidgen.files import lock_folder, make_folder, read_file, write_whole
from smidgen.judging.evaluate import Judgement, Watch
from smidgen.judging.extra import is_extra_installed
from smidgen.judging.judge import judge
from smidgen.judging.legibility import Reader
from smidgen.judging.verdict import judge_history
from smidgen.judging.without_truth import complaints
from smidgen.model.file import Weights, write_model
from smidgen.model.records import Judged, ModelInfo, to_plain
from smidgen.model.runtime import MODEL_FILE, Runtime
from smidgen.network.spec import spec_to_dict
from smidgen.runs.record import IMAGES_FOLDER, LOSS_NAMES, RUN_FILE, RunRecord, read_run
from smidgen.training.experiment import Experiment
from smidgen.training.loop import Progress
from smidgen.training.losses import bce, bce_floor, mse
from smidgen.training.train import Trained, train

REPORT_FILE = "report.html"
_MOST_FIGURE_BYTES = 64 * 2**20
_FIGURES = ("curves", "pairs")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: its folder, and what `run.json` there holds."""

    folder: Path
    record: RunRecord

    @property
    def report(self) -> Path | None:
        """Its report, where it has one."""
        path = self.folder / REPORT_FILE
        return path if path.exists() else None


def make_run(
    experiment: Experiment,
    *,
    folder: Path,
    resume: bool = False,
    reader: Reader | None = None,
    watch: Callable[[Progress], None] | None = None,
    watch_judging: Watch = lambda what, done: None,
) -> Run:
    """Train, judge, and leave the model file in a folder, with figures and report where their packages are installed.

    Args:
        experiment: what to train, on what, and how.
        folder: made if it is missing.
        resume: go on from the folder's checkpoint.
        reader: who reads the images; None is the one that suits them.
        watch: called with the progress of the training.
        watch_judging: told what is scored, and what share of it is done.

    Raises:
        FileError: the folder cannot be written to.
    """

    def keep_best(weights: Weights, epoch: int) -> None:
        """So that the best model so far is there whatever happens next."""
        write_model(folder / MODEL_FILE, ModelInfo.of(experiment, best_epoch=epoch), weights)

    with lock_folder(folder, "a training"):
        trained = train(
            experiment.dataset, experiment.spec, experiment.recipe,
            folder=folder, resume=resume, watch=watch, on_best=keep_best,
        )  # fmt: skip
        return leave_run(experiment, trained, folder=folder, reader=reader, watch=watch_judging)


def leave_run(
    experiment: Experiment,
    trained: Trained,
    *,
    folder: Path,
    reader: Reader | None = None,
    watch: Watch = lambda what, done: None,
) -> Run:
    """Judge what a training gave, and leave what `make_run` leaves; `reader` and `watch` as in `evaluate`."""
    make_folder(folder)
    dataset, pairs = experiment.dataset, experiment.scored
    info = ModelInfo.of(experiment, best_epoch=trained.best_epoch, ending=trained.ending)
    # Written before it is judged, so that a model is there whatever happens next.
    write_model(folder / MODEL_FILE, info, trained.weights)
    runtime = Runtime(folder / MODEL_FILE, experiment.recipe.threads)
    judged = judge(runtime, dataset, pairs, split=experiment.split, reader=reader, watch=watch)
    if judged.evaluation.scores:
        scores = Judged(pairs=dataset.name, split=experiment.split, n=len(pairs), scores=judged.evaluation.scores)
        write_model(folder / MODEL_FILE, replace(info, judged=scores), trained.weights)
    record = _describe(experiment, trained, judged)
    drawn = is_extra_installed()
    figures: dict[str, bytes] = {}
    if drawn:
        from smidgen.runs.shown import draw_shown

        shown, figures = draw_shown(experiment.scored, judged)
        record = replace(record, shown=shown)
        figures |= _draw(experiment, trained, record.floor)
        for old in (folder / IMAGES_FOLDER).glob("*.png"):
            old.unlink()
        make_folder(folder / IMAGES_FOLDER)
    write_whole(folder / RUN_FILE, json.dumps(to_plain(record), indent=1) + "\n")
    for name, png in figures.items():
        write_whole(folder / name, png)
    if drawn:
        write_report(folder)
    return Run(folder=folder, record=record)


def write_report(folder: Path) -> Path:
    """Write `report.html` anew from what the run folder holds.

    Raises:
        FileError: the folder holds no finished run.
    """
    from smidgen.runs.report import render_report

    record = read_run(folder)
    files = [folder / f"{name}.png" for name in _FIGURES] + sorted((folder / IMAGES_FOLDER).glob("*.png"))
    figures = {
        file.relative_to(folder).as_posix(): read_file(file, _MOST_FIGURE_BYTES) for file in files if file.exists()
    }
    write_whole(folder / REPORT_FILE, render_report(record, figures))
    return folder / REPORT_FILE


def _draw(experiment: Experiment, trained: Trained, floor: float) -> dict[str, bytes]:
    """The figures of a run, PNG files by name."""
    from smidgen.runs.figures import draw_curves
    from smidgen.runs.sheet import draw_sheet

    loss_name = LOSS_NAMES[experiment.recipe.loss]
    curves = draw_curves(trained.history, floor=floor, best_epoch=trained.best_epoch, loss_name=loss_name)
    sides = ("input", "target") if experiment.dataset.without_clean else ("noisy", "clean")
    return {"curves.png": curves, "pairs.png": draw_sheet(experiment.dataset.train, most_rows=1, sides=sides)}


def _describe(experiment: Experiment, trained: Trained, judged: Judgement) -> RunRecord:
    dataset, recipe = experiment.dataset, experiment.recipe
    clean = dataset.choosing.clean
    mean = dataset.origin.means["clean"]
    blank = map_images(lambda images: np.full_like(images, mean), clean)
    if recipe.loss == "bce":
        floor, start = bce_floor(clean), bce(blank, clean)
    else:
        floor, start = dataset.floor, float(mse(blank, clean).mean())
    verdict = judge_history(trained.history, floor=floor, start=start, ending=trained.ending)
    if dataset.without_clean:
        unlike = "the losses are against noisy targets; the floor is what their noise adds, about"
        verdict = replace(verdict, reasons=(*verdict.reasons, unlike))
    return RunRecord(
        version=smidgen.__version__,
        command=experiment.command,
        origin=dataset.origin,
        scales=dataset.scales,
        warnings=(*dataset.warnings, *_trouble(experiment, trained, judged)),
        spec=spec_to_dict(experiment.spec),
        recipe=recipe,
        ending=trained.ending,
        best_epoch=trained.best_epoch,
        best_val_loss=min((record["val_loss"] for record in trained.history), default=None),
        epochs_done=len(trained.history),
        seconds=trained.seconds,
        floor=floor,
        verdict=verdict,
        evaluation=judged.evaluation,
        names={"labels": dataset.label_names, "partners": dataset.partner_names},
        history=tuple(dict(record) for record in trained.history),
    )


def _trouble(experiment: Experiment, trained: Trained, judged: Judgement) -> list[str]:
    known, estimate = experiment.dataset.without_clean, judged.evaluation.estimate
    found = complaints(estimate, judged.evaluation.n, known.noise) if known and estimate else []
    if trained.rollbacks:
        times = "once" if trained.rollbacks == 1 else f"{trained.rollbacks} times"
        found.append(
            f"the loss became NaN {times}; training went back to the epoch kept so far, with a smaller learning rate"
        )
    if judged.evaluation.interrupted:
        found.append("the judging was interrupted; some baselines are missing")
    return found
