"""`smidgen search`."""

import argparse
import hashlib
import importlib.util
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smidgen.cli import options, show
from smidgen.cli.progress import Display
from smidgen.data.pairs import Dataset
from smidgen.engine.library import count_cores
from smidgen.errors import Exit, InputError, MissingPartError, plural
from smidgen.files import make_folder
from smidgen.model.records import to_plain

if TYPE_CHECKING:
    from smidgen.runs.run import Run
    from smidgen.search.results import Row
    from smidgen.search.study import Plan

_TRIALS = 30
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
    jobs = "trials to run at a time on this machine (default: one for each core)"
    command.add_argument("--jobs", type=int, metavar="N", help=jobs)
    threads = "processor cores for each trial (default: 1)"
    command.add_argument("--threads", type=int, default=1, metavar="N", help=threads)
    storage = "a database for several machines to share, such as postgresql://user@host/name"
    command.add_argument("--storage", metavar="URL", help=storage)
    study = "name of the study in the database (default: made from the pairs and the settings)"
    command.add_argument("--study", metavar="NAME", help=study)
    options.add(command, "--output", "--epochs", "--seed", "--split", "--json")


def run(arguments: argparse.Namespace) -> int:
    """Look for the best network and training a budget can buy."""
    if importlib.util.find_spec("optuna") is None:
        raise MissingPartError("optuna", "A search", "search")
    from smidgen.search.results import list_rows, write_results
    from smidgen.search.workers import run_study

    jobs = count_cores() if arguments.jobs is None else arguments.jobs
    if jobs < 1:
        raise InputError(f"--jobs is {jobs}", expected="at least 1")
    plan = _plan(arguments)
    with Display() as display:
        display.say(
            f"{plan.dataset.name}: {plural(plan.num_trials, 'trial')} of at most "
            f"{plural(plan.space.budget, 'parameter')}, {jobs} at a time"
        )
        study, ending = run_study(plan, jobs, display.search)
        best = write_results(
            study,
            plan,
            command=_without_password(arguments.command),
            split=arguments.split or "val",
            watch=display.judging,
        )
    if best and best.record.interrupted and ending == "finished":
        ending = "interrupted while judging the best"
    rows = list_rows(study)
    about = {"study": plan.name, "ending": ending, "trials": rows, "best": best.record if best else None}
    print(json.dumps(to_plain(about)) if arguments.json else _text(plan, rows, best, ending))
    return Exit.DONE if ending == "finished" and best else Exit.FAILED


def _plan(arguments: argparse.Namespace) -> "Plan":
    """What is to be searched, on what, and where it is kept."""
    from smidgen.search.space import full_space, read_grid
    from smidgen.search.storage import storage_url
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
    if number < 1:
        raise InputError(f"--trials is {number}", expected="at least 1")
    name = arguments.study or _study_name(dataset, space.describe())
    # Without --out too the same command finds its study again.
    folder = arguments.out or options.RUNS / "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    make_folder(folder)
    return Plan(
        url=storage_url(arguments.storage, folder.resolve()), name=name, dataset=dataset, space=space,
        num_trials=number, folder=folder, seed=arguments.seed, prune=bool(arguments.prune or not arguments.grid),
    )  # fmt: skip


def _study_name(dataset: Dataset, space: dict[str, Any]) -> str:
    """The same for the same command, on whatever machine it is given."""
    content = json.dumps([dataset.fingerprint, space], sort_keys=True)
    return f"{Path(dataset.name).stem} {hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _without_password(command: str) -> str:
    from smidgen.search.storage import hide_password

    return shlex.join(hide_password(word) if "://" in word else word for word in shlex.split(command))


def _text(plan: "Plan", rows: list["Row"], best: "Run | None", ending: str) -> str:
    """The best trials, how many ended how, and where the best model is."""
    from smidgen.search.results import BEST_FOLDER, TRIALS_FILE

    counts = [f"{sum(row.state == state for row in rows)} {state}" for state in dict.fromkeys(r.state for r in rows)]
    lines = [f"trials:   {', '.join(counts) or 'none'} ({plan.folder / TRIALS_FILE})"]
    shown = [row for row in rows if row.val_loss is not None][: None if plan.space.grid else _ROWS_SHOWN]
    if shown:
        lines = [_table(shown, rows), "", *lines]
    if best is None:
        lines.append("best:     no trial has been trained to its end yet")
    else:
        scores = best.record.evaluation.scores
        lines.append(f"best:     {plan.folder / BEST_FOLDER} (MSE {scores.mse:.2e}, legible {show.legible(scores)})")
    errors = [row.error for row in rows if row.error]
    if errors:
        lines.append(f"error:    {errors[0]} ({plural(len(errors), 'trial')} failed)")
    if ending != "finished":
        lines.append(f"stopped:  {ending}; run the same command again to continue")
    return "\n".join(lines)


def _table(shown: list["Row"], rows: list["Row"]) -> str:
    """The trials that are shown, with those of their values that are not the same in all rows."""
    names = [name for name in shown[0].values if len({str(row.values.get(name)) for row in rows}) > 1]
    cells = [["val loss", "", "parameters", "epochs", "time", *(name.replace("_", " ") for name in names)]]
    for row in shown:
        epochs = "–" if row.epochs is None else str(row.epochs)
        found = [row.values.get(name, "") for name in names]
        values = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in found]
        cells.append(
            [f"{row.val_loss:.5f}", row.state, f"{row.parameters:,}", epochs, show.duration(row.seconds or 0), *values]
        )
    return show.table(cells)
