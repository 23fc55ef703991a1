"""Scans cleaned by models and by what there was before, as Tesseract reads them and beside their clean counterparts.

    python benchmarks/pages.py [MODEL...] [--data FOLDER] [--only made,kaggle] [--first N] [--out MARKDOWN]

Beside each MODEL (a file, a run, a name) stand doing nothing, Tesseract's own Sauvola, Otsu, Sauvola, ISauvola, a grey
closing to divide by and a stretch, and unpaper where it is installed; their constants are those of lowest MSE on made
validation pages. FOLDER holds `documents/`, with

- made: the test pages of the task `pages`, which need no folder: CER against what they say, of those with a picture
  apart, too, and how many pages are read worse than untouched by more than 2 points;
- kaggle: 144 pairs of "denoising dirty documents": RMSE over all pixels, and CER of those of text B (number % 3 = 0)
  against Tesseract's reading of the clean image; images are shown to Tesseract twice as large;
- dibco: 21 printed pages of DIBCO 2009, 2011 and 2013: F-measure and PSNR of black and white, mean over pages, at the
  threshold 0.5 and at the one that suits each denoiser best;
- minerror, otsu: 48 pages of old books, black and white at 300 dpi by two thresholds: CER against transcripts;
- receipts: 40 photographed receipts: CER against the texts of their lines, from top to bottom.

CER is pooled: edits over characters, with a 95 % interval by the bootstrap over pages. Each score is kept in FILE
(runs/pages.jsonl) as it is made, so that the next run makes only what is missing; Tesseract takes seconds a page.
"""

import argparse
import hashlib
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smidgen.data.homes import data_folder
from smidgen.data.tasks import PAGES_TASK, load_task
from smidgen.files import make_folder
from smidgen.judging.baselines import PAGE_FILTERS, tune_baseline
from smidgen.judging.tesseract import Tesseract
from smidgen.judging.text import Mistakes, find_mistakes, sum_up
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
WORSE = 0.02
Grey = NDArray[np.float32]  # (H, W)


@dataclass(frozen=True)
class Page:
    """A page to clean; `clean`, `text` or whether it has a picture is None where that is not known."""

    noisy: Grey
    clean: Grey | None = None
    text: str | None = None
    pictured: bool | None = None


@dataclass(frozen=True)
class Pages:
    """Pages of one kind.

    Attributes:
        name: of the set.
        count: of its pages.
        page: the one at a place.
        reader: who reads them.
        read: whether the page at a place is to be read.
        score: what else there is to say of an image and the clean one.
        edition: tells them from pages that were made otherwise.
    """

    name: str
    count: int
    page: Callable[[int], Page]
    reader: Tesseract | None = None
    read: Callable[[int], bool] = lambda place: True
    score: Callable[[Grey, Grey], dict[str, Any]] = lambda made, clean: {}
    edition: str = ""


@dataclass(frozen=True)
class Cleaner:
    """What is scored: its name, what tells it from all others over several runs, and what it makes of a page.

    Attributes:
        clean: None for what leaves pages as they are.
        own: whether Tesseract is to use its own Sauvola.
        perfect: whether it is the clean page that is read.
    """

    name: str
    key: str
    clean: Callable[[Grey], Grey] | None = None
    own: bool = False
    perfect: bool = False


def load_grey(path: Path) -> Grey:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), np.float32) / 255


def square_error(made: Grey, clean: Grey) -> dict[str, Any]:
    return {"squares": float(((made - clean) ** 2).sum(dtype=np.float64)), "pixels": clean.size}


def binary_scores(made: Grey, clean: Grey) -> dict[str, Any]:
    """F-measure and PSNR in dB of black and white at each threshold; ink is what is to be found."""
    ink, found = clean <= 0.5, {"f": [], "psnr": []}
    for threshold in THRESHOLDS:
        black = made <= threshold
        hits, wrong = int((black & ink).sum()), float((black != ink).mean())
        found["f"].append(200 * hits / max(1, int(black.sum()) + int(ink.sum())))
        found["psnr"].append(-10 * np.log10(max(wrong, 1e-10)))
    return found


def made_pages() -> Pages:
    pairs = (task := load_task(PAGES_TASK)).test

    def page(place: int) -> Page:
        pictured = pairs.noisy.shelf.page(place).pictures > 0
        return Page(pairs.noisy[place][..., 0], pairs.clean[place][..., 0], pairs.texts[place], pictured)

    return Pages("made", len(pairs), page, Tesseract(layout=3), score=square_error, edition=task.fingerprint)


def kaggle(folder: Path) -> Pages:
    files = sorted((folder / "noisy").glob("*.png"), key=lambda file: int(file.stem))

    def page(place: int) -> Page:
        return Page(load_grey(files[place]), load_grey(folder / "clean" / files[place].name))

    reader = Tesseract(layout=3, enlarge=2)
    return Pages("kaggle", len(files), page, reader, lambda place: int(files[place].stem) % 3 == 0, square_error)


