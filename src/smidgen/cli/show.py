"""What the terminal shows of scores and runs: tables, rates, durations."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from smidgen.data.origin import RECORRUPTED, TWO_SHOTS
from smidgen.errors import plural, show_text
from smidgen.model.records import Misread, Scores, TextErrors, to_plain
from smidgen.model.runtime import MODEL_FILE

if TYPE_CHECKING:
    from smidgen.judging.baselines import Strength
    from smidgen.judging.evaluate import Evaluation
    from smidgen.runs.run import Run

HOW = {TWO_SHOTS: "two shots", RECORRUPTED: "the noise found in single shots"}
SCORES = ("BCE", "MSE", "PSNR dB", "legible")


def out(*blocks: str) -> None:
    """Print what people are to read: all that commands say on standard output, but for JSON and model cards.

    What cannot be shown is escaped, since names and what files hold may be anything. A text that may hold line breaks
    of its own is to be taken through `show_text` before it becomes part of a block.
    """
    for block in blocks:
        print("\n".join(map(show_text, block.split("\n"))))


def result(found: object, text: str, *, as_json: bool) -> None:
    """Print what a command found: as one JSON object where `--json` asks for it, else as text."""
    if as_json:
        print(json.dumps(to_plain(found)))
    else:
        out(text)


def table(rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)) -> str:
    """Rows as aligned columns, the first row as the header; the columns `left` to the left, the others to the right."""
    rows = [[show_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def score_cells(scores: Scores) -> list[str]:
    """One cell for each of `SCORES`."""
    return [f"{scores.bce:.4f}", f"{scores.mse:.2e}", _psnr(scores), legible(scores)]


def legible(scores: Scores) -> str:
    """The share of the denoised images that is read as what it is."""
    return f"{scores.legibility.denoised.rate:.1%}" if scores.legibility else "–"


def _psnr(scores: Scores) -> str:
    return "∞" if scores.psnr_db is None else f"{scores.psnr_db:.2f}"


def strength_text(strength: "Strength") -> str:
    """A baseline's constants; nothing where it has none."""
    constants = strength if isinstance(strength, tuple) else (strength,) if strength else ()
    return ", ".join(f"{constant:g}" for constant in constants)


def duration(seconds: float) -> str:
    """Seconds as `1:02:03`."""
    return str(timedelta(seconds=round(seconds)))


def scores_text(judged: "Evaluation") -> str:
    """The model and the baselines, one row each, and legibility digit by digit."""
    if judged.scores is None:
        return estimate_text(judged)
    rows = [["", "BCE", "MSE", "PSNR dB", "SSIM", "legible (95% interval)"]]
    rows.append([f"model, {plural(judged.num_parameters, 'parameter')}", *_cells(judged.scores)])
    for name, scores in judged.baselines.items():
        rows.append([f"{name} {strength_text(judged.strengths[name])}".rstrip(), *_cells(scores)])
    floor = judged.scores.bce_floor
    if judged.scores.legibility:
        rows.append(["clean images", f"{floor:.4f}", "0", "∞", "1.000", str(judged.scores.legibility.clean)])
    part = "whole" if judged.split == "all" else f"{judged.split} part"
    parts = [f"{show_text(judged.pairs)}, {part}, {plural(judged.n, 'pair')} (BCE floor {floor:.4f})", table(rows)]
    if judged.legibility_by_digit:
        digits = [["digit", *judged.legibility_by_digit], ["legible %"], ["images"]]
        digits[1] += [f"{100 * interval.rate:.1f}" for interval in judged.legibility_by_digit.values()]
        digits[2] += [str(interval.n) for interval in judged.legibility_by_digit.values()]
        parts.append(table(digits))
    if judged.scores.misread:
        parts.append(_misread_text(judged, judged.scores.misread))
    if judged.truth_by == "reader":
        answer = "what the reader reads in the clean image"
        parts.append(
            f"no texts: {answer} counts as the truth"
            if judged.scores.misread
            else f"no labels: {answer} counts as the truth if it is 99% sure"
        )
    if judged.no_legibility:
        parts.append(f"no legibility: {judged.no_legibility}")
    if judged.left_out:
        parts.append(judged.left_out)
    if judged.interrupted:
        parts.append("interrupted: the missing baselines were not scored")
    return "\n\n".join(parts)


def estimate_text(judged: "Evaluation") -> str:
    """What is known of a model where there are no clean images."""
    found = judged.estimate
    if found is None:
        return "not judged"
    psnr, low, high = found.psnr_db
    part = "all images" if judged.split == "all" else f"{judged.split} part"
    facts = {
        "estimated MSE": f"{found.mse:.3g} ({found.low:.3g} to {found.high:.3g}, 95%)",
        "that is": f"PSNR {psnr:.2f} dB ({low:.2f} to {high:.2f})",
        "noisy images": f"{found.noise_mse:.3g}",
        "whiteness": "–" if found.whiteness is None else f"neighbours in the residual correlate {found.whiteness:+.3f}",
        "structure": "–" if found.structure is None else f"{found.structure:.2f} of what noise has, in blocks of 8 x 8",
    }
    head = (
        f"{show_text(judged.pairs)}, {part}, {plural(judged.n, 'image')}; no clean ones: estimated from {HOW[found.by]}"
    )
    return "\n".join([head, "", *(f"{name + ':':<15}{fact}" for name, fact in facts.items())])


def _misread_text(judged: "Evaluation", found: Misread) -> str:
    """What was read wrong of the text of pages, one row each."""
    rows = [["CER: characters read wrong", "of all (95% interval)", "mean of pages", "worst tenth", "WER"]]
    rows.append(["model", *_error_cells(found.denoised)])
    for name, scores in judged.baselines.items():
        if scores.misread:
            rows.append([name, *_error_cells(scores.misread.denoised)])
    rows.append(["clean images", *_error_cells(found.clean)])
    return table(rows)


def _error_cells(errors: TextErrors) -> list[str]:
    return [str(errors), f"{errors.mean:.1%}", f"{errors.worst_tenth:.1%}", f"{errors.wer:.1%}"]


def _cells(scores: Scores) -> list[str]:
    return [
        f"{scores.bce:.4f}",
        f"{scores.mse:.5f}",
        _psnr(scores),
        "–" if scores.ssim is None else f"{scores.ssim:.3f}",
        str(scores.legibility.denoised) if scores.legibility else "–",
    ]


def run_text(run: "Run") -> str:
    """The scores of a run, how its training went and where its files are."""
    record = run.record
    images = "images" if record.origin.without_clean else "pairs"
    last = ", the last of which is kept" if record.recipe.keep == "last" else ""
    facts = {
        "verdict": f"{record.verdict.fit} ({'; '.join(record.verdict.reasons)})",
        images: ", ".join(f"{size:,} {part}" for part, size in record.origin.sizes.items()),
        "made by": str(record.origin.corrupted or ""),
        "learned": f"from {record.origin.without_clean}" if record.origin.without_clean else "",
        "scale": record.scales.reason,
        "training": f"{record.ending} after {plural(record.epochs_done, 'epoch')}{last}, {duration(record.seconds)}",
        "model": run.folder / MODEL_FILE,
        "report": run.report,
    }
    lines = [f"{name + ':':<10}{show_text(str(fact))}" for name, fact in facts.items() if fact]
    return "\n".join([scores_text(record.evaluation), "", *lines])
