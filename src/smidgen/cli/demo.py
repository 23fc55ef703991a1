"""`smidgen demo`."""

import argparse

from smidgen.cli import options
from smidgen.cli.train import train_and_show
from smidgen.data.open import open_dataset
from smidgen.data.tasks import SAMPLE_TASK
from smidgen.engine.library import count_cores
from smidgen.network.spec import DEFAULT_BUDGET, default_spec
from smidgen.training.experiment import Experiment

_EPOCHS = 20


def add_options(command: argparse.ArgumentParser) -> None:
    """Where to put it."""
    options.add(command, "--out", "--json")


def run(arguments: argparse.Namespace) -> int:
    """Train on the embedded sample, judge on its test part and show the result."""
    experiment = Experiment.plan(
        open_dataset(SAMPLE_TASK), default_spec(), DEFAULT_BUDGET, command=arguments.command, split="test",
        epochs=_EPOCHS, threads=count_cores(),
    )  # fmt: skip
    return train_and_show(experiment, arguments, name="demo")
