"""`smidgen search`."""

import argparse
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smidgen.cli import options, show
from smidgen.cli.progress import Display
from smidgen.data.pairs import Dataset
from smidgen.engine.library import count_cores, levels
from smidgen.errors import Exit, InputError, MissingPartError, plural, show_text
from smidgen.files import lock_folder
from smidgen.scaling.workers import open_workers

if TYPE_CHECKING:
    from smidgen.runs.run import Run
    from smidgen.search.results import Row
    from smidgen.search.study import Plan

_TRIALS = 30
_ROUND = 9
_ROWS_SHOWN = 10


def add_options(command: argparse.ArgumentParser) -> None:
    """What to try, on what, and with which machines."""
    options.add(command, *options.PAIRS, "--out", "--budget")
    command.add_argument("--trials", type=int, metavar="N", help=f"number of proposals to try (default: {_TRIALS})")
    grid = "a TOML file of values; every combination of them is tried"
    command.add_argument("--grid", type=Path, metavar="FILE", help=grid)
    command.add_argument(
        "--prune", action="store_true", help="with --grid, stop poor candidates early, as other searches do"
    )
    rounds = "proposals made at a time, before any of them is tried: more keep more workers busy, and learn less from "
    rounds += f"each other (default: {_ROUND})"
    command.add_argument("--round", type=int, default=_ROUND, metavar="N", help=rounds)
    jobs = "trials to run at a time on this machine (default: one for each core)"
    command.add_argument("--jobs", type=int, metavar="N", help=jobs)
    options.add(command, "--scheduler")
    threads = "processor cores for each trial (default: 1)"
    command.add_argument("--threads", type=int, default=1, metavar="N", help=threads)
    options.add(command, "--output", "--epochs", "--seed", "--split", "--json")


def run(arguments: argparse.Namespace) -> int:
    """Look for the best network and training a budget can buy."""
    if importlib.util.find_spec("optuna") is None:
        raise MissingPartError("optuna", "A search", "search")
    from smidgen.search.results import list_rows, write_results
    from smidgen.search.study import Study, run_study

    plan = _plan(arguments)
    jobs = arguments.jobs
    if jobs is None:
        jobs = 1 if arguments.scheduler else min(count_cores(), plan.num_trials)
    with (
        open_workers(jobs, arguments.scheduler, extra="search", check=levels) as workers,
        lock_folder(plan.folder, "a search"),
        Display() as display,
    ):
        study = Study(plan)
        display.say(
            f"{plan.dataset.name}: {plural(plan.num_trials, 'trial')} of at most "
            f"{plural(plan.space.budget, 'parameter')}, {arguments.scheduler or f'{jobs} at a time'}"
        )
        ending = run_study(study, workers, display.search)
        best = write_results(study, command=arguments.command, split=arguments.split or "val", watch=display.judging)
    if best and best.record.interrupted and ending == "finished":
        ending = "interrupted while judging the best"
    rows = list_rows(study.trials)
    about = {"study": str(plan.folder), "ending": ending, "trials": rows, "best": best.record if best else None}
    show.result(about, _text(plan, rows, best, ending), as_json=arguments.json)
    return Exit.DONE if ending == "finished" and best else Exit.FAILED


def _plan(arguments: argparse.Namespace) -> "Plan":
    """What is to be searched, on what, and where it is kept."""
    from smidgen.cli.grid import read_grid
    from smidgen.search.space import full_space
    from smidgen.search.study import Plan

    if arguments.grid and arguments.trials is not None:
        raise InputError("--trials and --grid are both given", remedy="A grid is tried in full; leave out --trials")
    dataset = options.open_pairs(arguments, output=arguments.output)
    common = {"seed": arguments.seed, "threads": arguments.threads, "epochs": arguments.epochs}
    common = {name: value for name, value in common.items() if value is not None}
    if arguments.grid:
        space = read_grid(arguments.grid, dataset, arguments.budget, **common)
        number = len(space.combinations())
    else:
        space = full_space(dataset, arguments.budget, **common)
        number = _TRIALS if arguments.trials is None else arguments.trials
    for name, value in (("--trials", number), ("--round", arguments.round)):
        if value < 1:
            raise InputError(f"{name} is {value}", expected="at least 1")
    # Without --out too the same command finds its study again.
    folder = arguments.out or options.RUNS / _folder_name(dataset, space.describe())
    return Plan(
        dataset=dataset, space=space, num_trials=number, folder=folder, seed=arguments.seed,
        prune=bool(arguments.prune or not arguments.grid), round_size=arguments.round,
    )  # fmt: skip


def _folder_name(dataset: Dataset, space: dict[str, Any]) -> str:
    """The same for the same command."""
    content = json.dumps([dataset.fingerprint, space], sort_keys=True)
    name = f"{Path(dataset.name).stem} {hashlib.sha256(content.encode()).hexdigest()[:8]}"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def _text(plan: "Plan", rows: list["Row"], best: "Run | None", ending: str) -> str:
    """The best trials, how many ended how, and where the best model is."""
    from smidgen.search.results import BEST_FOLDER, TRIALS_FILE

    counts = [f"{sum(row.state == state for row in rows)} {state}" for state in dict.fromkeys(r.state for r in rows)]
    lines = [f"trials:   {', '.join(counts) or 'none'} ({show_text(str(plan.folder / TRIALS_FILE))})"]
    shown = [row for row in rows if row.val_loss is not None][: None if plan.space.grid else _ROWS_SHOWN]
    if shown:
        lines = [_table(shown, rows), "", *lines]
    if best is None:
        lines.append("best:     no trial has been trained to its end yet")
    else:
        scores = best.record.evaluation.scores
        figures = f" (MSE {scores.mse:.2e}, legible {show.legible(scores)})" if scores else ""
        lines.append(f"best:     {show_text(str(plan.folder / BEST_FOLDER))}{figures}")
    errors = [row.error for row in rows if row.error]
    if errors:
        lines.append(f"error:    {show_text(errors[0])} ({plural(len(errors), 'trial')} failed)")
    if ending != "finished":
        lines.append(f"stopped:  {show_text(ending)}; run the same command again to continue")
    return "\n".join(lines)


def _table(shown: list["Row"], rows: list["Row"]) -> str:
    """The trials that are shown, with those of their values that are not the same in all rows."""
    names = [name for name in shown[0].values if len({str(row.values.get(name)) for row in rows}) > 1]
    cells = [["val loss", "", "parameters", "epochs", "time", *(name.replace("_", " ") for name in names)]]
    for row in shown:
        found = [row.values.get(name, "") for name in names]
        values = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in found]
        cells.append(
            [
                f"{row.val_loss:.5f}",
                row.state,
                f"{row.parameters:,}",
                str(row.epochs_done),
                show.duration(row.seconds),
                *values,
            ]
        )
    return show.table(cells)
