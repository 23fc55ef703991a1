"""Write docs/results.md and its pictures from the runs stored in docs/runs.

    python tools/make_results.py [--add RUN...] [--pictures DATA] [--sample]

`--add` first stores the `run.json` of finished run folders, which `smidgen train` leaves and the
programs in benchmarks/ that train other networks, under the name of task, network, parameters and
seed. Runs of one task, network and size are averaged over their seeds. `--pictures` also draws the
first ten and the ten worst test images of each model that ships, from the full data in that folder, and made pages.
`--sample` scores each of these models again on the sample that ships, which tests hold later ones against.
"""

import argparse
import json
import re
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from smidgen.data.collection import stack
from smidgen.data.tasks import DEFAULT_TASK, PAGES_TASK, STAMP_TASKS, example_pairs, load_task
from smidgen.errors import plural
from smidgen.judging.digits import Digits
from smidgen.judging.evaluate import evaluate
from smidgen.judging.legibility import find_truth
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model, zoo_names
from smidgen.runs.figures import draw_front, draw_strip
from smidgen.training.losses import mse

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = DOCS / "pictures"
SAMPLE, SAMPLE_SIZE = DOCS / "runs" / "sample.jsonl", 1000
TITLE = """# Results

Made by `python tools/make_results.py` from the runs in [runs/](runs); everything was chosen on validation. ± is the
standard deviation over training seeds. BCE cannot reach 0 on grey targets: the floor is their own entropy. *Legible* is
the share of digits that the shipped reader, trained on clean digits only, reads as labelled, with its 95 % Wilson
interval (of the seed that reads worst). Strengths of the classical denoisers were chosen on validation. `unet` is an
ordinary U-Net without a budget (`benchmarks/unet.py`) in a training of so many epochs, the ceiling for scale; a longer
one would come further. `keras.io example` is the autoencoder of that page, trained by its own recipe
(`benchmarks/keras_example.py`).

The pyramids are made by `smidgen train TASK --threads 1 --split test` with the options that [shipping.md](shipping.md)
gives, 3,527 numbers in one pass by `--epochs 26 --seed 0` (1, 2), the length that the recipe takes by itself. `plain`,
the classic autoencoder, is made by `smidgen train TASK --network plain --split test`: batches of 128, Adam at 1e-3,
patience 5; on digits-on-garments it stopped after 80 epochs. Core-minutes of pyramids are those of the engine (EPYC,
Zen 5), of all others those of torch (Zen 3), which took nine times as long for a pyramid. Each pass over the pyramid
takes as long as the first, wherever the model runs.
"""
PHOTOGRAPHS = """## Photographs in noise, by the field's protocol

Grey pictures, whole, in noise of 15, 25 and 50 of 255; PSNR in dB of each after clipping, averaged over pictures. All
denoisers get the same noise in one run of `benchmarks/photographs.py`; seconds are those of one core a megapixel. BM3D
(PyPI) and non-local means are told the noise; strengths were chosen on the last 40 pictures of Train400.

| | parameters | BSD68 15 | 25 | 50 | Set12 15 | 25 | 50 | seconds |
|---|---|---|---|---|---|---|---|---|"""
PUBLISHED = """Published, BSD68:

| | parameters | 15 | 25 | 50 |
|---|---|---|---|---|
| BM3D | – | 31.07 | 28.57 | 25.62 |
| WCRR-NN, one model for 0 to 30 | 13,763 | 31.21 | 28.68 | – |
| DCT2net | 29 k | 31.09 | 28.64 | 25.68 |
| tiny-GDLNet, in its authors' code | 8 k | 31.37 | 28.92 | 26.00 |
| TNRD | 26.6 k | 31.42 | 28.92 | 25.97 |
| DnCNN-small | 66 k | 31.54 | 29.05 | 26.08 |
| DnCNN | 556 k | 31.73 | 29.23 | 26.23 |
| DRUNet | 32 M | 31.91 | 29.48 | 26.59 |

Set12: BM3D 32.37, 29.97, 26.72; DnCNN 32.86, 30.44, 27.18. Sources: the READMEs of cszn/DnCNN and cszn/DPIR, nikopj's
small_nets, axgoujon/weakly_convex_ridge_regularizer and sherbret/DCT2net.
"""
METRICS = (("bce", "{:.4f}"), ("mse", "{:.2e}"), ("psnr_db", "{:.2f}"), ("ssim", "{:.3f}"))
Groups = dict[tuple[str, int], list[dict[str, Any]]]


