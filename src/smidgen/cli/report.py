"""`smidgen report`."""

import argparse
from pathlib import Path

from smidgen.cli import show
from smidgen.errors import Exit, show_text


def add_options(command: argparse.ArgumentParser) -> None:
    """Of which run."""
    command.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")


def run(arguments: argparse.Namespace) -> int:
    """Write a run's report again."""
    from smidgen.runs.run import write_report

    show.out(show_text(str(write_report(arguments.run_folder))))
    return Exit.DONE
