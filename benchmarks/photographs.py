"""Denoisers on photographs by the field's protocol: models, classical ones and BM3D, all in the same noise.

    pip install bm3d  # not free for commercial use; left out where it is not installed
    python benchmarks/photographs.py [MODEL...] [--data FOLDER] [--kept FILE] [--worst PNG] [--only-models]

BSD68 and Set12, grey and whole, in noise of 15, 25 and 50 of 255 (`add_field_noise`); PSNR of each picture after
clipping, averaged over pictures. A model, by its name or file, is scored at those strengths that it was trained for,
and one that knows clean pictures on these, too. BM3D is told the noise, as is non-local means; other strengths are
those of lowest MSE on the last 40 pictures of Train400. Seconds are those of a processor's core.

Each score is kept in FILE (runs/photographs.jsonl) as it is made, so that the next run makes only what is missing: BM3D
takes an hour. Writes docs/runs/photographs.jsonl for `tools/make_results.py`. `--worst` draws parts of the ten pictures
of BSD68 where the first model does worst against BM3D; they are not free to be passed on.
"""

import argparse
import functools
import hashlib
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odd_corruptions import block_match
from PIL import Image
from skimage.restoration import denoise_nl_means

from smidgen.data.collection import Images
from smidgen.data.pairs import Pairs
from smidgen.data.photographs import in_gaussian_noise, load_photographs
from smidgen.data.raw_pairs import RawPairs
from smidgen.files import make_folder
from smidgen.judging.baselines import FILTERS, Filter, tune_baseline
from smidgen.judging.scores import psnr
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model

SETS, SIGMAS = ("bsd68", "set12"), (15, 25, 50)
TUNED_ON = 40
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0)  # of sigma, to choose a strength from
WORST, SIDE = 10, 160  # pictures, and pixels of what is shown of each
RESULTS = Path(__file__).parents[1] / "docs" / "runs" / "photographs.jsonl"


@dataclass(frozen=True)
class Denoiser:
    """What is scored.

    Attributes:
        name: for the table.
        key: tells it from all others, over several runs.
        at: for noise of a strength from 0 to 255, the function of images `(N, H, W, 1)`; None where only scores that
            are kept count.
        sigmas: the strengths it is scored at.
        about: more of it for the table.
    """

    name: str
    key: str
    at: Callable[[int], Callable[[Images], Images]] | None
    sigmas: tuple[int, ...] = SIGMAS
    about: tuple[tuple[str, int], ...] = ()


def in_noise(photographs: RawPairs, sigma: int) -> Pairs:
    return in_gaussian_noise(sigma, sigma).fixed_pairs(photographs)


def open_model(model: str) -> Denoiser:
    """A model, scored at the strengths that its file says it was trained for."""
    path = find_model(model)
    runtime = Runtime(path, threads=1)
    info = runtime.info
    made = info.origin.corrupted
    if made is None or [step.kind for step in made.steps] != ["gaussian-noise"] or made.steps[0].strength is None:
        raise SystemExit(f"{model} was not trained on Gaussian noise alone")
    low, high = (255 * end for end in made.steps[0].strength)
    sigmas = tuple(sigma for sigma in (0, *SIGMAS) if low - 0.5 <= sigma <= high + 0.5)
    name = f"one model for {low:.0f} to {high:.0f}" if low < high else f"a model for {low:.0f}"
    if (passes := getattr(info.spec, "passes", 1)) > 1:
        name += f", {passes} passes"
    about = (("num_parameters", info.spec.num_parameters), ("seed", info.recipe.seed if info.recipe else 0))
    key = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return Denoiser(name, key, lambda sigma: runtime.denoise, sigmas, about)


def classical(data: Path | None) -> list[Denoiser]:
    """Doing nothing, total variation, wavelets, non-local means, and BM3D where it is installed or was."""

    @functools.cache
    def to_tune_on(sigma: int) -> Pairs:
        crops = load_photographs("train400", data)
        return in_noise(crops.take(np.arange(len(crops) - TUNED_ON, len(crops))), sigma)

    def tuned(name: str, make: Callable[[int], Filter]) -> Callable[[int], Callable[[Images], Images]]:
        def at(sigma: int) -> Callable[[Images], Images]:
            strengths = [share * sigma / 255 for share in SHARES]
            found = tune_baseline(name, make(sigma), strengths, to_tune_on(sigma))
            print(f"{name} at {sigma}: strength {found.strength:.4g}, {found.strength * 255 / sigma:.2g} sigma")
            return found.denoise

        return at

    def non_local_means(sigma: int) -> Filter:
        def apply(image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
            known = {"sigma": sigma / 255, "fast_mode": True, "patch_size": 5, "patch_distance": 6}
            return np.asarray(denoise_nl_means(image[..., 0], h=strength, **known), np.float32)[..., None]

        return apply

    def bm3d(sigma: int) -> Callable[[Images], Images]:
        return lambda noisy: np.stack([block_match(image, sigma / 255) for image in noisy])

    names = ("total variation", "wavelet")
    filters = [Denoiser(name, name, tuned(name, lambda sigma, name=name: FILTERS[name][0])) for name in names]
    return [
        Denoiser("doing nothing", "doing nothing", lambda sigma: lambda noisy: noisy),
        *filters,
        Denoiser("non-local means", "non-local means", tuned("non-local means", non_local_means)),
        Denoiser("BM3D", "BM3D", bm3d if importlib.util.find_spec("bm3d") else None),
    ]


class Kept:
    """Scores by denoiser, set, strength and picture, each written as soon as it is known."""

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._scores = {tuple(row[:4]): tuple(row[4:]) for row in map(json.loads, lines)}

    def scores(self, denoiser: Denoiser, name: str, sigma: int, photographs: RawPairs) -> list[tuple[float, float]]:
        """PSNR and seconds of each picture."""
        places = [(denoiser.key, name, sigma, number) for number in range(len(photographs))]
        missing = [place for place in places if place not in self._scores]
        if missing and denoiser.at:
            pairs, denoise = in_noise(photographs, sigma), denoiser.at(sigma)
            for place in missing:
                noisy, clean = pairs.noisy[place[3]][None], pairs.clean[place[3]][None]
                started = time.process_time()
                denoised = denoise(noisy)
                seconds = time.process_time() - started
                self._scores[place] = (float(psnr(np.clip(denoised, 0, 1), clean)[0]), seconds)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([*place, *self._scores[place]]) + "\n")
        return [self._scores[place] for place in places if place in self._scores]


