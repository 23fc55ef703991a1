"""`smidgen export`."""

import argparse
import json
from pathlib import Path

from smidgen.cli import options, show
from smidgen.errors import Exit, show_text
from smidgen.export.export import Exported, export_model
from smidgen.model.zoo import find_model


def add_options(command: argparse.ArgumentParser) -> None:
    """Which model, in which form."""
    options.add(command, "model")
    command.add_argument("--to", choices=("keras", "h5", "c", "arduino", "html"), required=True, help="format to write")
    command.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="the file to write")
    size = "size of the images; the page takes any, and starts with this one (default: that of training)"
    command.add_argument("--size", type=options.parse_size, metavar="HxW", help=size)
    command.add_argument("--int8", action="store_true", help="store the kernels of C or Arduino in 8 bits")
    options.add(command, "--json")


def run(arguments: argparse.Namespace) -> int:
    """Write a model in another form."""
    exported = export_model(
        find_model(arguments.model),
        arguments.to,
        arguments.out,
        size=arguments.size,
        bits=8 if arguments.int8 else 32,
    )
    if arguments.json:
        print(json.dumps(_to_dict(exported)))
        return Exit.DONE
    noisy, clean, name = exported.noisy_scale, exported.clean_scale, show_text(str(exported.path))
    height, width = exported.size
    if arguments.to == "html":
        show.out(f"{name}: takes pictures, black to white as X's {noisy}; in the result as y's {clean}")
        show.out(f"  of any size; its empty canvas is {height} x {width}")
    else:
        show.out(f"{name}: takes values on X's scale, {noisy}, and gives values on y's, {clean}")
        show.out(f"  images: {height} x {width}")
    show.out(_differences(exported))
    for name, value in exported.facts.items():
        if isinstance(value, int):
            show.out(f"  {name.replace('_', ' ')}: {value:,}")
    return Exit.DONE


def _to_dict(exported: Exported) -> dict[str, object]:
    return {
        "path": str(exported.path),
        "noisy_scale": [exported.noisy_scale.low, exported.noisy_scale.high],
        "clean_scale": [exported.clean_scale.low, exported.clean_scale.high],
        "size": list(exported.size),
        "difference": exported.difference,
        **exported.facts,
    }


def _differences(exported: Exported) -> str:
    """How far its answers are from the model's, in words."""
    facts = exported.facts
    if "rms_difference" not in facts:
        return f"  differs from the model by at most {exported.difference:.1e} of full scale"
    lines = [
        f"  rounding to 8 bits moves pixels by at most {exported.difference:.2g} of full scale, "
        f"{facts['rms_difference']:.2g} on average (rms), on the embedded sample and random images"
    ]
    if "psnr_loss_db" in facts:
        lines.append(f"  on the sample it costs {facts['psnr_loss_db']:z.2f} dB of PSNR")
    if "legibility_loss" in facts:
        lines[-1] += f" and {100 * facts['legibility_loss']:z.1f} points of legibility"
    lines.append(f"  the code differs from the rounded model by at most {facts['code_difference']:.1e} of full scale")
    return "\n".join(lines)