def store(folder: Path) -> Path:
    """Copy a run's record into docs/runs."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    kind = re.sub(r"[^A-Za-z0-9]+", "-", run["spec"]["kind"].split(",")[0])
    passes = run["spec"].get("passes", 1)
    name = f"{run['origin']['name']}-{kind}{f'-{passes}-passes' if passes > 1 else ''}"
    name += f"-{run['evaluation']['num_parameters']}"
    path = DOCS / "runs" / f"{name}-seed{run['recipe']['seed']}-{run['evaluation']['split']}.json"
    path.parent.mkdir(exist_ok=True)
    run["evaluation"]["model"] = path.stem  # not where it lay when it was judged
    del run["command"]
    path.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return path


def label(run: dict[str, Any]) -> str:
    kind, passes = str(run["spec"]["kind"]), run["spec"].get("passes", 1)
    if kind == "unet":
        return f"{kind}, {run['recipe']['epochs']} epochs"
    return f"{kind}, {passes} passes" if passes > 1 else kind


def spread(values: list[float], form: str) -> str:
    """Mean and standard deviation."""
    mean = form.format(statistics.mean(values))
    return f"{mean} ± {form.format(statistics.stdev(values))}" if len(values) > 1 else mean


def legibility(scores: list[dict[str, Any]]) -> str:
    found = [score["legibility"]["denoised"] for score in scores if score["legibility"]]
    if not found:
        return "–"
    worst = min(found, key=lambda interval: interval["rate"])
    return f"{statistics.mean(f['rate'] for f in found):.2%} ({worst['low']:.2%} to {worst['high']:.2%})"


def minutes(runs: list[dict[str, Any]]) -> str:
    """Core-minutes of training; of runs that kept none, the most that their threads can have taken by the clock."""
    found, most = [], ""
    for run in runs:
        cores = [record.get("core_seconds") for record in run["history"]]
        if None in cores:
            cores, most = [run["seconds"] * run["recipe"]["threads"]], "≤ "
        found.append(sum(cores) / 60)
    return f"{most}{statistics.mean(found):.0f}"


def table(split: str, groups: Groups) -> list[str]:
    """The networks of one task, the best first, then what needs no training."""
    # The record that was judged beside most of them; all were judged on the same pairs.
    first = max((runs[0]["evaluation"] for runs in groups.values()), key=lambda judged: len(judged["baselines"]))
    floor = first["scores"]["bce_floor"]
    lines = [
        f"{first['n']:,} pairs of the {split} part.\n",
        f"| | parameters | seeds | BCE (floor {floor:.4f}) | MSE | PSNR dB | SSIM | legible | core-minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ordered = sorted(groups.items(), key=lambda item: item[1][0]["evaluation"]["scores"]["mse"])
    for (name, parameters), runs in ordered:
        scores = [run["evaluation"]["scores"] for run in runs]
        cells = [f"{parameters:,}", str(len(runs))] if parameters else ["–", "–"]
        cells += [spread([score[metric] for score in scores], form) for metric, form in METRICS]
        cells += [legibility(scores), minutes(runs) if parameters else "–"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, scores in first["baselines"].items():
        cells = [form.format(scores[metric]) for metric, form in METRICS]
        strength = f", strength {first['strengths'][name]:g}" if first["strengths"][name] else ""
        lines.append(f"| {name}{strength} | – | – | {' | '.join(cells)} | {legibility([scores])} | – |")
    if reading := first["scores"]["legibility"]:
        clean = {"legibility": {"denoised": reading["clean"]}}
        lines.append(f"| the clean images | – | – | {floor:.4f} | 0 | ∞ | 1 | {legibility([clean])} | – |")
    return [*lines, *covered(groups, first["baselines"])]


def covered(groups: Groups, baselines: dict[str, Any]) -> list[str]:
    """How much of the way to the ceiling the best network within the default budget covers."""
    psnr = {
        name: statistics.mean(run["evaluation"]["scores"]["psnr_db"] for run in runs) for name, runs in groups.items()
    }
    ceilings = [value for (name, _), value in psnr.items() if name.startswith("unet")]
    ours = [value for (name, _), value in psnr.items() if name.startswith("pyramid")]
    if not (ceilings and ours and "doing nothing" in baselines):
        return []
    start = baselines["doing nothing"]["psnr_db"]
    share = (max(ours) - start) / (max(ceilings) - start)
    if share > 1:
        return [f"\nThe best pyramid is ahead of the U-Net by {max(ours) - max(ceilings):.2f} dB."]
    return [f"\nIn dB, the best pyramid covers {share:.0%} of the way from doing nothing to the U-Net."]


def draw_task_front(groups: Groups) -> None:
    """What each budget buys, from the runs of the default task."""

    def points(wanted: bool) -> list[tuple[str, int, float]]:
        found: dict[tuple[str, int], float] = {}
        for (name, parameters), runs in groups.items():
            if name.startswith("pyramid") == wanted:
                place = (f"{parameters:,}" if wanted else name, parameters)
                error = statistics.mean(run["evaluation"]["scores"]["mse"] for run in runs)
                found[place] = min(error, found.get(place, error))
        return [(*place, error) for place, error in found.items()]

    (PICTURES / "front.png").write_bytes(draw_front(points(True), points(False)))


def draw_strips(data: Path) -> None:
    """The first ten and the ten worst test images of each model that ships; photographs may not be passed on."""
    for name in zoo_names():
        task = max((task for task in STAMP_TASKS if name.startswith(task)), key=len, default=None)
        if task is None:
            continue
        pairs = load_task(task, data).test
        denoised = Runtime(find_model(name)).denoise(pairs.noisy)
        found = find_truth(Digits(), pairs)
        truth = None if isinstance(found, str) else found[0]
        reading = Digits().read(denoised) if truth else None
        for what, order in (("first", np.arange(10)), ("worst", np.argsort(-mse(denoised, pairs.clean))[:10])):
            strip = draw_strip(pairs, denoised, reading, truth, order)
            (PICTURES / f"{name}-{what}.png").write_bytes(strip)


def draw_pages() -> None:
    """A part of the first eight made test pages, noisy above and denoised below, at half their size."""
    noisy = stack(load_task(PAGES_TASK).test.first(8).noisy, range(8))
    denoised = Runtime(find_model(PAGES_TASK)).denoise(noisy)
    columns = np.concatenate([images[:, 200:560, 60:460, 0] for images in (noisy, denoised)], 1)
    sheet = np.concatenate([np.concatenate(list(row), 1) for row in (columns[:4], columns[4:])])
    picture = Image.fromarray(np.rint(255 * np.clip(sheet, 0, 1)).astype(np.uint8))
    picture.reduce(2).quantize(16).save(PICTURES / "pages-first.png", optimize=True)


def odd_table() -> list[str]:
    """Pairs the recipe was not made for, from what `benchmarks/odd_corruptions.py` printed into docs/runs/odd.jsonl."""
    path = DOCS / "runs" / "odd.jsonl"
    if not path.exists():
        return []
    lines = [
        "## Pairs it was not made for\n",
        "Default spec and recipe, two passes where it says so; MSE on the first 200 test images "
        "(`benchmarks/odd_corruptions.py`). Classical are median, total variation, wavelet, non-local means and BM3D, "
        "and Wiener deconvolution where there is blur, with strengths chosen on validation. The pyramid is ahead of "
        "the best of them on nine of the ten; on photographs with nothing but Gaussian noise BM3D errs 0.7 % less.\n",
        "| pairs | doing nothing | best classical | pyramid | parameters | core-minutes |",
        "|---|---|---|---|---|---|",
    ]
    for line in path.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        passes, nothing = found["passes"], found["classical"].pop("doing nothing")
        best = min(found["classical"], key=found["classical"].__getitem__)
        lines.append(
            f"| {found['name']}{f', {passes} passes' if passes > 1 else ''} | {nothing:.2e} "
            f"| {found['classical'][best]:.2e} ({best}) | {found['mse']:.2e} | {found['num_parameters']:,} "
            f"| {found['core_minutes']:.0f} |"
        )
    return ["\n".join(lines) + "\n"]


def photographs_table() -> list[str]:
    """What `benchmarks/photographs.py` left in docs/runs/photographs.jsonl, beside what is published."""
    path = DOCS / "runs" / "photographs.jsonl"
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        groups[line["denoiser"], line.get("num_parameters", 0)].append(line)
    columns = [(name, sigma) for name in ("bsd68", "set12") for sigma in (15, 25, 50)]
    rows = []
    for (denoiser, parameters), found in groups.items():
        scored = [line for line in found if "set" in line]
        cells = []
        for column in columns:
            values = [line["psnr_db"] for line in scored if (line["set"], line["sigma"]) == column]
            cells.append(spread(values, "{:.2f}") if values else "–")
        seconds = statistics.mean(line["seconds_a_megapixel"] for line in scored)
        seeds = len({line["seed"] for line in scored if "seed" in line})
        name = f"{denoiser}, {plural(seeds, 'seed')}" if seeds else denoiser
        rows.append(f"| {name} | {f'{parameters:,}' if parameters else '–'} | {' | '.join(cells)} | {seconds:.2g} |")
    return ["\n".join([PHOTOGRAPHS, *rows, "", *returned(groups), *against_bm3d(lines), PUBLISHED])]


def returned(groups: dict[tuple[str, int], list[dict[str, Any]]]) -> list[str]:
    """How models that know clean pictures give these back."""
    found = []
    for (denoiser, parameters), lines in groups.items():
        if values := [line["psnr_db"] for line in lines if line.get("set") == "bsd68" and line["sigma"] == 0]:
            found.append(f"{spread(values, '{:.1f}')} dB by {denoiser} ({parameters:,})")
    return [f"BSD68 without any noise comes back at {', '.join(found)}.\n"] if found else []


def against_bm3d(lines: list[dict[str, Any]]) -> list[str]:
    """On how many pictures models are ahead of BM3D, and where they lie behind most."""
    found = []
    for line in lines:
        if "worst" in line:
            worst = ", ".join(f"{number + 1} ({difference:+.2f})" for number, difference in line["worst"])
            found.append(
                f"- {line['denoiser']} ({line['num_parameters']:,}, seed {line['seed']}) at {line['sigma']}: ahead on "
                f"{line['ahead']} of {line['of']} pictures; worst on {worst}"
            )
    return ["Against BM3D, picture by picture of BSD68, in dB:\n", *found, ""] if found else []


def cameras_table() -> list[str]:
    """What `benchmarks/camera_noise.py` left in docs/runs/camera_noise.jsonl."""
    path = DOCS / "runs" / "camera_noise.jsonl"
    if not path.exists():
        return []
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    ways = list(found[0]["psnr_db"])
    lines = [
        "## Noise that a model was not made for\n",
        f"The first {found[0]['pictures']} pictures of BSD68, whole, PSNR in dB. White noise is Gaussian of 20/255; a "
        "camera's is `camera-noise` of 0.04; JPEG is of quality 85. BM3D is told the deviation in each picture "
        "(`benchmarks/camera_noise.py`).\n",
        f"| noise | {' | '.join(ways)} |",
        "|---|" + "---|" * len(ways),
        *(f"| {line['noise']} | {' | '.join(format(line['psnr_db'][way], '.2f') for way in ways)} |" for line in found),
        "\nWhite noise, with textures that go with it; and a camera's, without and with JPEG:\n",
        "![Parts of four photographs in noise, as each model leaves them, and clean](pictures/camera-noise.png)",
    ]
    return ["\n".join(lines) + "\n"]


def score_on_the_sample() -> None:
    """Each model that ships on its task's pairs of the embedded sample, into docs/runs/sample.jsonl."""
    lines = []
    for name in zoo_names():
        runtime = Runtime(find_model(name))
        task = runtime.info.origin.name
        pairs = example_pairs(task, SAMPLE_SIZE)
        judged = evaluate(runtime, pairs, name=task, split="test", val=pairs, with_baselines=False)
        scores = judged.evaluation.scores
        legible = scores.legibility.denoised.rate if scores.legibility else None
        found = {"name": name, "pairs": task, "n": len(pairs), "psnr_db": scores.psnr_db, "legible": legible}
        lines.append(json.dumps(found) + "\n")
    SAMPLE.write_text("".join(lines), encoding="utf-8")


