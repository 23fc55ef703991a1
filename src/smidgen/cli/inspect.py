"""`smidgen inspect`."""

import argparse
import json
import re
from pathlib import Path

import numpy as np

from smidgen.cli import options
from smidgen.cli.show import table
from smidgen.data.collection import Images
from smidgen.data.pairs import Dataset, Labels
from smidgen.errors import Exit, plural
from smidgen.files import FileKind, check_target, write_whole
from smidgen.model.records import to_plain

_SHADES = " ░▒▓█"
_WIDEST = 36
_PNG_FILE = FileKind(name="a PNG picture", endings=(".png",), start=re.compile(rb"\x89PNG\r\n\x1a\n"))


def add_options(command: argparse.ArgumentParser) -> None:
    """Which pairs."""
    options.add(command, *options.PAIRS)
    command.add_argument("--picture", type=Path, metavar="PNG", help="also draw the first pair into this file")
    options.add(command, "--json")


def run(arguments: argparse.Namespace) -> int:
    """Show what pairs are: shapes, scales, splits, oddities and the first pair."""
    if arguments.picture:
        check_target(arguments.picture, _PNG_FILE)
    dataset = options.open_pairs(arguments)
    if arguments.picture:
        from smidgen.runs.figures import draw_first_pair

        write_whole(arguments.picture, draw_first_pair(dataset.train.example(1)))
    about = {"origin": dataset.origin, "scales": dataset.scales, "warnings": dataset.warnings}
    print(json.dumps(to_plain(about)) if arguments.json else _text(dataset))
    return Exit.DONE


def _text(dataset: Dataset) -> str:
    parts = [f"{dataset.name}: images of {dataset.origin.size} with {plural(dataset.channels, 'channel')}"]
    if dataset.found:
        rows = [["as found", "shape", "type", "smallest", "largest"]]
        for name, facts in dataset.found.items():
            if name == "X" and dataset.corrupted:
                continue
            shape = " x ".join(map(str, facts.shape))
            rows.append([name, shape, facts.type, f"{facts.low:g}", f"{facts.high:g}"])
        parts.append(table(rows))
    rows = [["part", "pairs", "labels"], ["train", f"{len(dataset.train):,}", _span(dataset.train.labels)]]
    for name in ("val", "test"):
        part = dataset.part(name)
        rows.append([name, f"{len(part):,}", _span(part.labels)])
    parts.append(table(rows))
    scales = f"X values from {dataset.scales.noisy} and y values from {dataset.scales.clean} are scaled to 0..1"
    drawn = "pairing and noise are drawn afresh each epoch" if dataset.fresh else "the pairs stay the same each epoch"
    made = f"noisy images are made of the clean ones by {dataset.corrupted}" if dataset.corrupted else ""
    parts.append("\n".join(filter(None, (scales, dataset.scales.reason, made, drawn, dataset.output_reason))))
    first = dataset.train.example(1)
    picture = [
        f"{left}    {right}".rstrip()
        for left, right in zip(text_picture(first.noisy[0]), text_picture(first.clean[0]), strict=True)
    ]
    parts.append("\n".join(["the first pair, noisy and clean:", *picture]))
    return "\n\n".join(parts)


def _span(labels: Labels | None) -> str:
    return "–" if labels is None else f"{labels.min()}..{labels.max()}"


def text_picture(image: Images) -> list[str]:
    """An image `(H, W, C)` in [0, 1] as lines of shaded blocks, two characters a pixel."""
    grey = np.clip(image.mean(2), 0, 1)
    step = max(1, -(-max(grey.shape) // _WIDEST))
    shades = np.rint(grey[::step, ::step] * (len(_SHADES) - 1)).astype(int)
    return ["".join(_SHADES[shade] * 2 for shade in row) for row in shades]
