"""`smidgen serve`."""

import argparse
import sys
from pathlib import Path

from smidgen.runtime import Runtime
from smidgen.web.server import run, wants_browser
from smidgen.zoo.zoo import find_model


def serve(arguments: argparse.Namespace) -> int:
    """Open the playground and the API."""
    from smidgen.web.playground import make_playground

    given = [arguments.model, *([arguments.beside] if arguments.beside else [])]
    models = [(_title(name), Runtime(find_model(name), threads=1)) for name in given]

    def say(address: str) -> None:
        print(f"{address}  (Ctrl-C stops; the API is described in {address.split('?')[0]}openapi.json)",
              file=sys.stderr, flush=True)  # fmt: skip

    run(
        make_playground(models), host=arguments.host, port=arguments.port,
        open_browser=wants_browser(arguments.no_browser), say=say,
    )  # fmt: skip
    return 0


def _title(name: str) -> str:
    """What the page calls a model: no path of this machine."""
    path = Path(name)
    return path.parent.name if path.name == "model.onnx" else path.name.removesuffix(".onnx")
