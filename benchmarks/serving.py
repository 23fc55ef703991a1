"""The server under load, and the playground's delay in a browser.

    python benchmarks/serving.py [--seconds 20] [--clients 8] [--bad 4] [--strokes 60] [--chromium PATH]

Loopback, everything on one machine: `smidgen serve` in a process of its own, clients in others, each with
one connection, posting 28 x 28 PNGs without a pause. With `--bad`, as many other clients send bodies over
the limit, broken images, wrong types, requests that stop half-way, and connections that say nothing. Then
strokes on the playground's board, from the pointer's release to the picture, as the browser measures both.
"""

import argparse
import io
import random
import shutil
import socket
import statistics
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image

MODEL = "digits-on-garments"


def good_client(address: str, until: float, seed: int) -> tuple[list[float], list[str]]:
    """Milliseconds of each answer, and what went wrong."""
    generator = np.random.default_rng(seed)
    images = []
    for _ in range(20):
        file = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (28, 28), np.uint8)).save(file, "png")
        images.append(file.getvalue())
    spent, wrong = [], []
    with httpx.Client(base_url=address, timeout=30) as client:
        while time.time() < until:
            started = time.perf_counter()
            try:
                status = client.post("/denoise", content=random.choice(images)).status_code
            except httpx.HTTPError as error:
                status = repr(error)
            spent.append(1000 * (time.perf_counter() - started))
            if status != 200:
                wrong.append(str(status))
    return spent, wrong


def bad_client(address: str, until: float, seed: int) -> dict[str, dict[str, int]]:
    """How often each kind of bad request was answered with which status."""
    choose = random.Random(seed)
    place = urlsplit(address)
    found: dict[str, dict[str, int]] = {}

    def post(content: bytes, kind: str) -> str:
        with httpx.Client(base_url=address, timeout=30) as client:
            return str(client.post("/denoise", content=content, headers={"content-type": kind}).status_code)

    def send(text: bytes, wait: float) -> str:
        with socket.create_connection((place.hostname, place.port), timeout=wait) as connection:
            connection.sendall(text)
            try:
                answer = connection.recv(200)
            except TimeoutError:
                return "gave up first"
            return answer.split(b" ")[1].decode() if answer else "closed"

    head = f"POST /denoise HTTP/1.1\r\nhost: {place.netloc}\r\n".encode()
    attacks = {
        "over the limit": lambda: post(bytes(17 * 2**20), "image/png"),
        "broken image": lambda: post(b"\x89PNG\r\n\x1a\n" + choose.randbytes(500), "image/png"),
        "wrong type": lambda: post(b"{}", "application/json"),
        "body stops half-way": lambda: send(head + b"content-length: 1000\r\n\r\nabc", 15),
        "headers stop half-way": lambda: send(head, 15),
        "says nothing": lambda: send(b"", 15),
        "no HTTP": lambda: send(b"\x00\x01 nonsense\r\n\r\n", 5),
    }
    while time.time() < until:
        name = choose.choice(list(attacks))
        try:
            status = attacks[name]()
        except (httpx.HTTPError, OSError) as error:
            status = type(error).__name__
        found.setdefault(name, {}).setdefault(status, 0)
        found[name][status] += 1
    return found


def resident_mib(pid: int) -> float:
    """Of a process, MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def measure_load(address: str, pid: int, seconds: float, clients: int, bad: int) -> None:
    started = time.time()
    until = started + seconds
    memory = []
    with get_context("spawn").Pool(clients + bad) as pool:
        good = [pool.apply_async(good_client, (address, until, seed)) for seed in range(clients)]
        others = [pool.apply_async(bad_client, (address, until, seed)) for seed in range(bad)]
        while time.time() < until:
            time.sleep(min(1, seconds / 10))
            memory.append(resident_mib(pid))
        spent, wrong = [], []
        for one in good:
            times, troubles = one.get(60)
            spent += times
            wrong += troubles
        answered: dict[str, dict[str, int]] = {}
        for one in others:
            for name, counts in one.get(60).items():
                for status, count in counts.items():
                    answered.setdefault(name, {}).setdefault(status, 0)
                    answered[name][status] += count
    spent.sort()
    tenth = max(1, len(memory) // 10)
    early, late = statistics.median(memory[tenth : 3 * tenth + 1]), statistics.median(memory[-2 * tenth :])
    print(
        f"{clients} clients, {bad} bad ones, {seconds:.0f} s: {len(spent):,} answers, {len(spent) / seconds:,.0f} a "
        f"second, median {statistics.median(spent):.1f} ms, p99 {spent[int(0.99 * len(spent))]:.1f} ms, "
        f"{len(wrong)} errors {wrong[:3]}"
    )
    print(f"memory {early:.0f} MiB after a tenth, {late:.0f} MiB in the end ({late / early - 1:+.1%})")
    for name, counts in sorted(answered.items()):
        print(f"  {name}: {counts}")


def measure_delay(address: str, chromium: str, strokes: int) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(address)
        page.wait_for_timeout(2000)
        box = page.locator("#board").bounding_box()
        spent = []
        for number in range(strokes):
            page.wait_for_timeout(150)
            page.evaluate("performance.clearMarks()")
            x, y = (
                box[side] + (0.2 + 0.6 * random.random()) * box[size]
                for side, size in (("x", "width"), ("y", "height"))
            )
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + 30 * (number % 3 - 1), y + 40, steps=4)
            page.mouse.up()
            page.wait_for_timeout(400)  # the last picture is the one of the finished stroke
            marks = (f"performance.getEntriesByName('{name}').at(-1).startTime" for name in ("picture", "pointer-up"))
            spent.append(max(0.0, page.evaluate(" - ".join(marks))))  # it may be there before the pointer is up
        browser.close()
    spent.sort()
    print(f"from pointer-up to the picture: median {statistics.median(spent):.0f} ms, "
          f"p95 {spent[int(0.95 * len(spent))]:.0f} ms, worst {spent[-1]:.0f} ms of {strokes} strokes")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--bad", type=int, default=0)
    parser.add_argument("--strokes", type=int, default=60)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    args = parser.parse_args()
    command = [sys.executable, "-m", "smidgen", "serve", MODEL, "--beside", f"{MODEL}-best", "--no-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = server.stderr.readline().split()[0]
            if args.strokes and args.chromium:
                measure_delay(address, args.chromium, args.strokes)
            if args.seconds:
                measure_load(address, server.pid, args.seconds, args.clients, args.bad)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
