"""Large pages of many sizes: how soon a training on them starts, what memory it takes, and what it is worth.

Forty pages between 800 x 1,100 and 2,500 x 3,500 pixels are made of text, stains and noise, and `smidgen train` is run
on them for some epochs of 50 megapixels. Then the model, doing nothing, non-local means, and dividing by a grey closing
and stretching are scored on other whole pages.

    python benchmarks/dirty_pages.py --epochs 3
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, grey_closing

from smidgen.data.collection import map_images
from smidgen.data.open import open_dataset
from smidgen.judging.baselines import choose_baselines, tune_baseline
from smidgen.model.runtime import Runtime
from smidgen.training.losses import mse

PAGES = 40
SMALLEST, LARGEST = (1100, 800), (3500, 2500)
WORDS = (
    "the quiet harbour kept its boats close while rain crossed the square and letters waited in the drawer for a name "
    "that nobody wrote on paper bought in spring near the station where trains left at nine and again towards evening"
)
FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "DejaVuSerif-Bold", "DejaVuSans-Oblique")


def make_page(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A noisy and a clean page, 8 bits."""
    share = generator.random()
    height, width = (round(a + share * (b - a)) for a, b in zip(SMALLEST, LARGEST, strict=True))
    size = round(width / generator.uniform(45, 70) * 1.4)
    font = ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / f"{generator.choice(FONTS)}.ttf", size)
    page = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(page)
    for top in range(size * 2, height - 2 * size, round(size * generator.uniform(1.3, 1.8))):
        line = " ".join(generator.choice(WORDS.split(), 14))
        draw.text((size * 2, top), line[: round((width - 4 * size) / (0.6 * size))], fill=0, font=font)
    clean = np.asarray(page, np.float32) / 255
    small = generator.standard_normal((height // 64 + 2, width // 64 + 2)).astype(np.float32)
    light = np.asarray(Image.fromarray(gaussian_filter(small, 3)).resize((width, height), Image.Resampling.BICUBIC))
    paper = 0.85 + 0.5 * light
    for _ in range(generator.integers(1, 5)):
        row, column, radius = (
            generator.random() * height,
            generator.random() * width,
            generator.uniform(0.05, 0.2) * width,
        )
        y, x = np.ogrid[:height, :width]
        distance = np.hypot(y - row, x - column) / radius
        paper -= generator.uniform(0.1, 0.35) * (np.exp(-(((distance - 1) / 0.06) ** 2)) + 0.6 * (distance < 1))
    noisy = np.clip(paper, 0.1, 1) * (0.25 + 0.75 * gaussian_filter(clean, generator.uniform(0.3, 0.9)))
    noisy += generator.uniform(0.01, 0.06) * generator.standard_normal(noisy.shape, dtype=np.float32)
    return np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8), np.asarray(page)


def write_pages(folder: Path, count: int, seed: int) -> None:
    """Pages as PNG files in `noisy/` and `clean/`."""
    generator = np.random.default_rng(seed)
    for side in ("noisy", "clean"):
        (folder / side).mkdir(parents=True)
    for number in range(count):
        for side, page in zip(("noisy", "clean"), make_page(generator), strict=True):
            Image.fromarray(page).save(folder / side / f"{number:02}.png", compress_level=1)


def close_divide_stretch(image: np.ndarray, strength: float) -> np.ndarray:
    """The page divided by its background, a grey closing, and stretched: so much of what is darkest becomes black."""
    page = image[..., 0]
    flat = page / np.maximum(grey_closing(page, 1 + 2 * (page.shape[1] // 60)), 1e-3)
    return np.clip((flat - strength) / (0.95 - strength), 0, 1).astype(np.float32)[..., None]


def train(folder: Path, out: Path, epochs: int, threads: int) -> dict[str, float]:
    """Run the command; seconds to its first step and in all, and memory above that of a start."""
    program = """
import sys, time
from smidgen.cli.main import main
import smidgen.training.loop as loop, smidgen.runs.run
def status(name):
    return int(next(line.split()[1] for line in open('/proc/self/status') if line.startswith(name))) / 1024
started, base = time.monotonic(), status('VmRSS')
step = loop.Loop._step
def first(self, *given):
    print('first step', time.monotonic() - started, file=sys.stderr)
    loop.Loop._step = step
    return step(self, *given)
loop.Loop._step = first
code = main(sys.argv[1:])
print('memory', status('VmHWM') - base, 'core', time.process_time(), file=sys.stderr)
sys.exit(code)
"""
    command = [
        sys.executable, "-c", program, "train", str(folder), "--out", str(out), "--epochs", str(epochs),
        "--threads", str(threads),
    ]  # fmt: skip
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout, done.stderr, sep="\n")
    found = {name: float(value) for name, value in re.findall(r"(first step|memory|core) ([\d.]+)", done.stderr)}
    return found | {"seconds": time.monotonic() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "dirty-pages")
    parser.add_argument("--epochs", type=int, default=3, help="of 50 million pixels each (default: 3)")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if not args.folder.exists():
        write_pages(args.folder / "train", PAGES, 0)
        write_pages(args.folder / "test", 6, 1)
    run = args.folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    found = train(args.folder / "train", run, args.epochs, args.threads)
    runtime = Runtime(run)
    tests = open_dataset(test=args.folder / "test", trained_on=runtime.info.origin, scales=runtime.info.scales,
                         output=runtime.info.spec.output).val  # fmt: skip
    val = open_dataset(str(args.folder / "train"), output=runtime.info.spec.output).val
    closing = tune_baseline("closing", close_divide_stretch, (0.2, 0.3, 0.4, 0.5, 0.6), val)
    ways = {
        "the model": runtime.denoise,
        "doing nothing": lambda noisy: noisy,
        f"closing, divide, stretch {closing.strength:g}": closing.denoise,
    }
    ways |= {f"{b.name} {b.strength:g}": b.denoise for b in choose_baselines(val) if b.name == "non-local means"}
    for name, denoise in ways.items():
        errors = mse(map_images(denoise, tests.noisy), tests.clean)
        found[name] = float(np.sqrt(errors.mean()))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
