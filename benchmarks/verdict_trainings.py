"""The trainings that `verdict.py` judges: short ones of several tasks, recipes and lengths."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from smidgen.data.collection import Images
from smidgen.data.corruptions import add_noise
from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.data.stamps import FreshSource
from smidgen.data.tasks import DEFAULT_TASK, SAMPLE_TASK, load_task
from smidgen.network.spec import PlainSpec, default_spec
from smidgen.training.losses import bce, bce_floor, mse
from smidgen.training.recipe import default_recipe
from smidgen.training.train import train

RUNS = Path(__file__).parents[1] / "docs" / "runs" / "verdict.jsonl"
VALIDATED_ON = 300
SMALL_DIGITS, PHOTOGRAPHS, HALVED = "small-digits", "photographs", "digits-on-garments-halved"
CROP = 24
SIGMA_OF_PHOTOGRAPHS = 25 / 255


@dataclass(frozen=True)
class Ladder:
    """Trainings of the same pairs and recipe that differ in length.

    Attributes:
        task: a named task, or one of the three made here.
        pairs: how many to train on, the first of the set.
        budget: of the default network; None for `plain` and its recipe without patience.
        epochs: each the double of the one before; of constant rate only the longest is trained.
        fresh: whether noise and partners are drawn anew each epoch.
        chosen: settings that differ from the recipe's.
    """

    task: str
    pairs: int
    budget: int | None
    epochs: tuple[int, ...]
    fresh: bool = False
    chosen: tuple[tuple[str, Any], ...] = ()


def _doubled(first: int, times: int) -> tuple[int, ...]:
    return tuple(first * 2**i for i in range(times + 1))


LADDERS = (
    Ladder(HALVED, 6000, 450, _doubled(13, 3), fresh=True),
    Ladder(HALVED, 6000, 3600, _doubled(13, 2), fresh=True),
    Ladder(SMALL_DIGITS, 1000, 450, _doubled(5, 6), fresh=True),
    Ladder(SMALL_DIGITS, 1000, 3600, _doubled(5, 5), fresh=True),
    Ladder(SMALL_DIGITS, 1000, 450, _doubled(5, 5)),
    Ladder(SMALL_DIGITS, 1000, 3600, _doubled(5, 4)),
    Ladder(SMALL_DIGITS, 100, 3600, _doubled(20, 4)),
    Ladder(SMALL_DIGITS, 100, 450, _doubled(20, 4)),
    Ladder(SMALL_DIGITS, 1000, 3600, _doubled(10, 2), chosen=(("learning_rate", 0.5),)),
    Ladder(SMALL_DIGITS, 1000, 450, _doubled(10, 2), chosen=(("learning_rate", 1e-3),)),
    Ladder(SMALL_DIGITS, 1000, 1800, _doubled(10, 2), chosen=(("optimizer", "adam"),)),
    Ladder(SMALL_DIGITS, 1000, None, (200,)),
    Ladder(SMALL_DIGITS, 100, None, (800,)),
    Ladder(SMALL_DIGITS, 1000, None, (100,), chosen=(("learning_rate", 1e-2),)),
    Ladder(SMALL_DIGITS, 1000, None, (80,), chosen=(("learning_rate", 0.1),)),
    Ladder(PHOTOGRAPHS, 60, 3600, _doubled(20, 3)),
    Ladder(PHOTOGRAPHS, 60, 450, _doubled(20, 4), chosen=(("loss", "mse"),)),
    Ladder(PHOTOGRAPHS, 600, 900, _doubled(5, 3)),
    Ladder(PHOTOGRAPHS, 600, 3600, _doubled(5, 3), chosen=(("loss", "mse"),)),
    Ladder(PHOTOGRAPHS, 60, None, (400,)),
    Ladder(PHOTOGRAPHS, 600, None, (120,), chosen=(("loss", "mse"),)),
    Ladder("digits-on-garments", 300, 3600, _doubled(10, 4)),
    Ladder("digits-on-garments", 300, 450, _doubled(10, 3)),
    Ladder("digits-on-garments", 2000, 1800, _doubled(5, 2)),
    Ladder("digits-on-garments", 300, None, (300,)),
    Ladder("digits-on-garments", 1000, None, (80,), chosen=(("learning_rate", 5e-3),)),
    Ladder("digits-under-garments", 1000, 3600, _doubled(5, 3)),
    Ladder("digits-under-garments", 600, 450, _doubled(5, 3)),
    Ladder("digits-under-garments", 600, 100, _doubled(5, 3)),
    Ladder("digits-under-garments", 150, 1800, _doubled(20, 2)),
    Ladder("digits-under-garments", 1000, None, (80,)),
    Ladder("digits-in-noise", 1000, 450, _doubled(5, 3), fresh=True),
    Ladder("digits-in-noise", 300, 3600, _doubled(10, 3)),
    Ladder("digits-in-noise", 1000, None, (100,), fresh=True),
    Ladder("garments-in-noise", 300, 450, _doubled(10, 4), fresh=True),
    Ladder("garments-in-noise", 600, 450, _doubled(5, 2), chosen=(("learning_rate", 0.3),)),
    Ladder("garments-in-noise", 150, 3600, _doubled(20, 2)),
    Ladder("garments-in-noise", 600, None, (100,)),
    Ladder(SAMPLE_TASK, 6000, 3600, _doubled(14, 1), fresh=True),
)


def _small_digits(pairs: int, fresh: bool) -> Dataset:
    """scikit-learn's 8 x 8 digits in noise of 0.4, as in `digits-in-noise`; the last ones for validation."""
    images = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    source, val = (
        FreshSource(part, None, np.zeros(len(part), np.int64), add_noise)
        for part in (images[:pairs], images[-VALIDATED_ON:])
    )
    return _dataset(SMALL_DIGITS, source if fresh else _fix(source, 1), _fix(val, 0))


