"""`smidgen corrupt`."""

import argparse
import io
import json
import math
import re
from pathlib import Path

import numpy as np

from smidgen.cli import options
from smidgen.data.checks import make_raw_pairs
from smidgen.data.corruptions import CORRUPTIONS
from smidgen.data.formats import read_array
from smidgen.data.scale import fit_scale
from smidgen.errors import Exit, InputError, plural
from smidgen.files import FileKind, check_target, write_whole

_NPZ_FILE = FileKind(name="an .npz file", endings=(".npz",), start=re.compile(rb"PK\x03\x04.{26}[^/]*\.npy", re.DOTALL))


def add_options(command: argparse.ArgumentParser) -> None:
    """What to spoil, and how."""
    command.add_argument(
        "clean", type=Path, metavar="CLEAN", help="a .npy, .npz, IDX or pickle file, or a folder of images"
    )
    command.add_argument("--with", dest="kind", required=True, choices=CORRUPTIONS, help="the corruption")
    command.add_argument("--strength", type=float, metavar="S", help="how strong it is (default: a usual strength)")
    command.add_argument("--labels", type=Path, metavar="FILE", help="labels to go with the pairs")
    options.add(command, "--seed")
    command.add_argument("-o", "--out", type=Path, required=True, metavar="PAIRS", help="the .npz file to write")
    options.add(command, "--json")


def run(arguments: argparse.Namespace) -> int:
    """Make pairs from clean images."""
    kind = CORRUPTIONS[arguments.kind]
    strength = kind.usual if arguments.strength is None else arguments.strength
    if not (math.isfinite(strength) and 0 <= strength <= kind.most):
        raise InputError(f"the strength is {strength:g}", expected=f"0 to {kind.most:g}, the {kind.unit}")
    check_target(arguments.out, _NPZ_FILE)
    if arguments.out.resolve() in [path.resolve() for path in (arguments.clean, arguments.labels) if path]:
        raise InputError(f"{arguments.out} is itself to be read and would be replaced", remedy="Choose another -o")
    found = read_array(arguments.clean)
    labels = None if arguments.labels is None else read_array(arguments.labels)
    raw = make_raw_pairs(found, found, labels, str(arguments.clean))
    clean = fit_scale(raw.clean, "the clean images").normalise(raw.clean)
    noisy = kind.damage(clean, strength, np.random.default_rng(arguments.seed))
    content = {"X": noisy, "y": clean} | ({} if raw.labels is None else {"labels": raw.labels})
    file = io.BytesIO()
    np.savez_compressed(file, **content)  # type: ignore[arg-type]
    write_whole(arguments.out, file.getvalue())
    facts = {"pairs": str(arguments.out), "n": len(clean), "kind": arguments.kind, "strength": strength}
    if arguments.json:
        print(json.dumps(facts))
    else:
        print(f"{arguments.out}: {plural(len(clean), 'pair')}, {kind.title} of {strength:g} ({kind.unit})")
    return Exit.DONE