def dibco(folder: Path) -> Pages:
    files = sorted((folder / "noisy").iterdir())

    def page(place: int) -> Page:
        return Page(load_grey(files[place]), load_grey(next((folder / "clean").glob(f"{files[place].stem}.*"))))

    return Pages("dibco", len(files), page, score=binary_scores)


def old_books(folder: Path, kind: str) -> Pages:
    files = sorted((folder / kind).glob("*.png"))

    def page(place: int) -> Page:
        text = (folder / "text" / f"{files[place].stem}.txt").read_text(encoding="utf-8", errors="replace")
        return Page(load_grey(files[place]), text=text)

    return Pages(kind, len(files), page, Tesseract(layout=3))


def receipts(folder: Path) -> Pages:
    files = sorted((folder / "images").iterdir())

    def page(place: int) -> Page:
        lines = (folder / "boxes" / f"{files[place].stem}.csv").read_text(encoding="utf-8", errors="replace")
        texts = [line.split(",", 8)[8] for line in lines.splitlines() if line.count(",") >= 8]
        return Page(load_grey(files[place]), text="\n".join(texts))

    return Pages("receipts", len(files), page, Tesseract(layout=4))


SETS = ("made", "kaggle", "dibco", "minerror", "otsu", "receipts")


def open_set(name: str, data: Path | None) -> Pages:
    if name == "made":
        return made_pages()
    folder = data_folder(data)
    if folder is None:
        raise SystemExit(f"{name} needs --data, or SMIDGEN_DATA, with a folder documents/")
    documents = folder / "documents"
    if name in ("minerror", "otsu"):
        return old_books(documents / "old-books", name)
    if name == "dibco":
        return dibco(documents / "dibco-printed")
    return kaggle(documents / name) if name == "kaggle" else receipts(documents / name)


class Kept:
    """Scores by cleaner, set, reader and page, each written as soon as it is known."""

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._path, self._lock = path, threading.Lock()
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._found: dict[str, Any] = {json.dumps(key): found for key, found in map(json.loads, lines)}

    def find(self, *key: Any) -> Any:
        return self._found.get(json.dumps(key))

    def keep(self, found: Any, *key: Any) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            self._found[json.dumps(key)] = found
            file.write(json.dumps([key, found]) + "\n")


def baselines(kept: Kept) -> list[Cleaner]:
    """All but models, with their constants chosen on made validation pages, or as kept."""
    cleaners = [
        Cleaner("clean pages", "clean pages", perfect=True),
        Cleaner("doing nothing", "doing nothing"),
        Cleaner("Tesseract's Sauvola", "Tesseract's Sauvola", own=True),
    ]
    task = load_task(PAGES_TASK)
    for name, (filter_, choices) in PAGE_FILTERS.items():
        grid = hashlib.sha256(repr((choices, task.fingerprint)).encode()).hexdigest()[:8]
        constants = kept.find("constants", name, grid)
        if constants is None:
            constants = tune_baseline(name, filter_, choices, task.val).strength
            kept.keep(constants, "constants", name, grid)
        values = tuple(constants) if isinstance(constants, (list, tuple)) else ()
        print(f"{name}: {values}", flush=True)

        def clean(page: Grey, filter_: Callable[..., Any] = filter_, values: tuple[float, ...] = values) -> Grey:
            return filter_(page[..., None], *values)[..., 0]

        cleaners.append(Cleaner(name, f"{name} {values}", clean))
    return cleaners


def open_model(model: str) -> Cleaner:
    path = find_model(model)
    runtime = Runtime(path, threads=1)
    key = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    name = f"{model}, {runtime.info.spec.num_parameters:,}"
    return Cleaner(name, key, lambda page: np.clip(runtime.denoise(page[None, ..., None])[0, ..., 0], 0, 1))


def score_page(pages: Pages, place: int, cleaners: list[Cleaner], kept: Kept) -> None:
    """What is missing of one page."""
    reader = pages.reader if pages.reader and pages.read(place) else None
    missing = [one for one in cleaners if kept.find(*place_of(one, pages, place)) is None]
    if not missing:
        return
    page = pages.page(place)

    def look(image: Grey, own: bool = False) -> str:
        return (reader.with_own_sauvola() if own else reader).read(image[None, ..., None]).answers[0]

    text = page.text
    if reader and text is None:
        place_of_text = ("what the clean page says", *place_of(cleaners[0], pages, place)[1:])
        if (text := kept.find(*place_of_text)) is None:
            kept.keep(text := look(page.clean), *place_of_text)
    for one in missing:
        made = page.clean if one.perfect else one.clean(page.noisy) if one.clean else page.noisy
        found = pages.score(made, page.clean) if page.clean is not None else {}
        if reader:
            mistakes = find_mistakes([look(made, one.own)], [text])
            found |= {"mistakes": [int(part.sum()) for part in vars(mistakes).values()], "pictured": page.pictured}
        kept.keep(found, *place_of(one, pages, place))


def place_of(cleaner: Cleaner, pages: Pages, place: int) -> tuple[str, str, str, int]:
    reader, name = pages.reader, f"{pages.name} {pages.edition}".strip()
    return cleaner.key, name, f"{reader.layout} {reader.dpi} {reader.enlarge}" if reader else "", place


