"""Whether a server under load answers each picture as if it were alone.

    python benchmarks/serving_pictures.py [MODEL] [--seconds 60] [--clients 8] [--largest 4] [--each 3]

`smidgen serve` runs in a process of its own. Each client has pictures that no other has, of 0.1 to `--largest`
megapixels, grey and colour, 8 and 16 bits, and posts them without a pause. Every answer is compared, byte for
byte, with what one thread made of the picture before the server was started. Printed is one JSON object; the
exit code is 0 where every answer was right. The server's memory is its peak (VmHWM); every second `/health` is
asked for, too.
"""

import argparse
import io
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import tifffile
from PIL import Image

from smidgen.images.picture import pack_picture, read_picture
from smidgen.model.pictures import denoise_picture
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model

SMALLEST = 0.1
MOST_IN_COLOUR = 1.5  # beyond, one picture would take most of what it may


def make_picture(generator: np.random.Generator, megapixels: float) -> bytes:
    """A PNG, TIFF or JPEG of about so many pixels, of any proportions."""
    ratio = generator.uniform(0.5, 2)
    height = round((1e6 * megapixels * ratio) ** 0.5)
    shape: tuple[int, ...] = (height, min(round(1e6 * megapixels / height), 4_000_000 // height))
    kind = generator.choice(["png", "tiff", "jpeg"])
    if megapixels < MOST_IN_COLOUR and generator.random() < 0.3:
        shape = (*shape, 3)
    elif kind == "tiff":
        file = io.BytesIO()
        tifffile.imwrite(file, generator.integers(0, 65536, shape, np.uint16))
        return file.getvalue()
    file = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, shape, np.uint8)).save(file, kind)
    return file.getvalue()


def answer_alone(runtime: Runtime, content: bytes) -> bytes:
    return pack_picture(denoise_picture(runtime, read_picture(content))[0])


def run_client(address: str, until: float, pictures: list[tuple[bytes, bytes]]) -> tuple[Counter[str], float]:
    """How often each outcome came, and the longest wait for one, in seconds."""
    found: Counter[str] = Counter()
    longest, number = 0.0, 0
    with httpx.Client(base_url=address, timeout=120) as client:
        while time.monotonic() < until:
            content, expected = pictures[number % len(pictures)]
            number += 1
            started = time.monotonic()
            try:
                answer = client.post("/denoise", content=content)
            except httpx.HTTPError as error:
                found[type(error).__name__] += 1
                continue
            longest = max(longest, time.monotonic() - started)
            right = answer.content == expected
            found[("right" if right else "wrong") if answer.status_code == 200 else str(answer.status_code)] += 1
    return found, longest


def ask_for_health(address: str, ended: threading.Event) -> float:
    """The longest that `/health` took, in seconds; a client beside those with pictures."""
    longest = 0.0
    with httpx.Client(base_url=address, timeout=120, headers={"connection": "close"}) as client:
        while not ended.wait(1):
            started = time.monotonic()
            client.get("/health").raise_for_status()
            longest = max(longest, time.monotonic() - started)
    return longest


def peak_mib(pid: int) -> float:
    """The most memory that a process has held, MiB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="digits-on-garments")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--largest", type=float, default=4, help="megapixels")
    parser.add_argument("--each", type=int, default=3, help="pictures of each client")
    args = parser.parse_args()
    generator = np.random.default_rng(0)
    sizes = generator.permutation(np.geomspace(SMALLEST, args.largest, args.clients * args.each))
    contents = [make_picture(generator, size) for size in sizes]
    runtime = Runtime(find_model(args.model), threads=1)
    pictures = [(content, answer_alone(runtime, content)) for content in contents]
    command = [sys.executable, "-m", "smidgen", "serve", args.model, "--no-browser"]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server,
        ThreadPoolExecutor(args.clients + 1) as pool,
    ):
        ended = threading.Event()
        try:
            address = server.stderr.readline().split()[0]
            health = pool.submit(ask_for_health, address, ended)
            until = time.monotonic() + args.seconds
            shares = [pictures[first :: args.clients] for first in range(args.clients)]
            results = list(pool.map(lambda share: run_client(address, until, share), shares))
            ended.set()
            found = {
                "clients": args.clients,
                "seconds": args.seconds,
                "megapixels": [SMALLEST, args.largest],
                "answers": dict(sum((outcome for outcome, _ in results), Counter())),
                "longest_wait_s": round(max(longest for _, longest in results), 2),
                "longest_health_s": round(health.result(), 3),
                "peak_mib": round(peak_mib(server.pid)),
            }
        finally:
            ended.set()
            server.terminate()
    print(json.dumps(found))
    return int(found["answers"].keys() != {"right"})


if __name__ == "__main__":
    sys.exit(main())
