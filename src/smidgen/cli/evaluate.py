"""`smidgen evaluate`."""

import argparse
import json
import sys

from smidgen.cli.pairs_options import open_pairs
from smidgen.cli.show import say, share, table
from smidgen.errors import InputError
from smidgen.judging.evaluate import Evaluation
from smidgen.judging.evaluate import evaluate as judge
from smidgen.model.records import Scores, to_plain
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model


def evaluate(arguments: argparse.Namespace) -> int:
    """Score a model beside the baselines."""
    runtime = Runtime(find_model(arguments.model))
    dataset = open_pairs(arguments, runtime.info.scales)
    trained_on = runtime.info.origin
    if (
        dataset.source_fingerprint
        and trained_on.source_fingerprint == dataset.source_fingerprint
        and trained_on.fingerprint != dataset.fingerprint
    ):
        raise InputError(
            "the model was trained on these very pairs, but with other validation or test pairs beside them",
            expected="the same --val and --test as in training, so that no training image is scored",
        )
    for warning in dataset.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    pairs = dataset.test if arguments.split == "test" else dataset.val
    judged = judge(
        runtime,
        pairs,
        name=dataset.name,
        split=arguments.split,
        val=dataset.val,
        with_baselines=not arguments.no_baselines,
        watch=lambda what: say(f"scoring {what} on {len(pairs):,} pairs"),
    ).evaluation
    print(json.dumps(to_plain(judged)) if arguments.json else scores_table(judged))
    return int(judged.interrupted)


def scores_table(judged: Evaluation) -> str:
    """The model and the baselines, one row each, and legibility digit by digit."""
    rows = [["", "BCE", "MSE", "PSNR dB", "SSIM", "legible (95 % interval)"]]
    rows.append([f"model, {judged.num_parameters:,} parameters", *_cells(judged.scores)])
    for name, scores in judged.baselines.items():
        strength = judged.strengths[name]
        rows.append([f"{name} {strength:g}" if strength else name, *_cells(scores)])
    floor = judged.scores.bce_floor
    if judged.scores.legibility:
        rows.append(["clean images", f"{floor:.4f}", "0", "∞", "1.000", share(judged.scores.legibility.clean)])
    text = f"{judged.pairs}, {judged.split} part, {judged.n:,} pairs (BCE floor {floor:.4f})\n\n{table(rows)}"
    if judged.legibility_by_digit:
        digits = [["digit", *judged.legibility_by_digit], ["legible %"], ["images"]]
        digits[1] += [f"{100 * interval.rate:.1f}" for interval in judged.legibility_by_digit.values()]
        digits[2] += [str(interval.n) for interval in judged.legibility_by_digit.values()]
        text += f"\n\n{table(digits)}"
    if judged.truth_by == "reader":
        text += "\n\nno labels: the truth is what the reader reads in the clean image, where it is at least 99 % sure"
    if judged.no_legibility:
        text += f"\n\nno legibility: {judged.no_legibility}"
    if judged.interrupted:
        text += "\n\ninterrupted: the baselines that are missing were not scored"
    return text


def _cells(scores: Scores) -> list[str]:
    return [
        f"{scores.bce:.4f}",
        f"{scores.mse:.5f}",
        "∞" if scores.psnr_db is None else f"{scores.psnr_db:.2f}",
        "–" if scores.ssim is None else f"{scores.ssim:.3f}",
        share(scores.legibility.denoised) if scores.legibility else "–",
    ]
