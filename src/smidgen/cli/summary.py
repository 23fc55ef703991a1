"""`smidgen summary`."""

import argparse
import json
from typing import Any

from smidgen.cli import options
from smidgen.cli.show import out, table
from smidgen.errors import Exit, plural, show_text
from smidgen.model.card import write_card
from smidgen.model.file import describe_model
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.network.layers import Kind, Layer, Network, size_at_scale


def add_options(command: argparse.ArgumentParser) -> None:
    """Which model, and what of it."""
    options.add(command, "model")
    command.add_argument("--card", action="store_true", help="print the model card instead")
    size = "image size for the shapes and the work memory (default: that of training)"
    command.add_argument("--size", type=options.parse_size, metavar="HxW", help=size)
    options.add(command, "--json")


def run(arguments: argparse.Namespace) -> int:
    """Show what a model file holds."""
    path = find_model(arguments.model)
    runtime = Runtime(path)
    info, network = runtime.info, runtime.info.spec.network()
    height, width = arguments.size or info.size
    if arguments.card:
        card = write_card(show_text(str(arguments.model)), info)
        print(json.dumps({"card": card}) if arguments.json else card, end="\n" if arguments.json else "")
        return Exit.DONE
    facts: dict[str, Any] = {
        "model": runtime.name,
        "size_bytes": path.stat().st_size,
        "num_parameters": info.spec.num_parameters,
        "budget": info.budget,
        "multiply_accumulates_per_pixel": network.multiply_accumulates_per_pixel,
        "reach": network.reach,
        "work_bytes": network.work_bytes(height, width),
        "metadata": describe_model(info),
    }
    if arguments.json:
        print(json.dumps(facts))
        return Exit.DONE
    out(_layer_table(network, height, width))
    out(f"\nparameters    {info.spec.num_parameters:,} of {info.budget:,} (shared weights counted once)")
    out(f"file          {facts['size_bytes']:,} bytes")
    out(f"cost          {facts['multiply_accumulates_per_pixel']:,.0f} multiply-accumulates per pixel")
    out(f"reach         {plural(network.reach, 'pixel')}")
    out(f"work memory   {facts['work_bytes']:,} bytes for {height} x {width}, layer by layer in float32")
    out(f"values        X {info.scales.noisy}, y {info.scales.clean}")
    about = facts["metadata"]
    for name, content in (("trained on", about["origin"]), ("recipe", about["recipe"]), ("scores", about["judged"])):
        out(f"{name:<13} {_flat(content or {})}")
    return Exit.DONE


def _layer_table(network: Network, height: int, width: int) -> str:
    sizes = {weight.name: weight.size for weight in network.weights}
    seen: set[str] = set()
    rows = [["layer", "output shape", "parameters", "weights"]]
    for layer in network.layers:
        new = [name for name in layer.weights if name not in seen]
        count = sum(sizes[name] for name in new)
        seen |= set(new)
        again = [name for name in layer.weights if name not in new]
        notes = ", ".join(layer.weights) + (f" ({', '.join(again)}: counted above)" if again else "")
        rows.append([_layer_name(layer), _shape(layer, height, width), f"{count:,}" if layer.weights else "", notes])
    return table(rows, left=(0, 3))


def _layer_name(layer: Layer) -> str:
    size = f" {layer.kernel}x{layer.kernel}" if layer.kind in (Kind.CONV, Kind.GATED_CONV, Kind.DEPTHWISE) else ""
    return f"{layer.kind.replace('_', ' ')}{size}"


def _shape(layer: Layer, height: int, width: int) -> str:
    rows, columns = size_at_scale(height, width, layer.scale)
    return f"{rows} x {columns} x {layer.channels}"


def _flat(content: dict[str, Any]) -> str:
    """Metadata as one line: what is empty is left out, what is nested stands in brackets."""
    parts = []
    for name, value in content.items():
        if isinstance(value, dict) and value:
            parts.append(f"{name} ({_flat(value)})")
        elif isinstance(value, float):
            parts.append(f"{name} {value:.4g}")
        elif value not in ("", None, {}, []):
            parts.append(show_text(f"{name} {value}"))
    return ", ".join(parts) or "–"
