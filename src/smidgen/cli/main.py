"""The commands and their options. Nothing heavy is imported until a command runs."""

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from smidgen import __version__
from smidgen.cli.pairs_options import add_pairs_options
from smidgen.errors import SmidgenError

# The names in smidgen.data.corruptions, which is not imported for the sake of a help text.
_CORRUPTIONS = ("gaussian-noise", "salt-and-pepper", "blur", "jpeg")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 when done, 2 for wrong input, 1 for anything else."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without these characters gets a question mark
            stream.reconfigure(errors="replace")
    arguments = build_parser().parse_args(argv)
    module, function = arguments.handler
    try:
        with _ended_like_ctrl_c():
            handler = getattr(importlib.import_module(f"smidgen.cli.{module}"), function)
            return int(handler(arguments))
    except SmidgenError as error:
        print(f"smidgen: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"smidgen: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print("smidgen: there is not enough memory for this", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("smidgen: interrupted", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"smidgen: this command needs the package '{error.name}'. Run: pip install 'smidgen[train]'",
            file=sys.stderr,
        )
        return 2


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end a command as Ctrl-C does: with everything kept.

    Where they are ignored (`nohup`) or handled already, they stay so.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)] if ours else []
    taken = [number for name in names if signal.getsignal(number := getattr(signal, name)) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="smidgen", description="Learn, judge and ship image denoisers that fit a parameter budget."
    )
    parser.add_argument("--version", action="version", version=f"smidgen {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    demo = _add(commands, "demo", ("train", "demo"), "embedded pairs -> train -> judge -> report, in two minutes")
    demo.add_argument("--out", type=Path, help="the run folder (default: the next free runs/demo)")
    _add_common(demo)

    inspect = _add(commands, "inspect", ("inspect", "inspect"), "show shapes, ranges, faults and the first pair")
    add_pairs_options(inspect)
    inspect.add_argument("--picture", type=Path, metavar="PNG", help="also draw the first pair into this file")
    _add_common(inspect)

    train = _add(commands, "train", ("train", "train"), "train a denoiser, judge it and write a report")
    add_pairs_options(train)
    train.add_argument("--out", type=Path, metavar="RUN", help="the run folder (default: the next free runs/NAME)")
    train.add_argument("--budget", default="3600", help="most learned numbers, or bytes as 14kB (default: 3600)")
    train.add_argument("--network", choices=("pyramid", "plain"), default="pyramid",
                       help="pyramid: multi-scale, the widest that fits; plain: the classic autoencoder")  # fmt: skip
    train.add_argument("--passes", type=int, default=1,
                       help="over the pyramid; 2 errs less and takes 1.7 times as long (default: 1)")  # fmt: skip
    train.add_argument("--resume", action="store_true", help="go on from the run folder's last checkpoint")
    train.add_argument("--epochs", type=int, help="times all pairs are shown (default: set by the recipe)")
    train.add_argument("--batch-size", type=int, help="pairs a step (default: set by the recipe)")
    train.add_argument("--learning-rate", type=float, help="at its highest (default: set by the recipe)")
    train.add_argument("--optimizer", choices=("soap", "adam", "adamw", "sgd"), help="(default: set by the recipe)")
    train.add_argument("--loss", choices=("bce", "mse"), help="(default: bce)")
    train.add_argument("--patience", type=int, help="stop after this many epochs without a better validation loss")
    train.add_argument("--seed", type=int, help="of weights, order, pairing and noise (default: 0)")
    train.add_argument("--threads", type=int, help="of the processor; part of the result (default: all cores)")
    train.add_argument("--split", choices=("val", "test"), default="val", help="what the report scores (default: val)")
    _add_common(train)

    search = _add(commands, "search", ("search", "search"), "look for the best network and training a budget can buy")
    add_pairs_options(search)
    search.add_argument("--out", type=Path, metavar="RUN", help="the study's folder (default: runs/ and its name)")
    search.add_argument("--budget", default="3600", help="most learned numbers, or bytes as 14kB (default: 3600)")
    search.add_argument("--trials", type=int, help="proposals to try (default: 30)")
    search.add_argument("--grid", type=Path, metavar="FILE", help="a TOML file of values; every combination is tried")
    search.add_argument("--prune", action="store_true", help="end poor combinations of a grid early too")
    search.add_argument(
        "--epochs", type=int, help="of those that are trained to their end (default: set by the recipe)"
    )
    search.add_argument("--seed", type=int, default=0, help="of proposals and trainings (default: 0)")
    search.add_argument("--jobs", type=int, help="trials at a time on this machine (default: one for each core)")
    search.add_argument("--threads", type=int, default=1, help="of each trial; part of the result (default: 1)")
    search.add_argument(
        "--storage", metavar="URL", help="a database that machines share, as postgresql://user@host/name"
    )
    search.add_argument("--study", metavar="NAME", help="its name there (default: made from pairs and settings)")
    search.add_argument(
        "--split", choices=("val", "test"), default="val", help="what the best is scored on (default: val)"
    )
    _add_common(search)

    front = _add(commands, "front", ("search", "front"), "train at several budgets and draw what each buys")
    add_pairs_options(front)
    front.add_argument("--out", type=Path, metavar="RUN", help="the folder (default: runs/NAME-front)")
    front.add_argument("--budgets", default="450,900,1800,3600", help="with commas (default: 450,900,1800,3600)")
    front.add_argument("--epochs", type=int, help="times all pairs are shown (default: set by the recipe)")
    front.add_argument("--seed", type=int, help="of weights, order, pairing and noise (default: 0)")
    front.add_argument("--threads", type=int, help="of the processor; part of the result (default: all cores)")
    front.add_argument("--split", choices=("val", "test"), default="val", help="what is scored (default: val)")
    _add_common(front)

    evaluate = _add(commands, "evaluate", ("evaluate", "evaluate"), "score a model beside the baselines")
    _add_model(evaluate)
    add_pairs_options(evaluate)
    evaluate.add_argument("--split", choices=("val", "test"), default="val",
                          help="what to score: val, or test for figures to be published (default: val)")  # fmt: skip
    evaluate.add_argument("--no-baselines", action="store_true", help="leave out the classical denoisers")
    _add_common(evaluate)

    summary = _add(commands, "summary", ("summary", "summary"), "show a model's layers, size, cost and origin")
    _add_model(summary)
    summary.add_argument("--card", action="store_true", help="print the model card instead")
    summary.add_argument(
        "--size", metavar="HxW", help="image size for shapes and work memory (default: as it was trained on)"
    )
    _add_common(summary)

    denoise = _add(commands, "denoise", ("denoise", "denoise"), "denoise images, folders of them, or standard input")
    _add_model(denoise)
    denoise.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders, patterns, or - for standard input")
    denoise.add_argument(
        "-o", "--out", metavar="OUT", help="a file; a folder for several images; - for standard output"
    )
    denoise.add_argument("--depth", choices=("8", "16", "float"), help="bits of the result (default: as the image)")
    denoise.add_argument("--range", type=float, nargs=2, metavar=("LOW", "HIGH"),
                         help="black and white in the images' values (default: chosen by their type)")  # fmt: skip
    denoise.add_argument(
        "--invert", action="store_true", help="the images are dark on light, the model's light on dark"
    )
    denoise.add_argument("--threads", type=int, default=0, help="of the processor (default: all cores)")

    export = _add(commands, "export", ("export", "export"), "write a model as Keras, C or a web page, and check it")
    _add_model(export)
    export.add_argument("--to", choices=("keras", "h5", "c", "html"), required=True, help="the form")
    export.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="the file to write")
    export.add_argument(
        "--size",
        metavar="HxW",
        help="of the images; the page takes any and starts with this (default: as the model was trained on)",
    )
    export.add_argument("--int8", action="store_true", help="store the kernels of the C file in 8 bits")
    _add_common(export)

    read = _add(commands, "read", ("read", "read"), "let people read denoised images in the browser, and count")
    _add_model(read)
    add_pairs_options(read)
    read.add_argument("--images", type=int, default=150, metavar="N", help="how many are shown (default: 150)")
    read.add_argument("--split", choices=("val", "test"), default="val", help="which are shown (default: val)")
    read.add_argument("--against", metavar="DENOISER",
                      help="ask which of two is better, the model's or this one's: another model or a baseline's name "
                      "(default for pairs without labels: the best baseline)")  # fmt: skip
    read.add_argument("--out", type=Path, metavar="RUN", help="the study's folder (default: runs/NAME-read)")
    read.add_argument("--seed", type=int, help="of the choice and the order (default: one nobody knows)")
    _add_server(read)
    _add_common(read)

    serve = _add(commands, "serve", ("serve", "serve"), "open a page to try a model on, and an HTTP API")
    _add_model(serve)
    serve.add_argument("--beside", metavar="MODEL", help="another model, to be shown side by side")
    _add_server(serve)

    models = _add(commands, "models", ("models", "models"), "list the models that ship")
    _add_common(models)

    corrupt = _add(commands, "corrupt", ("corrupt", "corrupt"), "make pairs from clean images")
    corrupt.add_argument(
        "clean", type=Path, metavar="CLEAN", help="a .npy, .npz, IDX or pickle file, or a folder of images"
    )
    corrupt.add_argument("--with", dest="kind", required=True, choices=_CORRUPTIONS, help="the corruption")
    corrupt.add_argument("--strength", type=float, help="(default: one that is usual for the corruption)")
    corrupt.add_argument("--labels", type=Path, metavar="FILE", help="labels to go with the pairs")
    corrupt.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    corrupt.add_argument("-o", "--out", type=Path, required=True, metavar="PAIRS", help="the .npz file to write")
    _add_common(corrupt)

    report = _add(commands, "report", ("train", "report"), "write a run's report.html anew")
    report.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    return parser


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, handler: tuple[str, str], help_: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".")
    command.set_defaults(handler=handler)
    return command


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="a model file, a run folder, or the name of one that ships")


def _add_server(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                         help="to serve on; beyond this machine a token is asked for (default: 127.0.0.1)")  # fmt: skip
    command.add_argument("--port", type=int, help="(default: 8000, or a free one where that is taken)")
    command.add_argument("--no-browser", action="store_true", help="do not open a browser")


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