def sample_table() -> list[str]:
    """The models that ship on the embedded sample, beside what their files say of the whole test part."""
    lines = [
        "## On the sample\n",
        "The models that ship on those images of their task that the package holds, and on the whole test part. "
        "`make test` holds them to the former, to a hundredth.\n",
        "| | images | PSNR dB | whole | legible | whole |",
        "|---|---|---|---|---|---|",
    ]
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        whole = Runtime(find_model(found["name"])).info.judged.scores
        legible = "– | –"
        if found["legible"] is not None:
            legible = f"{found['legible']:.2%} | {whole.legibility.denoised.rate:.2%}"
        lines.append(f"| {found['name']} | {found['n']:,} | {found['psnr_db']:.2f} | {whole.psnr_db:.2f} | {legible} |")
    return ["\n".join(lines) + "\n"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", nargs="+", type=Path, default=[], metavar="RUN")
    parser.add_argument("--pictures", type=Path, metavar="DATA")
    parser.add_argument("--sample", action="store_true")
    args = parser.parse_args()
    for folder in args.add:
        print(store(folder))
    tasks: dict[tuple[str, str], Groups] = defaultdict(lambda: defaultdict(list))
    for path in sorted((DOCS / "runs").glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        judged = run["evaluation"]
        tasks[judged["pairs"], judged["split"]][label(run), judged["num_parameters"]].append(run)
    PICTURES.mkdir(exist_ok=True)
    if args.pictures:
        draw_strips(args.pictures)
        draw_pages()
    if args.sample:
        score_on_the_sample()
    draw_task_front(tasks[DEFAULT_TASK, "test"])
    sections = [TITLE]
    for (task, split), groups in sorted(tasks.items()):
        lines = [f"## {task}, {split}\n", *table(split, groups)]
        if split == "test":
            lines += ["", *([f"![{task}: error against parameters](pictures/front.png)"] * (task == DEFAULT_TASK))]
            lines += [
                f"![{task}: the {what} ten test images of the model that ships](pictures/{task}-{what}.png)"
                for what in ("first", "worst")
                if (PICTURES / f"{task}-{what}.png").exists()
            ]
        sections.append("\n".join(lines) + "\n")
    (DOCS / "results.md").write_text(
        "\n".join([*sections, *photographs_table(), *cameras_table(), *odd_table(), *sample_table()]), encoding="utf-8"
    )
    print(DOCS / "results.md")


if __name__ == "__main__":
    main()
