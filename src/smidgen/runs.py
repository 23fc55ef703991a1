"""A run: the folder that one training leaves, from settings to report."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import smidgen
from smidgen.errors import FileError
from smidgen.files import lock_folder, make_folder, write_whole
from smidgen.judging.evaluate import Evaluation, evaluate
from smidgen.judging.verdict import judge_history
from smidgen.model import ModelInfo, Weights, import_onnx, write_model
from smidgen.network.spec import Spec, check_budget, spec_to_dict
from smidgen.pairs.pairs import Dataset
from smidgen.report.figures import draw_curves, draw_first_pair, draw_strip
from smidgen.report.page import render_report
from smidgen.runtime import MODEL_FILE, Runtime
from smidgen.scores import bce, bce_floor, mse
from smidgen.training.loop import Progress
from smidgen.training.settings import TrainingSettings
from smidgen.training.train import Trained, train

RUN_FILE = "run.json"
REPORT_FILE = "report.html"
_FIGURES = ("strip", "worst", "median", "curves", "first_pair")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it is.
        content: what `run.json` holds.
        evaluation: on validation, or on the split asked for.
    """

    folder: Path
    content: dict[str, Any]
    evaluation: Evaluation


def make_run(
    dataset: Dataset,
    spec: Spec,
    settings: TrainingSettings,
    *,
    budget: int,
    folder: Path,
    command: str,
    split: str = "val",
    resume: bool = False,
    watch: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Run:
    """Train, judge, and leave the model file, figures and report in a folder.

    Args:
        dataset, spec, settings: what to train, on what, and how.
        budget: refuse a spec that stores more.
        folder: made if it is missing.
        command: how to do it again, for the report.
        split: what the report scores.
        resume: go on from the folder's checkpoint.
        watch: called with the progress of the training.
        say: called with a sentence about each stage.

    Raises:
        BudgetError: the spec is over the budget; nothing was written.
        FileError: the folder cannot be written to.
    """
    check_budget(spec, budget)
    import_onnx()  # at the first best epoch it would be late to find it missing, and a signal could break the import
    info = ModelInfo.of_training(dataset, spec, settings, budget=budget, best_epoch=0, ending="under way")

    def keep_best(weights: Weights, epoch: int) -> None:
        """So that the best model so far is there whatever happens next."""
        write_model(folder / MODEL_FILE, replace(info, training=info.training | {"best_epoch": epoch}), weights)

    with lock_folder(folder, "a training"):
        trained = train(dataset, spec, settings, folder=folder, resume=resume, watch=watch, on_best=keep_best)
        return leave_run(
            dataset, spec, settings, trained, budget=budget, folder=folder, command=command, split=split, say=say
        )


def leave_run(
    dataset: Dataset,
    spec: Spec,
    settings: TrainingSettings,
    trained: Trained,
    *,
    budget: int,
    folder: Path,
    command: str,
    split: str = "val",
    say: Callable[[str], None] = lambda text: None,
) -> Run:
    """Judge what a training gave, and leave the model file, figures and report; see `make_run`."""
    make_folder(folder)
    info = ModelInfo.of_training(
        dataset, spec, settings, budget=budget, best_epoch=trained.best_epoch, ending=trained.ending
    )
    # Written before it is judged, so that a model is there whatever happens next.
    write_model(folder / MODEL_FILE, info, trained.weights)
    say("judging beside the baselines")
    pairs = dataset.test if split == "test" else dataset.val
    judged = evaluate(
        Runtime(folder / MODEL_FILE, settings.threads), pairs, name=dataset.name, split=split, val=dataset.val
    )
    scored = {key: judged.to_dict()[key] for key in ("pairs", "split", "n", "scores")}
    write_model(folder / MODEL_FILE, replace(info, scores=scored), trained.weights)
    content = _describe(dataset, spec, settings, trained, judged, command)
    ranked = np.argsort(-judged.errors, kind="stable")
    middle = max(0, len(ranked) // 2 - 5)
    strips = {"strip": None, "worst": ranked[:10], "median": ranked[middle : middle + 10]}
    figures = {
        **{
            name: draw_strip(pairs, judged.denoised, judged.reading, judged.truth, order)
            for name, order in strips.items()
        },
        "curves": draw_curves(
            trained.history,
            floor=content["floor"],
            best_epoch=trained.best_epoch,
            loss_name="binary cross-entropy" if settings.loss == "bce" else "mean squared error",
        ),
        "first_pair": draw_first_pair(dataset.train.example(1)),
    }
    write_whole(folder / RUN_FILE, json.dumps(content, indent=1) + "\n")
    for name, png in figures.items():
        write_whole(folder / f"{name}.png", png)
    write_whole(folder / REPORT_FILE, render_report(content, figures))
    return Run(folder=folder, content=content, evaluation=judged)


def write_report(folder: Path) -> Path:
    """Write `report.html` anew from what the run folder holds.

    Raises:
        FileError: the folder holds no finished run.
    """
    try:
        content = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        drawn = {name: folder / f"{name}.png" for name in _FIGURES}
        figures = {name: file.read_bytes() for name, file in drawn.items() if file.exists()}
        page = render_report(content, figures)
    except Exception as error:  # the template raises nearly anything on content that is not a run's
        raise FileError(f"{folder} holds no finished run ({error})", expected="a folder 'smidgen train' left") from None
    write_whole(folder / REPORT_FILE, page)
    return folder / REPORT_FILE


def _trouble(trained: Trained) -> list[str]:
    if trained.rollbacks == 0:
        return []
    times = "once" if trained.rollbacks == 1 else f"{trained.rollbacks} times"
    return [f"the loss became NaN {times}; the training went back to its best epoch and on with a smaller rate"]


def _describe(
    dataset: Dataset,
    spec: Spec,
    settings: TrainingSettings,
    trained: Trained,
    judged: Evaluation,
    command: str,
) -> dict[str, Any]:
    """What `run.json` holds: everything the report shows besides pictures."""
    clean = dataset.val.clean
    blank = np.full_like(clean, clean.mean())
    if settings.loss == "bce":
        floor, start = bce_floor(clean), bce(blank, clean)
    else:
        floor, start = 0.0, float(mse(blank, clean).mean())
    verdict = judge_history(trained.history, floor=floor, start=start, ending=trained.ending)
    best = min((record["val_loss"] for record in trained.history), default=None)
    return {
        "version": smidgen.__version__,
        "command": command,
        "dataset": dataset.describe(),
        "warnings": [*dataset.warnings, *_trouble(trained)],
        "spec": spec_to_dict(spec),
        "settings": settings.to_dict(),
        "ending": trained.ending,
        "best_epoch": trained.best_epoch,
        "best_val_loss": best,
        "epochs_done": len(trained.history),
        "seconds": trained.seconds,
        "floor": floor,
        "verdict": verdict.to_dict(),
        "evaluation": judged.to_dict(),
        "names": {"labels": list(dataset.label_names), "partners": list(dataset.partner_names)},
        "history": trained.history,
    }
