"""A server among clients of all kinds: good, large, slow, huge, broken and vanished ones.

    python benchmarks/serving_mixed.py [MODEL] [--seconds 300] [--small 2] [--large 2] [--idle 10]

`smidgen serve` runs in a process of its own. First one client alone posts 28 x 28 pictures (`--idle` seconds), then
all at once: `--small` clients with such pictures, a tenth of a second apart, `--large` ones with pages of A4 at 300
dots an inch, without a pause; one that sends its bodies byte by byte, one that sends what `benchmarks/serving.py` calls
bad, and one that sends pages and leaves at once. Every answer to a good client is compared, byte for byte, with what
the picture gives alone. Printed is one JSON object; the exit code is 0 where all were right. Memory is that of the
server and its readers: the medians of the second tenth of the time and of the last, and what is left in the end.
"""

import argparse
import io
import json
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image
from serving import bad_client

from smidgen.images.picture import pack_picture, read_picture
from smidgen.model.pictures import denoise_picture
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model

SMALL, A4 = (28, 28), (3508, 2480)
PAUSE = 0.1
Pair = tuple[bytes, bytes]


def make_pairs(model: str, shape: tuple[int, int], count: int) -> list[Pair]:
    """Pictures, and what comes of each alone."""
    generator, runtime, pairs = np.random.default_rng(0), Runtime(find_model(model), threads=1), []
    for _ in range(count):
        file = io.BytesIO()
        noise = generator.normal(200, 30, shape).clip(0, 255).astype(np.uint8)
        Image.fromarray(noise).save(file, "png", compress_level=1)
        content = file.getvalue()
        pairs.append((content, pack_picture(denoise_picture(runtime, read_picture(content))[0])))
    return pairs


def good_client(address: str, until: float, pairs: list[Pair], pause: float) -> tuple[list[float], list[str]]:
    """Milliseconds of each answer, and what went wrong."""
    spent, wrong = [], []
    with httpx.Client(base_url=address, timeout=300) as client:
        while time.time() < until:
            content, expected = pairs[len(spent) % len(pairs)]
            started = time.perf_counter()
            answer = client.post("/denoise", content=content)
            spent.append(1000 * (time.perf_counter() - started))
            if answer.content != expected:
                wrong.append(f"{answer.status_code}: {answer.text[:80]}")
            time.sleep(pause)
    return spent, wrong


def vanishing_client(address: str, until: float, content: bytes) -> int:
    """How often it left a page behind."""
    place, number = urlsplit(address), 0
    while time.time() < until:
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = f"POST /denoise HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-length: {len(content)}\r\n\r\n"
            connection.sendall(head.encode() + content)
            time.sleep(0.1 * (number % 5))
        number += 1
        time.sleep(1)
    return number


def slow_client(address: str, until: float, content: bytes) -> int:
    """How often it sent a picture, a byte now and then."""
    place, number = urlsplit(address), 0
    while time.time() < until:
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = f"POST /denoise HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-length: {len(content)}\r\n\r\n"
            try:
                for byte in head.encode() + content:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.02)
            except OSError:
                pass
        number += 1
    return number


def resident_mib(pid: int) -> float:
    """Of a process, of those that it began, and so on; 0 for one that has ended."""
    try:
        own = int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]) / 1024
        begun = {child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()}
    except OSError:
        return 0
    return own + sum(resident_mib(int(child)) for child in begun)


def share(values: list[float], part: float) -> float:
    return round(sorted(values)[int(part * len(values))], 1)


def measure(address: str, pid: int, args: argparse.Namespace, small: list[Pair], pages: list[Pair]) -> dict:
    good_client(address, time.time() + 0.5, small, PAUSE)  # a process that reads is there
    idle, wrong = good_client(address, time.time() + args.idle, small, PAUSE)
    memory = []
    clients = args.small + args.large + 3
    with ThreadPoolExecutor(1) as watch, get_context("spawn").Pool(clients) as pool:
        pool.map(time.sleep, [1] * clients, chunksize=1)  # until all are there
        until = time.time() + args.seconds
        good = [pool.apply_async(good_client, (address, until, small, PAUSE)) for _ in range(args.small)]
        large = [pool.apply_async(good_client, (address, until, pages, 0)) for _ in range(args.large)]
        vanished = pool.apply_async(vanishing_client, (address, until, pages[0][0]))
        slow = pool.apply_async(slow_client, (address, until, small[0][0]))
        bad = pool.apply_async(bad_client, (address, until, 0))

        def look() -> None:
            while time.time() < until:
                memory.append(resident_mib(pid))
                time.sleep(0.5)

        looking = watch.submit(look)
        small_spent, large_spent = ([one.get(args.seconds + 300) for one in some] for some in (good, large))
        looking.result()
        found_bad = bad.get(60)
        gone, slowly = vanished.get(60), slow.get(60)
    tenth = max(1, len(memory) // 10)
    early, late = statistics.median(memory[tenth : 2 * tenth]), statistics.median(memory[-tenth:])
    spent, page_spent = ([ms for times, _ in some for ms in times] for some in (small_spent, large_spent))
    wrong += [text for _, troubles in (*small_spent, *large_spent) for text in troubles]
    return {
        "idle_ms": {"median": share(idle, 0.5), "p99": share(idle, 0.99), "n": len(idle)},
        "small_ms": {"median": share(spent, 0.5), "p99": share(spent, 0.99), "n": len(spent)},
        "page_s": {"median": share(page_spent, 0.5) / 1000, "longest": max(page_spent) / 1000, "n": len(page_spent)},
        "wrong": wrong[:5],
        "vanished": gone,
        "slow": slowly,
        "bad": found_bad,
        "memory_mib": [round(early), round(late), round(resident_mib(pid))],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="digits-on-garments")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--small", type=int, default=2)
    parser.add_argument("--large", type=int, default=2)
    parser.add_argument("--idle", type=float, default=10)
    args = parser.parse_args()
    small, pages = make_pairs(args.model, SMALL, 20), make_pairs(args.model, A4, 2)
    command = [sys.executable, "-m", "smidgen", "serve", args.model, "--no-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = server.stderr.readline().split()[0]
            found = measure(address, server.pid, args, small, pages)
        finally:
            server.terminate()
    print(json.dumps(found))
    return int(bool(found["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
