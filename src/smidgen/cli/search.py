"""`smidgen search` and `smidgen front`."""

import argparse
import hashlib
import importlib.util
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smidgen.cli.pairs_options import open_pairs
from smidgen.cli.show import duration, progress_line, renew_line, say, table
from smidgen.cli.train import RUNS, cores
from smidgen.data.pairs import Dataset
from smidgen.errors import InputError, MissingPartError
from smidgen.files import make_folder, write_whole
from smidgen.model.records import to_plain
from smidgen.network.spec import default_spec, parse_budget, spec_from_dict
from smidgen.runs.figures import draw_front
from smidgen.runs.record import RUN_FILE, RunRecord, read_run
from smidgen.runs.run import make_run
from smidgen.training.experiment import Experiment
from smidgen.training.recipe import default_recipe

if TYPE_CHECKING:
    from smidgen.search.study import Plan, Standing

_TRIALS = 30
_ROWS_SHOWN = 10


def search(arguments: argparse.Namespace) -> int:
    """Look for the best network and training a budget can buy."""
    if importlib.util.find_spec("optuna") is None:
        raise MissingPartError("optuna", "A search", "search")
    from smidgen.search.results import BEST_FOLDER, TRIALS_FILE, list_rows, write_results
    from smidgen.search.storage import hide_password
    from smidgen.search.workers import run_study

    # Before anything is read, which may take a while.
    if arguments.grid and arguments.trials is not None:
        raise InputError("both --trials and --grid are given", remedy="A grid is tried whole; leave out --trials")
    plan = _plan(arguments)
    jobs = cores() if arguments.jobs is None else arguments.jobs
    if jobs < 1:
        raise InputError(f"{jobs} jobs are asked for", expected="at least 1")
    say(f"{plan.dataset.name}: {plan.num_trials} trials under {plan.space.budget:,} parameters, {jobs} at a time")
    for warning in plan.dataset.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    study, ending = run_study(plan, jobs, _standing_line())
    say("judging the best")
    command = [hide_password(word) if "://" in word else word for word in sys.argv[1:]]
    run = write_results(study, plan, command=shlex.join(["smidgen", *command]), split=arguments.split)
    rows = list_rows(study)
    if arguments.json:
        best = None if run is None else to_plain(run.record)
        print(json.dumps({"study": plan.name, "ending": ending, "trials": [asdict(row) for row in rows], "best": best}))
        return int(ending != "finished" or run is None)
    shown = [row for row in rows if row.val_loss is not None][: None if plan.space.grid else _ROWS_SHOWN]
    if shown:
        names = [name for name in shown[0].values if len({str(row.values.get(name)) for row in rows}) > 1]
        cells = [
            [f"{row.val_loss:.5f}", row.state, f"{row.parameters:,}", "–" if row.epochs is None else f"{row.epochs}",
             duration(row.seconds or 0), *(_short(row.values.get(name, "")) for name in names)]
            for row in shown
        ]  # fmt: skip
        print(table([["val loss", "", "parameters", "epochs", "time", *(n.replace("_", " ") for n in names)], *cells]))
    counts = [f"{sum(row.state == state for row in rows)} {state}" for state in dict.fromkeys(r.state for r in rows)]
    print(f"\ntrials:   {', '.join(counts) or 'none'} ({plan.folder / TRIALS_FILE})")
    if run is None:
        print("best:     none was trained to its end yet")
    else:
        scores = run.record.evaluation.scores
        reading = f", legible {scores.legibility.denoised.rate:.1%}" if scores.legibility else ""
        print(f"best:     {plan.folder / BEST_FOLDER} (MSE {scores.mse:.2e}{reading})")
    errors = [row.error for row in rows if row.error]
    if errors:
        print(f"error:    {errors[0]} ({len(errors)} trials failed)")
    if ending != "finished":
        print(f"stopped:  {ending}; the same command goes on")
    return int(ending != "finished" or run is None)