def summarise(cleaner: Cleaner, pages: Pages, count: int, kept: Kept) -> dict[str, Any]:
    """A line for the table."""
    found = [kept.find(*place_of(cleaner, pages, place)) for place in range(count)]
    row: dict[str, Any] = {"set": pages.name, "cleaner": cleaner.name, "n": count}
    if "squares" in found[0]:
        row["rmse"] = (sum(one["squares"] for one in found) / sum(one["pixels"] for one in found)) ** 0.5
    if "f" in found[0]:
        f, psnr = (np.mean([one[name] for one in found], axis=0) for name in ("f", "psnr"))
        middle, best = THRESHOLDS.index(0.5), int(f.argmax())
        row |= {"f": f[middle], "psnr_db": psnr[middle]}
        row |= {"best_threshold": THRESHOLDS[best], "best_f": f[best], "psnr_db_there": psnr[best]}
    counts = [one["mistakes"] for one in found if "mistakes" in one]
    if counts:
        errors = sum_up(Mistakes(*np.array(counts, np.int64).T))
        row |= {"cer": errors.cer, "low": errors.low, "high": errors.high, "mean_cer": errors.mean}
        row |= {"worst_tenth": errors.worst_tenth, "wer": errors.wer, "read": errors.n}
        for name, some in (("pictured", True), ("plain", False)):
            if part := [one["mistakes"] for one in found if one.get("pictured") is some]:
                row |= {f"{name}_n": len(part), f"{name}_cer": sum_up(Mistakes(*np.array(part, np.int64).T)).cer}
        nothing = [kept.find("doing nothing", *place_of(cleaner, pages, place)[1:]) for place in range(count)]
        if all(nothing):
            before = [one["mistakes"] for one in nothing if "mistakes" in one]
            row["worse"] = sum(a[0] / a[1] - b[0] / b[1] > WORSE for a, b in zip(counts, before, strict=True))
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}


SHOWN: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "rmse": ("RMSE", lambda row: f"{row['rmse']:.4f}"),
    "f": ("F at 0.5", lambda row: f"{row['f']:.2f}"),
    "psnr_db": ("PSNR dB at 0.5", lambda row: f"{row['psnr_db']:.2f}"),
    "best_f": ("best F (at)", lambda row: f"{row['best_f']:.2f} ({row['best_threshold']:g})"),
    "psnr_db_there": ("PSNR dB there", lambda row: f"{row['psnr_db_there']:.2f}"),
    "cer": ("CER (95 % interval)", lambda row: f"{row['cer']:.1%} ({row['low']:.1%} to {row['high']:.1%})"),
    "mean_cer": ("mean of pages", lambda row: f"{row['mean_cer']:.1%}"),
    "worst_tenth": ("worst tenth", lambda row: f"{row['worst_tenth']:.1%}"),
    "pictured_cer": ("CER with pictures", lambda row: f"{row['pictured_cer']:.1%} of {row['pictured_n']}"),
    "plain_cer": ("without", lambda row: f"{row['plain_cer']:.1%}"),
    "wer": ("WER", lambda row: f"{row['wer']:.1%}"),
    "worse": ("pages worse by over 2 points", lambda row: f"{row['worse']} of {row['read']}"),
}


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """One set's table."""
    columns = [name for name in SHOWN if any(name in row for row in rows)]
    lines = [["", *(SHOWN[name][0] for name in columns)], ["---"] * (len(columns) + 1)]
    lines += [[row["cleaner"], *(SHOWN[name][1](row) if name in row else "–" for name in columns)] for row in rows]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"**{rows[0]['set']}**, {rows[0]['n']} pages\n\n{body}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", default=",".join(SETS), help="sets, with commas between (default: all)")
    parser.add_argument("--first", type=int, help="no more than so many pages of each set")
    parser.add_argument("--only-models", action="store_true", help="leave the others out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="pages at a time (default: one a core)")
    parser.add_argument("--kept", type=Path, default=Path("runs/pages.jsonl"))
    parser.add_argument("--out", type=Path, metavar="MARKDOWN", help="write the tables there, and beside it .jsonl")
    args = parser.parse_args()
    kept = Kept(args.kept)
    cleaners = ([] if args.only_models else baselines(kept)) + [open_model(model) for model in args.models]
    tables = []
    for name in args.only.split(","):
        pages = open_set(name, args.data)
        mine = [one for one in cleaners if not (one.perfect and name != "made") and (pages.reader or not one.own)]
        count = min(args.first or pages.count, pages.count)
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda place, pages=pages, mine=mine: score_page(pages, place, mine, kept), range(count)))
        found = [summarise(one, pages, count, kept) for one in mine]
        tables.append(found)
        print(as_markdown(found), flush=True)
    if args.out:
        args.out.write_text("\n".join(map(as_markdown, tables)), encoding="utf-8")
        lines = [json.dumps(row) + "\n" for found in tables for row in found]
        args.out.with_suffix(".jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
