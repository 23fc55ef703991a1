"""A model for a sensor's noise against BM3D between a variance-stabilising transform and its inverse, on BSD68.

    pip install bm3d  # not free for commercial use
    smidgen train --clean TRAIN400 --val LIVE1 --flips --with poisson-gaussian --strength 0.1 --out RUN
    python benchmarks/sensor_noise.py RUN [--strength 0.1] [--data FOLDER] [--first N]

Picture i gets the noise of generator i, which is not clipped. BM3D is told how strong it is: the generalised Anscombe
transform makes the noise's deviation about 1, and the closed form of the exact unbiased inverse (Mäkitalo and Foi 2013,
"Optimal inversion of the generalized Anscombe transformation") leads back. PSNR of each picture after clipping,
averaged; seconds of a core for each megapixel.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odd_corruptions import block_match

from smidgen.data.corruptions import poisson_gaussian
from smidgen.data.photographs import load_photographs
from smidgen.judging.scores import psnr
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model

Image = NDArray[np.float32]
COUNTED = 0.9  # of the variance at white, see `poisson_gaussian`


def stabilised_block_match(noisy: Image, strength: float) -> Image:
    """BM3D on the square roots, where the noise is as strong everywhere."""
    gain = COUNTED * strength**2  # what one photon adds
    reading = math.sqrt(1 - COUNTED) * strength / gain
    roots = 2 * np.sqrt(np.maximum(noisy / gain + 3 / 8 + reading**2, 0))
    most = float(roots.max())
    roots = most * np.maximum(block_match((roots / most).astype(np.float32), 1 / most), 1e-3)
    lifted = 5 / 8 * math.sqrt(1.5) * roots**-3 - 11 / 8 * roots**-2 + math.sqrt(1.5) / 4 / roots
    return np.asarray(gain * np.maximum(roots**2 / 4 + lifted - 1 / 8 - reading**2, 0), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--strength", type=float, default=0.1)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--first", type=int, help="pictures (default: all)")
    args = parser.parse_args()
    runtime = Runtime(find_model(args.model), threads=1)
    ways: dict[str, Callable[[Image], Image]] = {
        "doing nothing": lambda noisy: noisy,
        "the model": lambda noisy: runtime.denoise(noisy[None])[0],
        "BM3D between transforms": lambda noisy: stabilised_block_match(noisy, args.strength),
    }
    scores: dict[str, list[float]] = {name: [] for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    pixels = 0
    for number, clean in enumerate(load_photographs("bsd68", args.data).clean[: args.first]):
        image = clean.astype(np.float32) / np.float32(255) if clean.dtype == np.uint8 else clean
        noisy = poisson_gaussian(image, args.strength, np.random.default_rng(number))
        pixels += image.size
        for name, denoise in ways.items():
            started = time.process_time()
            denoised = np.clip(denoise(noisy), 0, 1)
            seconds[name] += time.process_time() - started
            scores[name].append(float(psnr(denoised[None], image[None])[0]))
    for name in ways:
        cost = round(seconds[name] / pixels * 1e6, 3)
        print(json.dumps({"way": name, "psnr_db": round(float(np.mean(scores[name])), 3), "seconds_a_megapixel": cost}))
    ahead = sum(a > b for a, b in zip(scores["the model"], scores["BM3D between transforms"], strict=True))
    print(f"the model is ahead on {ahead} of {len(scores['the model'])}")


if __name__ == "__main__":
    main()
