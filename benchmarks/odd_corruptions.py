"""The default spec and recipe on pairs they were not made for, beside the best classical denoiser.

    python benchmarks/odd_corruptions.py --data FOLDER [--steps 4000] [--passes 2] [--only NAME…] >> docs/runs/odd.jsonl

Digits, garments and 64 x 64 crops of photographs with salt and pepper, blurred with noise, and through
JPEG, and the crops with noise alone; crops of some pictures to train on, of others to score. Pairs are
fixed, as a user's are. Classical denoisers are those of `smidgen evaluate`, and where they apply
Wiener deconvolution with the true blur, and BM3D (`pip install bm3d`, not free for commercial use)
with its sigma chosen; all strengths are chosen on validation. Scored on the first 200 test images;
`tools/make_results.py` makes the table of what is printed.
"""

import argparse
import importlib.util
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from skimage.color import rgb2gray
from skimage.restoration import wiener

from smidgen.data import corruptions as corrupt
from smidgen.data.collection import Images
from smidgen.data.mnist import load_full
from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.engine.native import Engine
from smidgen.judging.baselines import choose_baselines, tune_baseline
from smidgen.network.spec import default_spec
from smidgen.training.losses import mse
from smidgen.training.recipe import default_recipe
from smidgen.training.train import train

SCORED = 200
TUNED_ON = 100
TUNED_ON_BY_BM3D = 10  # it takes half a second an image
ONE_AT_A_TIME = threading.Lock()  # BM3D has threads of its own and breaks when it is called twice at once
BLUR = np.array([1, 4, 6, 4, 1], np.float32) / 16
PHOTOGRAPHS = {
    "train": (
        "astronaut",
        "chelsea",
        "coffee",
        "rocket",
        "hubble_deep_field",
        "immunohistochemistry",
        "brick",
        "grass",
    ),
    "val": ("moon", "coins"),
    "test": ("camera", "gravel"),
}
VALIDATED_ON = 1000
CROPS = {"train": 8000, "val": 400, "test": SCORED}
SIDE = 64


def salt_and_pepper(clean: Images, generator: np.random.Generator) -> Images:
    """A quarter of the pixels black or white."""
    return corrupt.salt_and_pepper(clean, 0.25, generator)


def blur_and_noise(clean: Images, generator: np.random.Generator) -> Images:
    """A 5 x 5 binomial blur, then Gaussian noise of 0.1."""
    return noise(convolve1d(convolve1d(clean, BLUR, 1), BLUR, 2), generator)


def jpeg(clean: Images, generator: np.random.Generator) -> Images:
    """JPEG at quality 10."""
    return corrupt.jpeg(clean, 90, generator)


def noise(clean: Images, generator: np.random.Generator) -> Images:
    """Gaussian noise of 0.1."""
    return corrupt.add_noise(clean, generator.standard_normal(clean.shape, dtype=np.float32), 0.1)


def small_images(archive: str) -> Callable[[Path | None], dict[str, Images]]:
    def load(data: Path | None) -> dict[str, Images]:
        found = load_full(archive, data)
        parts = {"train": found.train, "val": found.val, "test": found.test[:SCORED]}
        return {name: images[..., None].astype(np.float32) / 255 for name, images in parts.items()}

    return load


def crops(data: Path | None) -> dict[str, Images]:
    """Grey crops of the pictures that come with scikit-image."""
    generator = np.random.default_rng(0)
    parts = {}
    for part, names in PHOTOGRAPHS.items():
        pictures = [np.asarray(getattr(skimage.data, name)()) for name in names]
        grey = [rgb2gray(picture) if picture.ndim == 3 else picture / 255 for picture in pictures]
        images = np.empty((CROPS[part], SIDE, SIDE, 1), np.float32)
        for image in images:
            picture = grey[generator.integers(len(grey))]
            top, left = (generator.integers(size - SIDE + 1) for size in picture.shape)
            image[..., 0] = picture[top : top + SIDE, left : left + SIDE]
        parts[part] = images
    return parts


CASES: dict[str, tuple[Callable[[Path | None], dict[str, Images]], Callable[..., Images]]] = {
    f"{name}, {corruption.__name__.replace('_', ' ')}": (load, corruption)
    for name, load, corruptions in (
        ("digits", small_images("mnist"), (salt_and_pepper, blur_and_noise, jpeg)),
        ("garments", small_images("fashion-mnist"), (salt_and_pepper, blur_and_noise, jpeg)),
        ("photographs", crops, (noise, salt_and_pepper, blur_and_noise, jpeg)),
    )
    for corruption in corruptions
}


def deconvolve(image: NDArray[np.float32], balance: float) -> NDArray[np.float32]:
    return np.asarray(wiener(image[..., 0], np.outer(BLUR, BLUR), balance, clip=False), np.float32)[..., None]


def block_match(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    import bm3d

    with ONE_AT_A_TIME:
        return np.asarray(bm3d.bm3d(image[..., 0], sigma), np.float32)[..., None]


def classical(val: Pairs, test: Pairs, corruption: Callable[..., Images]) -> dict[str, float]:
    """Name and strength of each classical denoiser, and its MSE on the test pairs."""
    baselines, some = list(choose_baselines(val)), val.first(TUNED_ON)
    if corruption is blur_and_noise:
        baselines.append(tune_baseline("Wiener", deconvolve, (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), some))
    if importlib.util.find_spec("bm3d"):
        baselines.append(
            tune_baseline("BM3D", block_match, (0.02, 0.05, 0.1, 0.15, 0.2, 0.3), val.first(TUNED_ON_BY_BM3D))
        )
    else:
        print("without BM3D, which is not installed", file=sys.stderr)
    found = {}
    for baseline in baselines:
        strength = f" {baseline.strength:g}" if baseline.strength else ""
        found[f"{baseline.name}{strength}"] = float(mse(baseline.denoise(test.noisy), test.clean).mean())
    return found


def run(name: str, data: Path | None, steps: int, passes: int, threads: int) -> dict[str, Any]:
    load, corruption = CASES[name]
    generator = np.random.default_rng(1)
    clean = load(data)
    pairs = {part: Pairs(corruption(images, generator), images) for part, images in clean.items()}
    dataset = Dataset(
        name=name, train=FixedSource(pairs["train"]), val=pairs["val"].first(VALIDATED_ON), test=pairs["test"]
    )
    spec = default_spec(passes=passes)
    settings = default_recipe(spec, *dataset.measure(0), threads=threads)
    settings = replace(settings, epochs=max(1, round(steps * settings.batch_size / len(dataset.train))))
    started = time.process_time()
    trained = train(dataset, spec, settings)
    minutes = (time.process_time() - started) / 60
    denoised = Engine(spec, trained.weights).denoise_batch(dataset.test.noisy)
    ours = float(mse(denoised, dataset.test.clean).mean())
    others = classical(dataset.val, dataset.test, corruption)
    return {
        "name": name, "passes": passes, "num_parameters": spec.num_parameters, "mse": ours, "core_minutes": minutes,
        "epochs": settings.epochs, "classical": others,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), metavar="NAME")
    args = parser.parse_args()
    for name in args.only:
        print(json.dumps(run(name, args.data, args.steps, args.passes, args.threads)), flush=True)


if __name__ == "__main__":
    main()
