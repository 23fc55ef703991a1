"""`smidgen train`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from smidgen.cli import options, show
from smidgen.cli.progress import Display
from smidgen.engine.library import count_cores
from smidgen.errors import Exit, InputError, plural
from smidgen.network.spec import NETWORKS, choose_spec
from smidgen.training.experiment import Experiment
from smidgen.training.recipe import CROP, KEPT, LOSSES, OPTIMIZERS, asked_output

if TYPE_CHECKING:
    from smidgen.judging.legibility import Reader

_SOON_DONE = 20_000_000  # pixels
_LONG = 3.0  # hours
_CHOSEN = ("epochs", "batch_size", "learning_rate", "optimizer", "loss", "patience", "keep", "crop", "flips", "seed")


def add_options(command: argparse.ArgumentParser) -> None:
    """What to train, on what, and how."""
    options.add(command, *options.PAIRS, "--out", "--budget")
    network = "pyramid: several scales, as wide as fits; plain: the classic autoencoder (default: pyramid)"
    command.add_argument("--network", choices=NETWORKS, default=NETWORKS[0], help=network)
    passes = "passes over the pyramid with the same numbers; 4 err less and take 4 times as long (default: 1)"
    command.add_argument("--passes", type=int, default=1, metavar="N", help=passes)
    options.add(command, "--output")
    command.add_argument("--resume", action="store_true", help="continue from the last checkpoint in the run folder")
    options.add(command, "--epochs")
    size = "pairs or crops per step (default: set by the recipe)"
    command.add_argument("--batch-size", type=int, metavar="N", help=size)
    peak = "peak learning rate (default: set by the recipe)"
    command.add_argument("--learning-rate", type=float, metavar="RATE", help=peak)
    command.add_argument("--optimizer", choices=OPTIMIZERS, help="optimizer (default: set by the recipe)")
    command.add_argument("--loss", choices=LOSSES, help="loss to minimise (default: bce, for a residual mse)")
    patience = "stop after N epochs without a better validation loss"
    command.add_argument("--patience", type=int, metavar="N", help=patience)
    keep = "the epoch whose weights are kept: best on validation, or last (default: best)"
    command.add_argument("--keep", choices=KEPT, help=keep)
    crop = f"side of the parts that large images are shown in, about; 0 shows them whole (default: {CROP})"
    command.add_argument("--crop", type=int, metavar="PIXELS", help=crop)
    flips = "mirror and turn the images by quarters at random, where that makes images like them: photographs, not "
    flips += "text (default: for the tasks on photographs)"
    command.add_argument("--flips", action=argparse.BooleanOptionalAction, help=flips)
    options.add(command, "--seed", "--threads", "--split", "--reader", "--language", "--json")


def run(arguments: argparse.Namespace) -> int:
    """Train on the user's pairs or a task."""
    from smidgen.judging.readers import choose_reader

    if arguments.resume and not arguments.out:
        raise InputError("--resume is given without a run to continue", remedy="Name its folder with --out")
    output = asked_output(arguments.output, arguments.network, arguments.loss)
    dataset = options.open_pairs(arguments, output=output, without_clean=True)
    spec = choose_spec(arguments.network, arguments.budget, dataset.channels, arguments.passes, dataset.output)
    experiment = Experiment.plan(
        dataset, spec, arguments.budget, command=arguments.command, split=arguments.split or "val",
        threads=arguments.threads or count_cores(), **{name: getattr(arguments, name) for name in _CHOSEN},
    )  # fmt: skip
    reader = choose_reader(experiment.scored, arguments.reader, arguments.language)
    return train_and_show(
        experiment, arguments, name=Path(dataset.name).stem or "run", resume=arguments.resume,
        reader=None if isinstance(reader, str) else reader,
    )  # fmt: skip


def train_and_show(
    experiment: Experiment,
    arguments: argparse.Namespace,
    *,
    name: str,
    resume: bool = False,
    reader: "Reader | None" = None,
) -> int:
    """Leave a run in the folder asked for, or in one of this name, and print what came of it."""
    from smidgen.runs.run import make_run

    dataset, spec = experiment.dataset, experiment.spec
    with Display() as display:
        display.say(
            f"{dataset.name}: {len(dataset.train):,} training, {len(dataset.val):,} validation and "
            f"{len(dataset.test):,} test pairs; {spec.num_parameters:,} of {plural(experiment.budget, 'parameter')}, "
            f"{plural(experiment.recipe.epochs, 'epoch')}"
        )
        if dataset.output_reason:
            display.say(dataset.output_reason)
        _tell_forecast(experiment, display)
        folder = arguments.out or options.free_folder(name)
        run = make_run(
            experiment, folder=folder, resume=resume, reader=reader,
            watch=display.training, watch_judging=display.judging,
        )  # fmt: skip
    show.result(run.record, show.run_text(run), as_json=arguments.json)
    return Exit.FAILED if run.record.interrupted or run.record.ending == "diverged" else Exit.DONE


def _tell_forecast(experiment: Experiment, display: Display) -> None:
    """How long it will take, where that is long enough to ask; a night and more is said in a log, too."""
    from smidgen.training.forecast import forecast

    recipe = experiment.recipe
    examples, each = experiment.dataset.measure(recipe.crop)
    if recipe.epochs * examples * each < _SOON_DONE:
        return
    expected = forecast(experiment)
    hours = expected.seconds / 3600
    text = f"at most about {hours:.1f} hours" if hours > 1.5 else f"at most about {hours * 60:.0f} minutes"
    text += f" and {expected.memory / 2**20:,.0f} MiB beside the pairs, as busy as this machine is now"
    if hours > _LONG:
        display.note(f"{text}; --epochs or a smaller --budget make it shorter")
    else:
        display.say(text)
