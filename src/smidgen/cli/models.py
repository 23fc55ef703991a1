"""`smidgen models`."""

import argparse
import hashlib
import json

from smidgen.cli.show import table
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model, zoo_names


def models(arguments: argparse.Namespace) -> int:
    """List the models that ship, with licence, data and scores; as JSON with each file's hash too."""
    infos = {name: Runtime(find_model(name)).info for name in zoo_names()}
    if arguments.json:
        listed = {name: json.loads(info.to_json()) | {"sha256": _hash(name)} for name, info in infos.items()}
        print(json.dumps(listed))
        return 0
    rows = [["model", "parameters", "trained on", "scored on", "BCE", "MSE", "PSNR dB", "legible"]]
    for name, info in infos.items():
        scores = info.scores.get("scores", {})
        legibility = (scores.get("legibility") or {}).get("denoised")
        rows.append(
            [
                name,
                f"{info.spec.num_parameters:,}",
                str(info.dataset.get("name", "–")),
                f"{info.scores.get('split', '–')}, {info.scores.get('n', 0):,} pairs",
                f"{scores['bce']:.4f}",
                f"{scores['mse']:.2e}",
                f"{scores['psnr_db']:.2f}",
                "–" if legibility is None else f"{legibility['rate']:.1%}",
            ]
        )
    print(table(rows))
    for licence in sorted({str(info.dataset.get("licence", "")) for info in infos.values()} - {""}):
        print(f"\nlicence of the training images: {licence}")
    return 0


def _hash(name: str) -> str:
    return hashlib.sha256(find_model(name).read_bytes()).hexdigest()
