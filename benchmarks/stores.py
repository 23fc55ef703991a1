"""A store larger than memory, denoised, killed and resumed: memory, speed against the engine's own, and bits.

    python benchmarks/stores.py [MODEL] [--side 40000] [--chunk 512] [--jobs 2] [--kills 5] [--folder DIR]

Makes a Zarr store of 16 bits, waves and noise, blosc with lz4. `smidgen denoise` takes it in blocks of the usual size,
once without disturbance and once killed by SIGKILL, its workers too, so many times, each time after at least one new
chunk, and begun again. Beside the first run the memory of every process is looked at twice a second (VmHWM). The
engine's own rate is that of an image of 4096 x 4096 in memory, on as many threads in all, before and after it. Both
rates are by the clock and by processor time; on a busy machine only the second tells. The folder is removed in the end.
Printed is one JSON object; exit code 1 where a bar is missed: 700 MiB a process, 80 % of the engine's rate by processor
time, every value the same.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr

from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.scaling.blocks import SIDE
from smidgen.scaling.stores import find_units

MOST_MEBIBYTES, LEAST_SHARE = 700, 0.8
OWN_SIDE = 4096
STRIPE = 4096


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="photographs-in-noise")
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--block", type=int, default=SIDE)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        found = measure(args, folder)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(found))
    held = found["same"] and found["share_by_processor"] >= LEAST_SHARE
    return int(not held or max(found["mebibytes"]) >= MOST_MEBIBYTES)


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    source, calm, disturbed = (folder / f"{name}.zarr" for name in ("in", "calm", "disturbed"))
    make_store(source, args.side, args.chunk)
    megapixels = args.side**2 / 1e6
    own = [time_engine(args.model, args.jobs)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = start(args, source, calm)
    peaks = watch_memory(process)
    if process.returncode:
        sys.exit("smidgen denoise failed")
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))
    own.append(time_engine(args.model, args.jobs))
    by_clock, by_processor = (sum(rates) / len(rates) for rates in zip(*own, strict=True))
    kills = [kill(args, source, disturbed) for _ in range(args.kills)]
    start(args, source, disturbed).wait()
    return {
        "model": args.model, "side": args.side, "chunk": args.chunk, "block": args.block, "jobs": args.jobs,
        "mp_per_second": round(megapixels / took, 2),
        "mp_per_core_second": round(megapixels / processor, 2),
        "engine_mp_per_second": round(by_clock, 2),
        "engine_mp_per_core_second": round(by_processor, 2),
        "share_by_clock": round(megapixels / took / by_clock, 3),
        "share_by_processor": round(megapixels / processor / by_processor, 3),
        "mebibytes": sorted((round(peak) for peak in peaks.values()), reverse=True),
        "chunks_at_kills": kills,
        "same": is_same(calm, disturbed),
    }  # fmt: skip


def make_store(path: Path, side: int, chunk: int) -> None:
    array = zarr.create_array(
        path, shape=(side, side), chunks=(chunk, chunk), dtype="u2", compressors=zarr.codecs.BloscCodec(cname="lz4")
    )
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((STRIPE, STRIPE), np.float32)
    columns = np.arange(side, dtype=np.float32)
    across = np.take(noise, np.arange(side) % STRIPE, 1)
    for top in range(0, side, STRIPE):
        rows = np.arange(top, min(top + STRIPE, side), dtype=np.float32)[:, None]
        # Eight bits of the sixteen, as where a camera's low ones hold nothing.
        noisy = 128 + 76 * np.sin(rows / 90) * np.sin(columns / 70) + 25 * across[: len(rows)]
        array[top : top + len(rows)] = np.clip(noisy, 0, 255).astype(np.uint16) << 8


def time_engine(model: str, threads: int) -> tuple[float, float]:
    """Megapixels a second of the clock and of the processor."""
    runtime = Runtime(find_model(model), threads)
    image = np.random.default_rng(0).random((1, OWN_SIDE, OWN_SIDE, 1), np.float32)
    runtime.denoise(image[:, :512])
    clock, processor = time.monotonic(), time.process_time()
    runtime.denoise(image)
    megapixels = OWN_SIDE**2 / 1e6
    return megapixels / (time.monotonic() - clock), megapixels / (time.process_time() - processor)


def start(args: argparse.Namespace, source: Path, target: Path) -> subprocess.Popen[bytes]:
    words = ["denoise", args.model, str(source), "-o", str(target), "--jobs", str(args.jobs)]
    words += ["--threads", str(args.jobs), "--block", str(args.block)]
    return subprocess.Popen([sys.executable, "-m", "smidgen", *words], start_new_session=True)


def watch_memory(process: subprocess.Popen[bytes]) -> dict[int, float]:
    """The most that each process of a command has held, MiB."""
    peaks: dict[int, float] = {}
    while process.poll() is None:
        for pid in family(process.pid):
            try:
                told = Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]
            except (OSError, IndexError):
                continue
            peaks[pid] = int(told) / 1024
        time.sleep(0.5)
    return peaks


def family(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def kill(args: argparse.Namespace, source: Path, target: Path) -> int:
    """Begin, and kill after at least one new chunk; how many there are then."""
    before = count(target)
    process = start(args, source, target)
    while process.poll() is None and count(target) <= before:
        time.sleep(0.2)
    for pid in family(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return count(target)


def count(target: Path) -> int:
    return len(find_units(zarr.open_array(target, mode="r"))) if (target / "zarr.json").exists() else 0


def is_same(first: Path, second: Path) -> bool:
    one, other = (zarr.open_array(path, mode="r") for path in (first, second))
    tops = range(0, one.shape[0], STRIPE)
    return all(np.array_equal(one[top : top + STRIPE], other[top : top + STRIPE]) for top in tops)


if __name__ == "__main__":
    sys.exit(main())