def _photographs(data: Path, pairs: int) -> Dataset:
    """A crop of each of the first 360 photographs in turn, and of each of the last 40 for validation."""
    pictures = [np.asarray(Image.open(path)) for path in sorted((data / "bsd" / "train400").glob("*.png"))]
    generator = np.random.default_rng(0)

    def crops(chosen: list[np.ndarray], n: int) -> Pairs:
        images: Images = np.empty((n, CROP, CROP, 1), np.float32)
        for i, image in enumerate(images):
            picture = chosen[i % len(chosen)]
            top, left = (generator.integers(size - CROP + 1) for size in picture.shape)
            image[..., 0] = picture[top : top + CROP, left : left + CROP] / 255
        noise = generator.standard_normal(images.shape, dtype=np.float32)
        return Pairs(images + np.float32(SIGMA_OF_PHOTOGRAPHS) * noise, images)

    return _dataset(PHOTOGRAPHS, crops(pictures[:360], pairs), crops(pictures[360:], 200))


def _task(name: str, data: Path, pairs: int, fresh: bool) -> Dataset:
    found = load_task(name, data)
    source = replace(found.train, clean=found.train.clean[:pairs], labels=found.train.labels[:pairs])
    return _dataset(name, source if fresh else _fix(source, 1), found.val.first(VALIDATED_ON))


def _halved(data: Path, pairs: int) -> Dataset:
    """`digits-on-garments` with each 2 x 2 pixels averaged, so that long trainings are short."""
    full = load_task(DEFAULT_TASK, data)
    source = replace(
        full.train,
        clean=_halve(full.train.clean[:pairs]).round().astype(np.uint8),
        other=_halve(full.train.other).round().astype(np.uint8),
        labels=full.train.labels[:pairs],
    )
    val = full.val.first(VALIDATED_ON)
    return _dataset(HALVED, source, Pairs(_halve(val.noisy), _halve(val.clean)))


def _halve(images: np.ndarray) -> np.ndarray:
    rows = (images[:, ::2].astype(np.float32) + images[:, 1::2]) / 2
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 2


def _fix(source: FreshSource, seed: int) -> Pairs:
    """One epoch of a source, to be shown again and again."""
    ((noisy, clean),) = next(source.batches(len(source), np.random.default_rng(seed)))
    return Pairs(noisy, clean)


def _dataset(name: str, source: FreshSource | Pairs, val: Pairs) -> Dataset:
    return Dataset(name=name, train=FixedSource(source) if isinstance(source, Pairs) else source, val=val, test=val)


def open_dataset(ladder: Ladder, data: Path) -> Dataset:
    if ladder.task == SMALL_DIGITS:
        return _small_digits(ladder.pairs, ladder.fresh)
    if ladder.task == PHOTOGRAPHS:
        return _photographs(data, ladder.pairs)
    if ladder.task == HALVED:
        return _halved(data, ladder.pairs)
    return _task(ladder.task, data, ladder.pairs, ladder.fresh)


def describe(ladder: Ladder, epochs: int) -> dict[str, Any]:
    """What tells a training from all others."""
    return {
        "task": ladder.task,
        "pairs": ladder.pairs,
        "fresh": ladder.fresh,
        "budget": ladder.budget,
        "chosen": dict(ladder.chosen),
        "epochs": epochs,
    }


KEYS = tuple(describe(LADDERS[0], 0))


def train_one(ladder: Ladder, epochs: int, data: Path) -> dict[str, Any]:
    """The record of a training, with its losses at six digits."""
    dataset = open_dataset(ladder, data)
    spec = PlainSpec() if ladder.budget is None else default_spec(ladder.budget)
    settings = default_recipe(spec, *dataset.measure(0), epochs=epochs, threads=1, **dict(ladder.chosen))
    trained = train(dataset, spec, replace(settings, patience=None))
    return describe(ladder, epochs) | _losses(trained.history, dataset.val.clean, settings.annealed, settings.loss)


def read_plain(file: Path, data: Path) -> dict[str, Any]:
    """The record of a stored training of `plain` on a full task, at a constant rate."""
    run = json.loads(file.read_text(encoding="utf-8"))
    found = load_task(run["origin"]["name"], data)
    ladder = Ladder(found.name, len(found.train), None, (), fresh=True)
    return describe(ladder, len(run["history"])) | _losses(run["history"], found.val.clean, False, "bce")


def _losses(history: list[dict[str, float]], clean: Images, annealed: bool, loss: str) -> dict[str, Any]:
    blank = np.full_like(clean, clean.mean())
    floor, start = (bce_floor(clean), bce(blank, clean)) if loss == "bce" else (0.0, mse(blank, clean).mean())
    return {
        "annealed": annealed,
        "floor": _rounded(floor),
        "start": _rounded(start),
        "loss": [_rounded(record["loss"]) for record in history],
        "val_loss": [_rounded(record["val_loss"]) for record in history],
    }


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def read_runs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()] if RUNS.exists() else []


def train_all(data: Path) -> None:
    """Train what the file does not hold yet."""
    done = [{key: run[key] for key in KEYS} for run in read_runs()]

    def keep(run: dict[str, Any]) -> None:
        with RUNS.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(run, separators=(",", ":")) + "\n")
        print({key: run[key] for key in KEYS}, flush=True)

    for ladder in LADDERS:
        for epochs in ladder.epochs:
            if describe(ladder, epochs) not in done:
                keep(train_one(ladder, epochs, data))
    for file in sorted(RUNS.parent.glob("*-plain-*.json")):
        run = read_plain(file, data)
        if {key: run[key] for key in KEYS} not in done:
            keep(run)