def _plan(arguments: argparse.Namespace) -> "Plan":
    """What is to be searched, on what, and where it is kept."""
    from smidgen.search.space import full_space, read_grid
    from smidgen.search.storage import storage_url
    from smidgen.search.study import Plan

    budget = parse_budget(arguments.budget)
    dataset = open_pairs(arguments)
    common = {"seed": arguments.seed, "threads": arguments.threads, "epochs": arguments.epochs}
    common = {name: value for name, value in common.items() if value is not None}
    if arguments.grid:
        space = read_grid(arguments.grid, dataset, budget, **common)
        number = len(space.combinations())
    else:
        space = full_space(dataset, budget, **common)
        number = _TRIALS if arguments.trials is None else arguments.trials
    if number < 1:
        raise InputError(f"{number} trials are asked for", expected="at least 1")
    name = arguments.study or _study_name(dataset, space.describe())
    # Without --out too the same command finds its study again.
    folder = arguments.out or RUNS / "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    make_folder(folder)
    return Plan(
        url=storage_url(arguments.storage, folder.resolve()), name=name, dataset=dataset, space=space,
        num_trials=number, folder=folder, seed=arguments.seed, prune=bool(arguments.prune or not arguments.grid),
    )  # fmt: skip


def _study_name(dataset: Dataset, space: dict[str, Any]) -> str:
    """The same for the same command, on whatever machine it is given."""
    content = json.dumps([dataset.fingerprint, space], sort_keys=True)
    return f"{Path(dataset.name).stem} {hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _standing_line() -> Callable[["Standing"], None]:
    """One line that renews itself, silent off a terminal."""

    def watch(now: "Standing") -> None:
        best = "" if now.best is None else f"best {now.best:.5f}  "
        failed = f", {now.failed} failed" if now.failed else ""
        left = "" if now.seconds_left is None else f"  about {duration(now.seconds_left)} left"
        line = (
            f"{best}{now.done}/{now.total} trials ({now.finished} finished, {now.pruned} pruned{failed}), "
            f"{now.running} running{left}"
        )
        renew_line(line, last=now.done == now.total)

    return watch


def _finished(folder: Path, experiment: Experiment) -> RunRecord | None:
    """What the run in a folder found, if it is this experiment and was trained to its end."""
    if not (folder / RUN_FILE).exists():
        return None
    found = read_run(folder)
    same = (
        found.origin.fingerprint == experiment.dataset.fingerprint
        and spec_from_dict(found.spec) == experiment.spec
        and found.recipe == experiment.recipe
        and found.evaluation.split == experiment.split
    )
    return found if same and found.ending != "interrupted" else None


def front(arguments: argparse.Namespace) -> int:
    """Train the default spec at several budgets and draw what each buys."""
    budgets = sorted({parse_budget(text) for text in arguments.budgets.split(",")})
    dataset = open_pairs(arguments)
    folder = arguments.out or RUNS / f"{Path(dataset.name).stem or 'run'}-front"
    specs = [default_spec(budget, dataset.shape[2]) for budget in budgets]  # all are checked before any is trained
    rows, points = [], []
    cells = [["budget", "parameters", "BCE", "MSE", "PSNR dB", "legible"]]
    for budget, spec in zip(budgets, specs, strict=True):
        settings = default_recipe(
            spec, len(dataset.train), dataset.pixels,
            epochs=arguments.epochs, seed=arguments.seed, threads=arguments.threads or cores(),
        )  # fmt: skip
        say(f"budget {budget:,}: {spec.num_parameters:,} parameters, {settings.epochs} epochs")
        place = folder / str(budget)
        experiment = Experiment(
            dataset=dataset, spec=spec, recipe=settings, budget=budget,
            command=shlex.join(["smidgen", *sys.argv[1:]]), split=arguments.split,
        )  # fmt: skip
        record = _finished(place, experiment)
        if record is None:
            record = make_run(experiment, folder=place, resume=True, watch=progress_line(), say=say).record
        scores = record.evaluation.scores
        rows.append({"budget": budget, "num_parameters": spec.num_parameters, "scores": scores, "run": str(place)})
        points.append((f"{budget:,}", spec.num_parameters, scores.mse))
        cells.append(
            [f"{budget:,}", f"{spec.num_parameters:,}", f"{scores.bce:.4f}", f"{scores.mse:.2e}",
             f"{scores.psnr_db:.2f}", f"{scores.legibility.denoised.rate:.1%}" if scores.legibility else "–"]
        )  # fmt: skip
        if record.ending == "interrupted":
            print("smidgen: interrupted; the same command goes on", file=sys.stderr)
            return 1
    write_whole(folder / "front.png", draw_front(points))
    write_whole(folder / "front.json", json.dumps(to_plain(rows), indent=1) + "\n")
    if arguments.json:
        print(json.dumps(to_plain(rows)))
        return 0
    print(table(cells))
    print(f"\nfigure:   {folder / 'front.png'}")
    return 0
