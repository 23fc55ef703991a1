"""`smidgen models`."""

import argparse
import hashlib
import json

from smidgen.cli import options, show
from smidgen.errors import Exit, plural
from smidgen.model.file import describe_model
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model, zoo_names


def add_options(command: argparse.ArgumentParser) -> None:
    """How to list them."""
    options.add(command, "--json")


def run(arguments: argparse.Namespace) -> int:
    """List the models that ship, with licence, data and scores; as JSON with each file's hash too."""
    files = {name: find_model(name) for name in zoo_names()}
    infos = {name: Runtime(file).info for name, file in files.items()}
    if arguments.json:
        hashes = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
        print(json.dumps({name: describe_model(info) | {"sha256": hashes[name]} for name, info in infos.items()}))
        return Exit.DONE
    rows = [["model", "parameters", "trained on", "scored on", *show.SCORES]]
    for name, info in infos.items():
        if info.judged is not None:
            on = f"{info.judged.split}, {plural(info.judged.n, 'pair')}"
            cells = show.score_cells(info.judged.scores)
            rows.append([name, f"{info.spec.num_parameters:,}", info.origin.name, on, *cells])
    show.out(show.table(rows))
    for licence in sorted({info.origin.licence for info in infos.values()} - {""}):
        show.out(f"\nlicence of the training images: {licence}")
    return Exit.DONE
