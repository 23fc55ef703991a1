"""`smidgen inspect`."""

import argparse
import json
import re
import sys

from smidgen.cli.pairs_options import open_pairs
from smidgen.cli.show import table, text_picture
from smidgen.data.pairs import Labels
from smidgen.files import FileKind, check_target, write_whole
from smidgen.model.records import to_plain

_PNG_FILE = FileKind(name="a PNG picture", endings=(".png",), start=re.compile(rb"\x89PNG\r\n\x1a\n"))


def inspect(arguments: argparse.Namespace) -> int:
    """Show what pairs are: shapes, ranges, splits, oddities and the first pair."""
    if arguments.picture:
        check_target(arguments.picture, _PNG_FILE)
    dataset = open_pairs(arguments)
    first = dataset.train.example(1)
    if arguments.picture:
        from smidgen.runs.figures import draw_first_pair

        write_whole(arguments.picture, draw_first_pair(first))
    if arguments.json:
        about = {"origin": dataset.origin, "scales": dataset.scales, "warnings": dataset.warnings}
        print(json.dumps(to_plain(about)))
        return 0
    height, width, channels = dataset.shape
    print(f"{dataset.name}: images of {height} x {width} with {channels} channel{'s' * (channels > 1)}\n")
    if dataset.found:
        rows = [["as found", "shape", "type", "smallest", "largest"]]
        for name, facts in dataset.found.items():
            shape = " x ".join(map(str, facts.shape))
            rows.append([name, shape, facts.type, f"{facts.low:g}", f"{facts.high:g}"])
        print(table(rows), end="\n\n")
    rows = [["part", "pairs", "labels"], ["train", f"{len(dataset.train):,}", _span(dataset.train.labels)]]
    rows += [
        [name, f"{len(part):,}", _span(part.labels)] for name, part in (("val", dataset.val), ("test", dataset.test))
    ]
    print(table(rows))
    print(f"\nvalues of X {dataset.scales.noisy} and of y {dataset.scales.clean} are brought to 0..1")
    if dataset.scales.reason:
        print(dataset.scales.reason)
    print("pairing and noise are drawn afresh each epoch" if dataset.fresh else "pairs are fixed")
    print("\nthe first pair, noisy and clean:")
    for left, right in zip(text_picture(first.noisy[0]), text_picture(first.clean[0]), strict=True):
        print(f"{left}    {right}".rstrip())
    for warning in dataset.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def _span(labels: Labels | None) -> str:
    return "–" if labels is None else f"{labels.min()}..{labels.max()}"
