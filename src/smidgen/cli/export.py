"""`smidgen export`."""

import argparse
import json

from smidgen.cli.summary import parse_size
from smidgen.export.export import export_model
from smidgen.zoo.zoo import find_model


def export(arguments: argparse.Namespace) -> int:
    """Write a model in another form."""
    exported = export_model(
        find_model(arguments.model),
        arguments.to,
        arguments.out,
        size=parse_size(arguments.size),
        bits=8 if arguments.int8 else 32,
    )
    if arguments.json:
        print(json.dumps({"path": str(exported.path), "difference": exported.difference} | exported.facts))
    else:
        print(f"{exported.path}: differs from the model by at most {exported.difference:.1e}")
        for name, value in exported.facts.items():
            print(f"  {name.replace('_', ' ')}: {value:,}" if isinstance(value, int) else f"  {name}: {value:.4g}")
    return 0
