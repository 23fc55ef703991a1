"""`smidgen corrupt`."""

import argparse
import io
import os
import re
import sys
from pathlib import Path

import numpy as np

from smidgen.cli import options, show
from smidgen.data.collection import ScaledImages, shapes_of
from smidgen.data.corruptions import make_corruption
from smidgen.data.formats import read_images
from smidgen.data.origin import Corrupted
from smidgen.data.scale import fit_scale
from smidgen.errors import Exit, InputError, PairsError, plural, show_text
from smidgen.files import FileKind, check_memory, check_target, most_unpacked, write_whole

_NPZ_FILE = FileKind(name="an .npz file", endings=(".npz",), start=re.compile(rb"PK\x03\x04.{26}[^/]*\.npy", re.DOTALL))


def add_options(command: argparse.ArgumentParser) -> None:
    """What to spoil, and how."""
    command.add_argument(
        "clean", type=Path, metavar="CLEAN", help="a .npy, .npz, IDX or pickle file, or a folder of images"
    )
    options.add(command, "--with", "--strength")
    command.add_argument("--labels", type=Path, metavar="FILE", help="labels to go with the pairs")
    options.add(command, "--seed")
    command.add_argument("-o", "--out", type=Path, required=True, metavar="PAIRS", help="the .npz file to write")
    options.add(command, "--json")


def run(arguments: argparse.Namespace) -> int:
    """Make pairs from clean images."""
    if not arguments.corruption:
        raise InputError("no corruption is named", expected="--with KIND")
    corruption = make_corruption(arguments.corruption)
    check_target(arguments.out, _NPZ_FILE)
    if os.path.realpath(arguments.out) in [
        os.path.realpath(path) for path in (arguments.clean, arguments.labels) if path
    ]:
        raise InputError(f"{arguments.out} is itself to be read and would be replaced", remedy="Choose another -o")
    parts = read_images(arguments.clean, arguments.labels)
    for warning in parts.warnings:
        print(show_text(f"warning: {warning}"), file=sys.stderr)
    raw = parts.train
    shapes = shapes_of(raw.clean)
    if (shapes != shapes[0]).any():
        raise PairsError(
            "the clean images differ in size",
            expected="images of one size: an .npz holds one array",
            remedy="To train on these, give them to train: --clean DIR --with KIND",
        )
    check_memory(f"{arguments.clean} as float pairs, packed,", 3 * 4 * int(shapes.prod(1).sum()))
    images = ScaledImages(raw.clean, fit_scale(raw.surveys[1].extent, "the clean images"))
    clean = images.stack(range(len(images)))
    noisy = corruption.apply(clean, np.random.default_rng(arguments.seed))
    content = {"X": noisy, "y": clean} | ({} if raw.labels is None else {"labels": raw.labels})
    file = io.BytesIO()
    np.savez_compressed(file, **content)  # type: ignore[arg-type]
    if sum(array.nbytes for array in content.values()) > most_unpacked(file.tell()) * 0.99:  # headers take a little
        file = io.BytesIO()
        np.savez(file, **content)  # type: ignore[arg-type]
    write_whole(arguments.out, file.getvalue())
    made = Corrupted(corruption.steps, arguments.seed)
    about = {"pairs": str(arguments.out), "n": len(clean), "corrupted": made}
    text = f"{show_text(str(arguments.out))}: {plural(len(clean), 'pair')}, by {made}"
    show.result(about, text, as_json=arguments.json)
    return Exit.DONE
