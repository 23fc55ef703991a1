"""`smidgen evaluate`."""

import argparse
import json
import sys

from smidgen.cli.pairs_options import open_pairs
from smidgen.cli.show import say, share, table
from smidgen.errors import InputError
from smidgen.judging.evaluate import Evaluation, Scores
from smidgen.judging.evaluate import evaluate as judge
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model


def evaluate(arguments: argparse.Namespace) -> int:
    """Score a model beside the baselines."""
    runtime = Runtime(find_model(arguments.model))
    dataset = open_pairs(arguments, runtime.info.scales)
    trained_on = runtime.info.dataset
    if (
        dataset.source_fingerprint
        and trained_on.get("source_fingerprint") == dataset.source_fingerprint
        and trained_on.get("fingerprint") != dataset.fingerprint
    ):
        raise InputError(
            "the model was trained on these very pairs, but with other validation or test pairs beside them",
            expected="the same --val and --test as in training, so that no training image is scored",
        )
    for warning in dataset.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    pairs = dataset.test if arguments.split == "test" else dataset.val
    say(f"scoring {len(pairs):,} pairs")
    judged = judge(
        runtime,
        pairs,
        name=dataset.name,
        split=arguments.split,
        val=dataset.val,
        with_baselines=not arguments.no_baselines,
    )
    print(json.dumps(judged.to_dict()) if arguments.json else scores_table(judged))
    return 0


def scores_table(judged: Evaluation) -> str:
    """The model and the baselines, one row each, and legibility digit by digit."""
    rows = [["", "BCE", "MSE", "PSNR dB", "SSIM", "legible (95 % interval)"]]
    rows.append([f"model, {judged.num_parameters:,} parameters", *_cells(judged.scores)])
    for name, scores in judged.baselines.items():
        strength = judged.strengths[name]
        rows.append([f"{name} {strength:g}" if strength else name, *_cells(scores)])
    if judged.clean:
        rows.append(["clean images", f"{judged.floor:.4f}", "0", "∞", "1.000", share(judged.clean)])
    text = f"{judged.pairs}, {judged.split} part, {judged.n:,} pairs (BCE floor {judged.floor:.4f})\n\n{table(rows)}"
    if judged.by_digit:
        digits = [["digit", *map(str, judged.by_digit)], ["legible %"], ["images"]]
        digits[1] += [f"{100 * interval.rate:.1f}" for interval in judged.by_digit.values()]
        digits[2] += [str(interval.n) for interval in judged.by_digit.values()]
        text += f"\n\n{table(digits)}"
    if judged.truth and judged.truth.by == "reader":
        text += "\n\nno labels: the truth is what the reader reads in the clean image, where it is at least 99 % sure"
    if judged.no_legibility:
        text += f"\n\nno legibility: {judged.no_legibility}"
    return text


def _cells(scores: Scores) -> list[str]:
    return [
        f"{scores.bce:.4f}",
        f"{scores.mse:.5f}",
        f"{scores.psnr_db:.2f}",
        f"{scores.ssim:.3f}",
        share(scores.legibility) if scores.legibility else "–",
    ]
