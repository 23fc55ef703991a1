"""Write docs/results.md from the runs stored in docs/runs.

    python tools/make_results.py [--add RUN...]

`--add` first stores the `run.json` of finished run folders, which `smidgen train` leaves, under the
name of task, network, parameters and seed. Runs of one task, network and size are averaged over
their seeds.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
TITLE = """# Results

Made by `python tools/make_results.py` from the runs in [runs/](runs); everything was chosen on validation. ± is the
standard deviation over training seeds. BCE cannot reach 0 on grey targets: the floor is their own entropy. *Legible* is
the share of digits that the shipped reader, trained on clean digits only, reads as labelled, with its 95 % Wilson
interval (of the seed that reads worst). Strengths of the classical denoisers were chosen on validation.
"""
METRICS = (("bce", "{:.4f}"), ("mse", "{:.2e}"), ("psnr_db", "{:.2f}"), ("ssim", "{:.3f}"))


def store(folder: Path) -> Path:
    """Copy a run's record into docs/runs."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    name = f"{run['dataset']['name']}-{run['spec']['kind']}-{run['evaluation']['num_parameters']}"
    path = DOCS / "runs" / f"{name}-seed{run['settings']['seed']}-{run['evaluation']['split']}.json"
    path.parent.mkdir(exist_ok=True)
    run["evaluation"]["model"] = path.stem  # not where it lay when it was judged
    del run["command"]
    path.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return path


def spread(values: list[float], form: str) -> str:
    """Mean and standard deviation."""
    mean = form.format(statistics.mean(values))
    return f"{mean} ± {form.format(statistics.stdev(values))}" if len(values) > 1 else mean


def legibility(scores: list[dict[str, Any]]) -> str:
    found = [score["legibility"].get("denoised", score["legibility"]) for score in scores if score.get("legibility")]
    if not found:
        return "–"
    worst = min(found, key=lambda interval: interval["rate"])
    return f"{statistics.mean(f['rate'] for f in found):.2%} ({worst['low']:.2%} to {worst['high']:.2%})"


def minutes(runs: list[dict[str, Any]]) -> str:
    """Core-minutes of training; runs on one thread tell them by the clock."""
    found = []
    for run in runs:
        cores = [record.get("core_seconds") for record in run["history"]]
        if None not in cores:
            found.append(sum(cores) / 60)
        elif run["settings"]["threads"] == 1:
            found.append(run["seconds"] / 60)
    return f"{statistics.mean(found):.0f}" if found else "–"


def table(split: str, groups: dict[tuple[str, int], list[dict[str, Any]]]) -> list[str]:
    """The networks of one task, the best first, then what needs no training."""
    first = next(iter(groups.values()))[0]["evaluation"]
    floor = first["scores"]["bce_floor"]
    lines = [
        f"{first['n']:,} pairs of the {split} part.\n",
        f"| | parameters | seeds | BCE (floor {floor:.4f}) | MSE | PSNR dB | SSIM | legible | core-minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ordered = sorted(groups.items(), key=lambda item: item[1][0]["evaluation"]["scores"]["mse"])
    for (kind, parameters), runs in ordered:
        scores = [run["evaluation"]["scores"] for run in runs]
        cells = [spread([score[name] for score in scores], form) for name, form in METRICS]
        lines.append(
            f"| {kind} | {parameters:,} | {len(runs)} | {' | '.join(cells)} | {legibility(scores)} | {minutes(runs)} |"
        )
    for name, scores in first["baselines"].items():
        cells = [form.format(scores[metric]) for metric, form in METRICS]
        lines.append(f"| {name} | – | – | {' | '.join(cells)} | {legibility([scores])} | – |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", nargs="+", type=Path, default=[], metavar="RUN")
    for folder in parser.parse_args().add:
        print(store(folder))
    tasks: dict[tuple[str, str], dict[tuple[str, int], list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted((DOCS / "runs").glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        judged = run["evaluation"]
        tasks[judged["pairs"], judged["split"]][run["spec"]["kind"], judged["num_parameters"]].append(run)
    sections = [TITLE]
    for (task, split), groups in sorted(tasks.items()):
        sections.append("\n".join([f"## {task}, {split}\n", *table(split, groups)]) + "\n")
    (DOCS / "results.md").write_text("\n".join(sections), encoding="utf-8")
    print(DOCS / "results.md")


if __name__ == "__main__":
    main()
