"""The commands by name; only the one that is asked for is imported."""

import argparse
import contextlib
import functools
import importlib
import io
import logging
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from smidgen import __version__
from smidgen.errors import Exit, InputError, MissingPartError, SmidgenError, show_text

# Each is a module beside this one, with `add_options` and `run`.
COMMANDS = {
    "demo": "train, judge and report on the embedded sample, in two minutes",
    "inspect": "show sizes, scales, faults and the first pair",
    "train": "train a denoiser, judge it and write a report",
    "search": "find the best network and training that a budget can buy",
    "front": "train at several budgets and draw what each one buys",
    "evaluate": "score a model beside the baselines",
    "summary": "show a model's layers, size, cost and origin",
    "denoise": "denoise images, folders of images, or standard input",
    "export": "write a model as Keras, C or a web page, and check it",
    "report": "write a run's report.html again",
    "read": "test in the browser how well people read denoised images",
    "serve": "try a model on a web page or through an HTTP API",
    "models": "list the models that ship with Smidgen",
    "corrupt": "make pairs from clean images",
    "pages": "make scans of pages and what they were",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and say how it ended; see `Exit`."""
    if sys.stderr is None:  # as where a shell closed it: then there is nobody to tell
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 (until the process ends)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without these characters gets a question mark
            stream.reconfigure(errors="replace")
    words = list(sys.argv[1:] if argv is None else argv)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it warns of a home that may not be written to
    # Else numpy, as it is imported, starts threads for matrix products, which no command makes, and which take a tenth
    # of a second of the processor before they rest.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        with _ended_like_ctrl_c():
            arguments = build_parser(words).parse_args(words)
            arguments.command = shlex.join(["smidgen", *words])
            return int(arguments.run(arguments))
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except (SmidgenError, OSError, ModuleNotFoundError, MemoryError, KeyboardInterrupt) as error:
        return _end(error)
    except RuntimeError as error:  # what Python up to 3.11 makes of Ctrl-C while it defines a class
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return _end(error.__cause__)


def _end(error: BaseException) -> Exit:
    """Say what ended the command."""
    code, text = _explain(error)
    print(f"smidgen: {text}", file=sys.stderr)
    return code


def _explain(error: BaseException) -> tuple[Exit, str]:
    """How the command ends after an error, and what to say."""
    match error:
        case SmidgenError():
            return error.exit_code, str(error)
        case ModuleNotFoundError():
            return _explain(MissingPartError(str(error.name), "This command", "train"))
        case OSError():
            place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
            return Exit.WRONG_INPUT, show_text(f"{place}{error.strerror or error}")
        case MemoryError():
            return Exit.FAILED, "there is not enough memory for this"
        case _:
            return Exit.FAILED, "interrupted"


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


class _Parser(argparse.ArgumentParser):
    """Refuses empty words, which as a path would be the current folder; what is wrong is an error like any other."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        for kind, name in ((None, "word"), (Path, "path"), (int, "whole number"), (float, "number")):
            self.register("type", kind, functools.partial(_read, kind or str, name))
        self._negative_number_matcher = re.compile(r"-\.?\d")  # as in Python 3.14: -1e3 is a number, too

    def error(self, message: str) -> NoReturn:
        raise InputError(message, remedy=f"'{self.prog} --help' says what can be given")


def _read(kind: Callable[[str], object], name: str, word: str) -> object:
    """A word as a path, a number or itself."""
    try:
        if word:
            return kind(word)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{word!r} is no {name}" if word else "an empty word is given")


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of a command line; of all commands, the one that `words` name has its options."""
    parser = _Parser(prog="smidgen", description="Learn, judge and ship image denoisers that fit a parameter budget.")
    parser.add_argument("--version", action="version", version=f"smidgen {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    commands.type = str  # the words after a command are for its own parser to read
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, does in COMMANDS.items():
        command = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        if name == chosen:
            module = importlib.import_module(f"smidgen.cli.{name}")
            module.add_options(command)
            command.set_defaults(run=module.run)
    return parser
