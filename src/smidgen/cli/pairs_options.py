"""The options that say which pairs, and what they mean; shared by all commands that take PAIRS."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smidgen.data.pairs import Dataset
    from smidgen.data.scale import Scales

_PAIRS_HELP = "a task's name, a .pkl or .npz file with X and y, or a folder with noisy/ and clean/"


def add_pairs_options(command: argparse.ArgumentParser) -> None:
    """Add PAIRS and its companions to a command."""
    command.add_argument("pairs", nargs="?", metavar="PAIRS", help=_PAIRS_HELP)
    command.add_argument("--noisy", type=Path, metavar="FILE", help="noisy images, instead of PAIRS")
    command.add_argument("--clean", type=Path, metavar="FILE", help="clean images, instead of PAIRS")
    command.add_argument("--labels", type=Path, metavar="FILE", help="labels for --noisy and --clean")
    command.add_argument(
        "--val", type=Path, metavar="FILE", help="validation pairs (default: those PAIRS sets aside, or a tenth)"
    )
    command.add_argument(
        "--test", type=Path, metavar="FILE", help="test pairs (default: those PAIRS sets aside, or a tenth)"
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="folder with mnist/ and fashion-mnist/, for tasks")


def open_pairs(arguments: argparse.Namespace, scales: "Scales | None" = None) -> "Dataset":
    """Open what the options name; `scales` are a model's.

    Raises:
        InputError: nothing or too much is given, or what is given cannot be read.
    """
    from smidgen.data.open import open_dataset

    return open_dataset(
        arguments.pairs,
        noisy=arguments.noisy,
        clean=arguments.clean,
        labels=arguments.labels,
        val=arguments.val,
        test=arguments.test,
        data=arguments.data,
        scales=scales,
    )
