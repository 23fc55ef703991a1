"""What becomes of noise that a model was not made for: a camera's, JPEG's, beside white noise, and of textures.

    pip install bm3d  # not free for commercial use; left out where it is not installed
    python benchmarks/camera_noise.py [MODEL...] [--data FOLDER] [--first N]

The first N pictures of BSD68; picture i is spoiled by generator i. BM3D is told the deviation that the noise has in
that picture. PSNR of each picture after clipping, averaged. Writes docs/runs/camera_noise.jsonl for
`tools/make_results.py`, and docs/pictures/camera-noise.png: parts of photographs that ship with the package, a row for
each noise: noisy, of each model, clean.
"""

import argparse
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odd_corruptions import block_match
from PIL import Image, ImageDraw

from smidgen.data.corruptions import Wish, make_corruption
from smidgen.data.photographs import load_photographs
from smidgen.data.sample_pictures import load_pictures
from smidgen.judging.scores import psnr
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model

Picture = NDArray[np.float32]
NOISES: dict[str, list[Wish]] = {
    "white noise": [("gaussian-noise", 20 / 255)],
    "white noise, JPEG": [("gaussian-noise", 20 / 255), ("jpeg", 15)],
    "a camera's": [("camera-noise", 0.04)],
    "a camera's, JPEG": [("camera-noise", 0.04), ("jpeg", 15)],
}
SHOWN = (
    ("white noise", "camera"),
    ("white noise", "gravel"),
    ("a camera's", "astronaut"),
    ("a camera's, JPEG", "chelsea"),
)
SIDE = 128
DOCS = Path(__file__).parents[1] / "docs"


def spoil(clean: Picture, noise: str, number: int) -> Picture:
    """Picture `(H, W, 1)` in [0, 1] with a kind of noise."""
    noisy: Picture = make_corruption(NOISES[noise]).apply(clean[None], np.random.default_rng(number))[0]
    return noisy


def draw(models: dict[str, Callable[[Picture], Picture]]) -> Image.Image:
    """Parts of pictures that may be passed on."""
    pictures = load_pictures()
    columns = ["noisy", *models, "clean"]
    sheet = Image.new("L", (len(columns) * (SIDE + 4), len(SHOWN) * (SIDE + 18)), 255)
    pen = ImageDraw.Draw(sheet)
    for row, (noise, name) in enumerate(SHOWN):
        whole = pictures[name][0]
        top, left = ((side - SIDE) // 2 for side in whole.shape[:2])
        noisy = spoil(whole, noise, row)
        for column, title in enumerate(columns):
            image = {"noisy": noisy, "clean": whole}[title] if title not in models else models[title](noisy)
            part = np.clip(image[top : top + SIDE, left : left + SIDE, 0], 0, 1)
            place = (column * (SIDE + 4), row * (SIDE + 18))
            sheet.paste(Image.fromarray(np.rint(255 * part).astype(np.uint8)), (place[0], place[1] + 14))
            pen.text(place, noise if title == "noisy" else title, fill=0)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", default=["photographs", "photographs-from-cameras"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--first", type=int, default=20)
    args = parser.parse_args()
    runtimes = {model: Runtime(find_model(model), threads=1) for model in args.models}
    models: dict[str, Callable[[Picture], Picture]] = {
        name: lambda noisy, runtime=runtime: runtime.denoise(noisy[None])[0] for name, runtime in runtimes.items()
    }
    draw(models).save(DOCS / "pictures" / "camera-noise.png", optimize=True)
    lines = []
    photographs = load_photographs("bsd68", args.data).clean[: args.first]
    for noise in NOISES:
        scores: dict[str, list[float]] = {}
        for number, bytes_of_it in enumerate(photographs):
            clean = bytes_of_it.astype(np.float32) / np.float32(255)
            noisy = spoil(clean, noise, number)
            ways = {"doing nothing": noisy} | {name: denoise(noisy) for name, denoise in models.items()}
            if importlib.util.find_spec("bm3d"):
                ways["BM3D"] = block_match(noisy, float((noisy - clean).std()))
            for name, denoised in ways.items():
                scores.setdefault(name, []).append(float(psnr(np.clip(denoised, 0, 1)[None], clean[None])[0]))
        means = {name: round(float(np.mean(values)), 2) for name, values in scores.items()}
        lines.append(json.dumps({"noise": noise, "pictures": len(photographs), "psnr_db": means}) + "\n")
        print(lines[-1], end="", flush=True)
    (DOCS / "runs" / "camera_noise.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
