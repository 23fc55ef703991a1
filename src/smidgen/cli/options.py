"""Options that several commands share, and what is made of them."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smidgen.cli.progress import Display
from smidgen.errors import InputError, show_text
from smidgen.network.spec import DEFAULT_BUDGET, OUTPUTS, parse_budget
from smidgen.training.recipe import check_seed

if TYPE_CHECKING:
    from smidgen.data.pairs import Dataset
    from smidgen.model.records import ModelInfo

# Where results go unless --out says otherwise.
RUNS = Path("runs")
PAIRS = (
    "pairs",
    "--noisy",
    "--second",
    "--clean",
    "--with",
    "--strength",
    "--labels",
    "--val",
    "--test",
    "--group",
    "--colour",
    "--data",
    "--fonts",
    "--texts",
)
COLOURS = ("together", "apart")
SERVER = ("--host", "--port", "--no-browser")


def parse_seed(text: str) -> int:
    """A seed.

    Raises:
        InputError: it is none.
        ValueError: it is no whole number.
    """
    return check_seed(int(text))


_FILE: dict[str, Any] = {"type": Path, "metavar": "FILE"}
_NUMBER: dict[str, Any] = {"type": int, "metavar": "N"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"metavar": "MODEL", "help": "a model file, a run folder, or the name of a shipped model"},
    "pairs": {
        "nargs": "*",
        "metavar": "PAIRS",
        "help": "a task's name, a .pkl or .npz file with X and y, or a folder with noisy/ and clean/",
    },
    "--noisy": _FILE | {"help": "noisy images, instead of PAIRS; alone, 'train' learns from them as they are"},
    "--second": _FILE | {"help": "beside --noisy, a second noisy shot of each scene, in files of the same names"},
    "--clean": _FILE | {"help": "clean images, instead of PAIRS; without --noisy they are corrupted by --with"},
    "--labels": _FILE | {"help": "labels of the images, or a table headed filename,text, instead of those in PAIRS"},
    "--val": _FILE
    | {"help": "validation pairs, or clean images beside --with (default: those that PAIRS sets aside, or a tenth)"},
    "--test": _FILE
    | {"help": "test pairs, or clean images beside --with (default: those that PAIRS sets aside, or a tenth)"},
    "--group": {
        "metavar": "PATTERN",
        "help": "keep images together, in training, validation or test, in whose names this regular expression finds "
        r"the same, such as '^(\w+)_p' for the pages of a file (default: those of the same clean image)",
    },
    "--colour": {
        "choices": COLOURS,
        "help": "together: one network takes all channels of a picture; apart: each channel is a grey image of its own "
        f"(default: {COLOURS[0]}; a grey model that is scored takes them apart)",
    },
    "--data": {
        "type": Path,
        "metavar": "DIR",
        "help": "folder with mnist/, fashion-mnist/ and bsd/, for the named tasks",
    },
    "--fonts": {
        "type": Path,
        "metavar": "DIR",
        "help": "a folder with font files, to set made pages in these, too",
    },
    "--texts": _FILE | {"help": "a text file, a paragraph a line, to set made pages from this alone"},
    "--out": {"type": Path, "metavar": "RUN", "help": "folder for the results (default: a folder in runs/)"},
    "--budget": {
        "type": parse_budget,
        "default": DEFAULT_BUDGET,
        "metavar": "SIZE",
        "help": f"how many learned numbers a model may store, or a size such as 14kB (default: {DEFAULT_BUDGET})",
    },
    "--output": {
        "choices": OUTPUTS,
        "help": "sigmoid: clean images unlike the noisy ones; residual: the noisy image less what the network finds in "
        "it, for X and y in the same units (default: chosen by the clean images, and said)",
    },
    "--epochs": _NUMBER
    | {"help": "how many times to show all pairs, or 50 million pixels of them (default: set by the recipe)"},
    "--seed": {"type": parse_seed, "metavar": "N", "default": 0, "help": "random seed (default: 0)"},
    "--threads": _NUMBER | {"default": 0, "help": "processor cores to use (default: all)"},
    "--scheduler": {
        "metavar": "ADDRESS",
        "help": "the workers of a Dask scheduler do the work: its address, such as tcp://host:8786, or its file",
    },
    "--split": {
        "choices": ("val", "test"),
        "help": "which pairs to score; keep test for figures that are published (default: val; by evaluate and read "
        "all of pairs that the model was not trained on)",
    },
    "--host": {
        "default": "127.0.0.1",
        "metavar": "ADDRESS",
        "help": "address to serve on; from other machines a token is needed (default: 127.0.0.1)",
    },
    "--port": _NUMBER | {"help": "port to serve on (default: 8000, or a free one if that is taken)"},
    "--no-browser": {"action": "store_true", "help": "do not open a browser"},
    "--json": {"action": "store_true", "help": "print one JSON object instead of text"},
}


class _InOrder(argparse.Action):
    """Gathers kinds and strengths as they were typed, since a strength belongs to the kind before it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        wishes = list(getattr(namespace, self.dest) or [])
        if option_string == "--with":
            wishes.append((values,))
        elif not wishes or len(wishes[-1]) > 1:
            raise InputError(
                "--strength does not follow a --with of its own",
                expected="--with KIND --strength S, for each kind that is not to have its usual strength",
            )
        else:
            wishes[-1] = (*wishes[-1], *values)
        setattr(namespace, self.dest, wishes)


