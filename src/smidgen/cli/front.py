"""`smidgen front`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from smidgen.cli import options, show
from smidgen.cli.progress import Display
from smidgen.engine.library import count_cores, levels
from smidgen.errors import Exit, plural, show_text
from smidgen.files import lock_folder, write_whole
from smidgen.model.records import to_plain
from smidgen.network.spec import default_spec, parse_budget
from smidgen.scaling.workers import open_workers
from smidgen.training.checkpoint import CHECKPOINT
from smidgen.training.experiment import Experiment
from smidgen.training.stretch import Queue, Trainer, Training, rungs_of


def add_options(command: argparse.ArgumentParser) -> None:
    """Which budgets, on what."""
    options.add(command, *options.PAIRS, "--out")
    usual = "450,900,1800,3600"
    command.add_argument("--budgets", default=usual, metavar="SIZES", help=f"separated by commas (default: {usual})")
    jobs = "budgets to train at a time on this machine (default: 1, with all cores)"
    command.add_argument("--jobs", type=int, default=1, metavar="N", help=jobs)
    options.add(command, "--scheduler", "--output", "--epochs", "--seed", "--threads", "--split", "--json")


def run(arguments: argparse.Namespace) -> int:
    """Train the default spec at several budgets and draw what each buys."""
    from smidgen.runs.figures import draw_front

    budgets = sorted({parse_budget(text) for text in arguments.budgets.split(",")})
    dataset = options.open_pairs(arguments, output=arguments.output)
    alone = arguments.jobs == 1 and arguments.scheduler is None
    threads = arguments.threads or (count_cores() if alone else 1)
    chosen = {"epochs": arguments.epochs, "seed": arguments.seed, "threads": threads}
    experiments = [  # all are checked before any is trained
        Experiment.plan(
            dataset, default_spec(budget, dataset.channels, output=dataset.output), budget,
            command=arguments.command, split=arguments.split or "val", **chosen,
        )
        for budget in budgets
    ]  # fmt: skip
    folder = arguments.out or options.RUNS / f"{Path(dataset.name).stem or 'run'}-front"
    if not alone:
        _train_elsewhere(experiments, folder, arguments.jobs, arguments.scheduler)
    points = _train_each(experiments, folder)
    if len(points) < len(experiments):
        print("smidgen: interrupted; run the same command again to continue", file=sys.stderr)
        return Exit.FAILED
    figure = folder / "front.png"
    drawn = [(f"{point['budget']:,}", point["num_parameters"], point["scores"].mse) for point in points]
    write_whole(figure, draw_front(drawn))
    write_whole(folder / "front.json", json.dumps(to_plain(points), indent=1) + "\n")
    show.result(points, f"{_table(points)}\n\nfigure:   {show_text(str(figure))}", as_json=arguments.json)
    return Exit.DONE


def _train_elsewhere(experiments: list[Experiment], folder: Path, jobs: int, scheduler: str | None) -> None:
    """Train on other processes, so that nothing is left but to judge."""
    from smidgen.runs.record import find_run

    missing = [one for one in experiments if find_run(folder / str(one.budget), one) is None]
    trainings = [
        Training(
            number=number, dataset=one.dataset, spec=one.spec, recipe=one.recipe,
            path=folder / str(one.budget) / CHECKPOINT, rungs=rungs_of(one.recipe.epochs),
        )
        for number, one in enumerate(missing)
    ]  # fmt: skip
    queue, total = Queue(trainings), sum(training.recipe.epochs for training in trainings)
    if not queue.due():
        return
    with (
        open_workers(jobs, scheduler, extra="search", check=levels) as workers,
        lock_folder(folder, "a front"),
        Display() as display,
    ):
        for stretch, part in workers.run(Trainer(experiments[0].dataset), queue):
            queue.take(stretch, part)
            display.epochs(sum(training.done for training in trainings), total)


def _train_each(experiments: list[Experiment], folder: Path) -> list[dict[str, Any]]:
    """What each budget buys; those after an interruption are missing."""
    from smidgen.runs.record import find_run
    from smidgen.runs.run import make_run

    points = []
    with Display() as display:
        for experiment in experiments:
            budget, size = experiment.budget, experiment.spec.num_parameters
            place = folder / str(budget)
            record = find_run(place, experiment)
            if record is None:
                epochs = plural(experiment.recipe.epochs, "epoch")
                display.say(f"budget {budget:,}: {plural(size, 'parameter')}, {epochs}")
                record = make_run(
                    experiment, folder=place, resume=True, watch=display.training, watch_judging=display.judging
                ).record
            if record.interrupted:
                break
            scores = record.evaluation.scores
            points.append({"budget": budget, "num_parameters": size, "scores": scores, "run": str(place)})
    return points


def _table(points: list[dict[str, Any]]) -> str:
    rows = [["budget", "parameters", *show.SCORES]]
    rows += [[f"{p['budget']:,}", f"{p['num_parameters']:,}", *show.score_cells(p["scores"])] for p in points]
    return show.table(rows)
