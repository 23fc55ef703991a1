"""`smidgen inspect`."""

import argparse
import re
from pathlib import Path

import numpy as np

from smidgen.cli import options
from smidgen.cli.show import result, table
from smidgen.data.collection import Images
from smidgen.data.pairs import Dataset, Labels
from smidgen.data.sizes import Sizes, count_sizes
from smidgen.errors import Exit, plural, show_text
from smidgen.files import FileKind, check_target, write_whole

_SHADES = " ░▒▓█"
_WIDEST = 36
_PNG_FILE = FileKind(name="a PNG picture", endings=(".png",), start=re.compile(rb"\x89PNG\r\n\x1a\n"))


def add_options(command: argparse.ArgumentParser) -> None:
    """Which pairs."""
    options.add(command, *options.PAIRS)
    command.add_argument("--picture", type=Path, metavar="PNG", help="also draw pairs from all over into this file")
    options.add(command, "--json")


def run(arguments: argparse.Namespace) -> int:
    """Show what pairs are: sizes, scales, splits, oddities and the first pair."""
    if arguments.picture:
        check_target(arguments.picture, _PNG_FILE)
    dataset = options.open_pairs(arguments)
    if arguments.picture:
        from smidgen.runs.sheet import draw_sheet

        write_whole(arguments.picture, draw_sheet(dataset.train))
    sizes = count_sizes(dataset)
    about = {"origin": dataset.origin, "sizes": sizes, "scales": dataset.scales, "warnings": dataset.warnings}
    result(about, _text(dataset, sizes), as_json=arguments.json)
    return Exit.DONE


def _text(dataset: Dataset, sizes: Sizes) -> str:
    parts = [f"{show_text(dataset.name)}: images of {dataset.origin.size} with {plural(dataset.channels, 'channel')}"]
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
    parts.append(_sizes_text(sizes))
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


def _sizes_text(sizes: Sizes) -> str:
    """Sizes with their pairs, where there are several, and what all images amount to."""
    lines = []
    if len(sizes.counts) > 1:
        rows = [[f"{count.height} x {count.width}", f"{count.pairs:,}"] for count in sizes.counts]
        lines.append(table([["size", "pairs"], *rows]))
        if sizes.others:
            lines.append(f"and {plural(sizes.others, 'more size')}")
        lines.append("")
    sides = "y" if list(sizes.types) == ["y"] else "X and in y"
    kind = " and ".join(dict.fromkeys(sizes.types.values())) or "float32"
    amount = f"{sizes.megapixels:,.1f}" if sizes.megapixels >= 1 else f"{sizes.megapixels:.2g}"
    lines.append(f"{amount} megapixels in {sides}, {_bytes_text(sizes.unpacked_bytes)} as {kind}")
    return "\n".join(lines)


def _bytes_text(size: int) -> str:
    """Bytes as `560 kB`, `1.2 MB` or `34 GB`."""
    unit, name = next(((unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB")) if size >= unit), (1e3, "kB"))
    return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size / unit:,.0f} {name}"


def _span(labels: Labels | None) -> str:
    return "–" if labels is None else f"{labels.min()}..{labels.max()}"


def text_picture(image: Images) -> list[str]:
    """An image `(H, W, C)` in [0, 1] as lines of shaded blocks, two characters a pixel."""
    grey = np.clip(image.mean(2), 0, 1)
    step = max(1, -(-max(grey.shape) // _WIDEST))
    shades = np.rint(grey[::step, ::step] * (len(_SHADES) - 1)).astype(int)
    return ["".join(_SHADES[shade] * 2 for shade in row) for row in shades]
