"""Training on pairs that are larger than memory: how much of it is held, and how fast against the same in memory.

    python benchmarks/large_pairs.py [--gib 6] [--folder DIR] [--seconds 30] [--rounds 2]

Makes so many GiB of pairs, grey images of 2048 x 2048 of 8 bits, as two .npy files and as a folder of PNGs. Trains on
them held in memory, mapped from the .npy files, and mapped from the file that pictures are decoded into once, in turn,
each time for so long in a process of its own. The files are dropped from the system's cache before they are opened, and
again before the training begins. A process on mapped pairs may have 2 GiB of memory of its own (RLIMIT_DATA).
Printed are what opening took, the crops shown a second of the clock and of the processor, and the peak of all memory,
mapped files included (VmHWM). Exit code 1 where that is more than 1 GiB for mapped pairs.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from smidgen.data import mapped
from smidgen.data.cache import FOLDER_VARIABLE
from smidgen.data.open import open_dataset
from smidgen.network.spec import default_spec
from smidgen.training.loop import Progress
from smidgen.training.recipe import Recipe
from smidgen.training.train import train

SIDE, DIFFERENT = 2048, 16
WARMING_SECONDS = 5.0
MOST_MEBIBYTES, MOST_OWN_BYTES = 1024, 2 * 2**30
KINDS = ("memory", "npy", "pictures")
SPEEDS = ("crops_per_second", "crops_per_core_second")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=6)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--run", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(measure(arguments.run, arguments.folder, arguments.seconds)))
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="large-pairs-") as name:
        folder = Path(name)
        pairs = make_pairs(folder, arguments.gib)
        print(f"{pairs} pairs, {sum(file.stat().st_size for file in folder.glob('*.npy')) / 2**30:.1f} GiB")
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
        for number in range(arguments.rounds):
            for kind in KINDS:
                found[kind].append(run(kind, folder, arguments.seconds))
                print(f"round {number + 1}: {kind}, {found[kind][-1]}", flush=True)
    for kind, told in found.items():
        medians = {name: statistics.median(one[name] for one in told) for name in told[0]}
        ratios = [medians[name] / statistics.median(one[name] for one in found["memory"]) for name in SPEEDS]
        print(
            f"{kind:9} opened in {medians['seconds_to_open']:.0f} s, {medians[SPEEDS[0]]:.1f} crops/s "
            f"({ratios[0]:.2f} of those in memory), {medians[SPEEDS[1]]:.1f} a second of the processor "
            f"({ratios[1]:.2f}), peak {max(one['mebibytes'] for one in told):,.0f} MiB"
        )
    return int(max(one["mebibytes"] for kind in KINDS[1:] for one in found[kind]) > MOST_MEBIBYTES)


def make_pairs(folder: Path, gib: float) -> int:
    """X.npy, y.npy, and pairs/ with the same as PNGs, of which most are links to a few; how many there are."""
    generator = np.random.default_rng(0)
    number = max(40, round(gib * 2**30 / 2 / SIDE**2))
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (number, SIDE, SIDE))
        for name in ("X", "y")
    }
    for part in ("noisy", "clean"):
        (folder / "pairs" / part).mkdir(parents=True)
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    for place in range(min(DIFFERENT, number)):
        waves = np.sin((5 + place) * down + 3 * across) * np.sin(40 * across * (1 + down) + place)
        clean = np.clip(128 + 100 * waves, 0, 255).astype(np.uint8)
        noisy = np.clip(clean + generator.normal(0, 25, clean.shape), 0, 255).astype(np.uint8)
        for part, name, image in (("noisy", "X", noisy), ("clean", "y", clean)):
            file = folder / "pairs" / part / f"{place:05}.png"
            Image.fromarray(image).save(file, compress_level=1)
            for copy in range(place, number, DIFFERENT):
                arrays[name][copy] = image
                if copy > place:
                    os.link(file, file.with_name(f"{copy:05}.png"))
    return number


def forget(folder: Path) -> None:
    """Drop the files of the pairs from the system's cache."""
    for file in [*folder.glob("*.npy"), *folder.glob("cache/*.pictures")]:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(kind: str, folder: Path, seconds: float) -> dict[str, float]:
    """Measure in a process of its own."""
    forget(folder)

    def limit() -> None:
        if kind != "memory":
            resource.setrlimit(resource.RLIMIT_DATA, (MOST_OWN_BYTES, MOST_OWN_BYTES))

    command = [sys.executable, __file__, "--run", kind, "--folder", str(folder), "--seconds", str(seconds)]
    environment = os.environ | {FOLDER_VARIABLE: str(folder / "cache")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, preexec_fn=limit)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def measure(kind: str, folder: Path, seconds: float) -> dict[str, float]:
    """Open the pairs and train on them."""
    if kind == "memory":
        mapped.LARGE_BYTES = sys.maxsize
    started = time.perf_counter()
    if kind == "pictures":
        dataset = open_dataset(str(folder / "pairs"), output="sigmoid")
    else:
        dataset = open_dataset(noisy=folder / "X.npy", clean=folder / "y.npy", output="sigmoid")
    opened = time.perf_counter() - started
    forget(folder)
    stands: list[tuple[float, float, int]] = []  # clock, processor and steps, after warming and in the end

    def watch(now: Progress) -> None:
        stand = time.perf_counter(), time.process_time(), now.step
        if stand[0] > training + WARMING_SECONDS + seconds * len(stands):
            stands.append(stand)
        if len(stands) == 2:
            raise KeyboardInterrupt

    training = time.perf_counter()
    recipe = Recipe(epochs=100, batch_size=12)
    train(dataset, default_spec(), recipe, watch=watch)
    with Path("/proc/self/status").open() as status:
        (peak,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    (clock, processor, step), (clock_then, processor_then, step_then) = stands
    crops = (step_then - step) * recipe.batch_size
    return {
        "seconds_to_open": round(opened, 1),
        "crops_per_second": round(crops / (clock_then - clock), 1),
        "crops_per_core_second": round(crops / (processor_then - processor), 1),
        "mebibytes": round(peak / 1024),
    }


if __name__ == "__main__":
    sys.exit(main())