def add(command: argparse.ArgumentParser, *names: str) -> None:
    """Give a command these options."""
    for name in names:
        command.add_argument(name, **(_LATE[name](name) if name in _LATE else _OPTIONS[name]))


def _corruption(name: str) -> dict[str, Any]:
    """`--with` or `--strength`, with the kinds there are."""
    from smidgen.data.corruptions import CORRUPTIONS

    shared: dict[str, Any] = {"dest": "corruption", "action": _InOrder}
    if name == "--with":
        kinds = ", ".join(CORRUPTIONS)
        text = f"how to corrupt clean images, in training anew each epoch; several act in turn: {kinds}"
        return shared | {"metavar": "KIND", "help": text}
    usual = ", ".join(f"{name} {kind.usual:g}" for name, kind in CORRUPTIONS.items())
    text = f"of the --with before it: S, or LOW HIGH, between which each image draws its own (default: {usual})"
    return shared | {"type": float, "nargs": "+", "metavar": ("S", "HIGH"), "help": text}


def _reader(name: str) -> dict[str, Any]:
    """`--reader` or `--language`."""
    from smidgen.judging.readers import LANGUAGE, READERS

    if name == "--reader":
        text = "who reads the images: the digit reader that ships, or Tesseract, which is installed apart "
        return {"choices": READERS, "help": text + "(default: Tesseract where the pairs have texts, else digits)"}
    text = f"of the texts, as Tesseract calls it, such as deu, or deu+eng (default: {LANGUAGE})"
    return {"default": LANGUAGE, "metavar": "CODE", "help": text}


# Made when they are asked for, of what takes a while to import.
_LATE = {"--with": _corruption, "--strength": _corruption, "--reader": _reader, "--language": _reader}


def open_pairs(
    arguments: argparse.Namespace,
    model: "ModelInfo | None" = None,
    *,
    output: str | None = None,
    without_clean: bool = False,
) -> "Dataset":
    """Open what the options name, and warn of what looks odd.

    Args:
        arguments: of the command.
        model: what will be scored on them, on its scales; None where they are to train on.
        output: of the network that will learn from them; None chooses it.
        without_clean: whether the command can do with noisy images alone.

    Raises:
        InputError: nothing or too much is given, or what is given cannot be read.
    """
    from smidgen.data.formats import Keeping  # these take a while, and not every command reads pairs
    from smidgen.data.open import open_dataset

    if len(arguments.pairs) > 1:
        first, second, *more = arguments.pairs
        raise InputError(
            f"{len(arguments.pairs)} names are given as PAIRS",
            expected="one",
            remedy="" if more else f"If one holds the noisy and one the clean images: --noisy {first} --clean {second}",
        )
    if arguments.noisy and not (arguments.clean or arguments.pairs or arguments.corruption or without_clean):
        raise InputError(
            "noisy images alone are given",
            expected="clean ones beside them: --noisy FILE --clean FILE",
            remedy="'smidgen train' and 'smidgen evaluate' can do without",
        )
    names = ("noisy", "second", "clean", "corruption", "labels", "val", "test", "group", "data", "fonts", "texts")
    given = {name: getattr(arguments, name) for name in names}
    given["apart"] = arguments.colour == "apart"
    if model is not None:
        given["apart"] = model.spec.channels == 1
        alone = arguments.test and not (arguments.pairs or arguments.noisy or arguments.clean or arguments.val)
        # Of test pairs alone the test part is all.
        part = None if alone and arguments.split == "test" else arguments.split
        given |= {"scales": model.scales, "trained_on": None if part else model.origin}
        output = model.spec.output
    with Display() as display:
        keeping = Keeping(watch=display.decoding, say=display.note)
        dataset = open_dataset(*arguments.pairs, output=output, keeping=keeping, **given)
    for warning in dataset.warnings:
        print(show_text(f"warning: {warning}"), file=sys.stderr)
    return dataset


def free_folder(name: str) -> Path:
    """`runs/NAME`, or the first of `runs/NAME-2`, `runs/NAME-3`… that does not exist."""
    folder, number = RUNS / name, 2
    while folder.exists():
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def parse_size(text: str) -> tuple[int, int]:
    """`28x28` as (H, W).

    Raises:
        InputError: it is no size.
    """
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise InputError(f"the size {text!r} cannot be read", expected="HxW, such as 28x28")
    return height, width