def summarise(denoiser: Denoiser, name: str, sigma: int, kept: Kept, photographs: RawPairs) -> dict[str, Any] | None:
    """A line for the table, or None where a score is missing."""
    scores = kept.scores(denoiser, name, sigma, photographs)
    if len(scores) < len(photographs):
        return None
    megapixels = sum(image.shape[0] * image.shape[1] for image in photographs.clean) / 1e6
    return {
        "denoiser": denoiser.name, **dict(denoiser.about), "set": name, "sigma": sigma,
        "psnr_db": round(statistics.mean(score for score, _ in scores), 4),
        "seconds_a_megapixel": round(sum(seconds for _, seconds in scores) / megapixels, 4),
    }  # fmt: skip


def against_bm3d(denoiser: Denoiser, bm3d: Denoiser, sigma: int, kept: Kept, photographs: RawPairs) -> dict[str, Any]:
    """How many pictures of BSD68 come out better than BM3D's, and where the worst lie, in dB."""
    ours, theirs = (kept.scores(one, "bsd68", sigma, photographs) for one in (denoiser, bm3d))
    ahead = [our - their for (our, _), (their, _) in zip(ours, theirs, strict=True)]
    worst = sorted(range(len(ahead)), key=ahead.__getitem__)[:WORST]
    return {
        "denoiser": denoiser.name, **dict(denoiser.about), "sigma": sigma,
        "ahead": sum(difference > 0 for difference in ahead), "of": len(ahead),
        "worst": [[number, round(ahead[number], 2)] for number in worst],
    }  # fmt: skip


def draw_worst(denoiser: Denoiser, sigma: int, places: list[int], photographs: RawPairs) -> Image.Image:
    """Noisy, BM3D's, ours and clean, of each picture the part where ours loses most."""
    pairs, columns = in_noise(photographs, sigma), []
    for place in places:
        noisy, clean = pairs.noisy[place], pairs.clean[place]
        theirs = np.clip(block_match(noisy, sigma / 255), 0, 1)
        ours = denoiser.at(sigma)(noisy[None])[0]
        lost = ((ours - clean) ** 2 - (theirs - clean) ** 2)[..., 0]
        sums = np.pad(lost.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        boxes = sums[SIDE:, SIDE:] - sums[:-SIDE, SIDE:] - sums[SIDE:, :-SIDE] + sums[:-SIDE, :-SIDE]
        top, left = np.unravel_index(boxes.argmax(), boxes.shape)
        parts = [image[top : top + SIDE, left : left + SIDE, 0] for image in (noisy, theirs, ours, clean)]
        columns.append(np.pad(np.concatenate(parts), ((0, 0), (0, 4)), constant_values=1))
    return Image.fromarray(np.rint(255 * np.clip(np.concatenate(columns, 1), 0, 1)).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--kept", type=Path, default=Path("runs/photographs.jsonl"))
    parser.add_argument("--worst", type=Path, metavar="PNG")
    parser.add_argument("--only-models", action="store_true", help="of the others, only what is kept")
    args = parser.parse_args()
    kept = Kept(args.kept)
    sets = {name: load_photographs(name, args.data) for name in SETS}
    models, others = [open_model(model) for model in args.models], classical(args.data)
    if args.only_models:
        others = [replace(other, at=None) for other in others]
    rows = []
    for denoiser in (*models, *others):
        for name, photographs in sets.items():
            for sigma in denoiser.sigmas:
                if row := summarise(denoiser, name, sigma, kept, photographs):
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    bsd68, bm3d = sets["bsd68"], others[-1]
    for place, model in enumerate(models):
        sigma = 25 if 25 in model.sigmas else model.sigmas[-1]
        if len(kept.scores(bm3d, "bsd68", sigma, bsd68)) == len(bsd68):
            rows.append(against_bm3d(model, bm3d, sigma, kept, bsd68))
            print(json.dumps(rows[-1]))
            if args.worst and place == 0 and importlib.util.find_spec("bm3d"):
                draw_worst(model, sigma, [number for number, _ in rows[-1]["worst"]], bsd68).save(args.worst)
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
