"""`smidgen models`."""

import argparse
import hashlib
import json

from smidgen.cli.show import table
from smidgen.model.file import describe_model
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model, zoo_names


def models(arguments: argparse.Namespace) -> int:
    """List the models that ship, with licence, data and scores; as JSON with each file's hash too."""
    infos = {name: Runtime(find_model(name)).info for name in zoo_names()}
    if arguments.json:
        print(json.dumps({name: describe_model(info) | {"sha256": _hash(name)} for name, info in infos.items()}))
        return 0
    rows = [["model", "parameters", "trained on", "scored on", "BCE", "MSE", "PSNR dB", "legible"]]
    for name, info in infos.items():
        judged = info.judged
        if judged is None:
            continue
        scores, legibility = judged.scores, judged.scores.legibility
        rows.append(
            [
                name,
                f"{info.spec.num_parameters:,}",
                info.origin.name,
                f"{judged.split}, {judged.n:,} pairs",
                f"{scores.bce:.4f}",
                f"{scores.mse:.2e}",
                f"{scores.psnr_db:.2f}",
                f"{legibility.denoised.rate:.1%}" if legibility else "–",
            ]
        )
    print(table(rows))
    for licence in sorted({info.origin.licence for info in infos.values()} - {""}):
        print(f"\nlicence of the training images: {licence}")
    return 0


def _hash(name: str) -> str:
    return hashlib.sha256(find_model(name).read_bytes()).hexdigest()
