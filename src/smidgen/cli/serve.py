"""`smidgen serve`."""

import argparse
import os
import sys

from smidgen.cli import options
from smidgen.errors import Exit
from smidgen.model.runtime import MODEL_FILE, Runtime
from smidgen.model.zoo import find_model
from smidgen.runs.record import IMAGES_FOLDER
from smidgen.web.server import run as serve
from smidgen.web.server import title_of, wants_browser

_SECONDS_TO_END = 0.3


def add_options(command: argparse.ArgumentParser) -> None:
    """Which models, and where."""
    options.add(command, "model")
    command.add_argument("--beside", metavar="MODEL", help="a second model to show beside it")
    options.add(command, *options.SERVER)


def run(arguments: argparse.Namespace) -> int:
    """Open the playground and the API."""
    from smidgen.web.computing import Computing
    from smidgen.web.playground import make_playground

    given = [arguments.model, *([arguments.beside] if arguments.beside else [])]
    files = [find_model(name) for name in given]
    models = [(title_of(file), Runtime(file, threads=1)) for file in files]

    def say(address: str) -> None:
        print(f"{address}  (Ctrl-C stops; the API is described in {address.split('?')[0]}openapi.json)",
              file=sys.stderr, flush=True)  # fmt: skip

    computing = Computing()
    pictures = files[0].parent / IMAGES_FOLDER if files[0].name == MODEL_FILE else None
    serve(
        make_playground(models, computing, pictures), host=arguments.host, port=arguments.port,
        open_browser=wants_browser(arguments.no_browser), say=say,
    )  # fmt: skip
    if not computing.has_ended(within=_SECONDS_TO_END):
        os._exit(0)  # what reads or packs a picture cannot always be stopped, and Python would wait for it
    return Exit.DONE
