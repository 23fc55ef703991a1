"""`smidgen demo`, `smidgen train` and `smidgen report`."""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

from smidgen.cli.evaluate import scores_table
from smidgen.cli.pairs_options import open_pairs
from smidgen.cli.show import duration, progress_line, say
from smidgen.data.open import open_dataset
from smidgen.data.pairs import Dataset
from smidgen.data.tasks import SAMPLE_TASK
from smidgen.errors import InputError
from smidgen.model.records import to_plain
from smidgen.model.runtime import MODEL_FILE
from smidgen.network.spec import DEFAULT_BUDGET, choose_spec, default_spec, parse_budget
from smidgen.runs.run import REPORT_FILE, Run, make_run, write_report
from smidgen.training.experiment import Experiment
from smidgen.training.recipe import default_recipe

RUNS = Path("runs")
_DEMO_EPOCHS = 14


def demo(arguments: argparse.Namespace) -> int:
    """Train on the embedded sample, judge on its test part and show the result."""
    dataset = open_dataset(SAMPLE_TASK)
    spec = default_spec()
    settings = default_recipe(spec, len(dataset.train), dataset.pixels, epochs=_DEMO_EPOCHS, threads=cores())
    folder = arguments.out or _free_folder("demo")
    say(f"{SAMPLE_TASK}: {len(dataset.train):,} digits and garments, paired afresh each epoch")
    experiment = Experiment(
        dataset=dataset, spec=spec, recipe=settings, budget=DEFAULT_BUDGET, command="smidgen demo", split="test"
    )
    run = make_run(experiment, folder=folder, watch=progress_line(), say=say)
    return _finish(run, arguments.json)


def train(arguments: argparse.Namespace) -> int:
    """Train on the user's pairs or a task."""
    budget = parse_budget(arguments.budget)
    dataset = open_pairs(arguments)
    channels = dataset.shape[2]
    spec = choose_spec(arguments.network, budget, channels, arguments.passes)
    settings = default_recipe(
        spec,
        len(dataset.train),
        dataset.pixels,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        optimizer=arguments.optimizer,
        loss=arguments.loss,
        patience=arguments.patience,
        seed=arguments.seed,
        threads=arguments.threads or cores(),
    )
    say(
        f"{dataset.name}: {len(dataset.train):,} training, {len(dataset.val):,} validation and "
        f"{len(dataset.test):,} test pairs; {spec.num_parameters:,} of {budget:,} parameters, {settings.epochs} epochs"
    )
    for warning in dataset.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    experiment = Experiment(
        dataset=dataset, spec=spec, recipe=settings, budget=budget,
        command=shlex.join(["smidgen", *sys.argv[1:]]), split=arguments.split,
    )  # fmt: skip
    folder = _choose_folder(arguments, dataset)
    run = make_run(experiment, folder=folder, resume=arguments.resume, watch=progress_line(), say=say)
    return _finish(run, arguments.json)


def report(arguments: argparse.Namespace) -> int:
    """Write a run's report anew."""
    print(write_report(arguments.run))
    return 0


def _finish(run: Run, as_json: bool) -> int:
    record = run.record
    if as_json:
        print(json.dumps(to_plain(record)))
    else:
        print(scores_table(record.evaluation))
        print(f"\nverdict:  {record.verdict.fit} ({'; '.join(record.verdict.reasons)})")
        print(f"pairs:    {', '.join(f'{size:,} {part}' for part, size in record.origin.sizes.items())}")
        if record.scales.reason:
            print(f"scale:    {record.scales.reason}")
        print(f"training: {record.ending} after {record.epochs_done} epochs, {duration(record.seconds)}")
        print(f"model:    {run.folder / MODEL_FILE}")
        print(f"report:   {run.folder / REPORT_FILE}")
    return int(record.ending in ("interrupted", "diverged") or record.evaluation.interrupted)


def _choose_folder(arguments: argparse.Namespace, dataset: Dataset) -> Path:
    if arguments.out:
        return Path(arguments.out)
    if arguments.resume:
        raise InputError("--resume needs to know which run", remedy="Name its folder with --out")
    return _free_folder(Path(dataset.name).stem or "run")


def _free_folder(name: str) -> Path:
    """`runs/NAME`, or the first of `runs/NAME-2`, `runs/NAME-3`… that does not exist."""
    folder, number = RUNS / name, 2
    while folder.exists():
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def cores() -> int:
    """Of the processor, as many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
