"""Trainings and searches killed with SIGKILL at random moments and taken up again until they are done.

    python benchmarks/kills.py [--trainings 100] [--searches 20] [--seed 0]

Each training is the same short one. It is killed after a random time, begun again with --resume, killed
again, and so on, a few times; then it is left alone. In the end its weights must be those of a training
that nobody disturbed, and after every kill whatever stands in the folder must be readable. A search is
killed with its workers; in the end its table must be that of one that nobody disturbed, but for the times.
Processes are forked from one that has imported everything, so that kills fall into the work and not into the
imports.
"""

import argparse
import contextlib
import csv
import importlib
import io
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import numpy as np

from smidgen.cli.main import main as smidgen
from smidgen.model.file import read_model
from smidgen.training import checkpoint
from smidgen.training.checkpoint import CHECKPOINT, load_checkpoint

MOST_KILLS = 4


def make_pairs(path: Path) -> None:
    generator = np.random.default_rng(0)
    clean = np.zeros((200, 8, 8), np.float32)
    clean[np.arange(200), generator.integers(0, 8, 200)] = 1
    noisy = np.clip(clean + 0.3 * generator.standard_normal(clean.shape), 0, 1).astype(np.float32)
    np.savez(path, X=noisy, y=clean)


def run(command: list[str]) -> None:
    """A command in this process, silently; it leads a group of its own, so that workers die with it."""
    os.setpgid(0, 0)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = smidgen(command)
    if code not in (0, 2):
        Path(command[-1], "trouble").write_text(said.getvalue())
    os._exit(code)


def start(command: list[str]) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=run, args=(command,))
    process.start()
    return process


def kill(process: multiprocessing.Process, seconds: float) -> bool:
    """Kill it and its workers after so long; whether it was still running."""
    process.join(seconds)
    if process.exitcode is not None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    return True


def check_readable(folder: Path) -> None:
    """Every file under its own name can be read."""
    identity = None
    if (folder / CHECKPOINT).exists():
        with np.load(folder / CHECKPOINT, allow_pickle=False) as content:
            identity = json.loads(content["told"].tobytes())["identity"]
        load_checkpoint(folder / CHECKPOINT, identity)
    if (folder / "model.onnx").exists():
        read_model(folder / "model.onnx")
    for name in ("history.jsonl",):
        if (folder / name).exists():
            [json.loads(line) for line in (folder / name).read_text().splitlines()]
    if (folder / "run.json").exists():
        json.loads((folder / "run.json").read_text())


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    return read_model(folder / "model.onnx")[1]


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def kill_trainings(number: int, choose: random.Random, folder: Path) -> None:
    pairs = folder / "pairs.npz"
    make_pairs(pairs)

    def command(out: Path, *more: str) -> list[str]:
        # On another number of threads each time, which must change nothing.
        options = ["--budget", "400", "--epochs", "300", "--threads", str(choose.randint(1, 3)), *more]
        return ["train", str(pairs), *options, "--out", str(out)]

    started = time.monotonic()
    whole = start(command(folder / "whole"))
    whole.join()
    seconds = time.monotonic() - started
    expected = weights_of(folder / "whole")
    kills, good = 0, 0
    for attempt in range(number):
        out = folder / f"run{attempt}"
        for _ in range(MOST_KILLS):
            process = start(command(out, *(["--resume"] if out.exists() else [])))
            if not kill(process, choose.uniform(0, seconds)):
                break
            kills += 1
            if out.exists():
                check_readable(out)
        if not (out / "report.html").exists():
            last = start(command(out, *(["--resume"] if out.exists() else [])))
            last.join()
        finished = (out / "report.html").exists() and same(weights_of(out), expected)
        good += finished
        if not finished:
            print(f"training {attempt}: NOT the same, see {out}")
    print(f"{number} trainings of {seconds:.1f} s, {kills} kills: {good} ended with the weights of the undisturbed one")


def table(folder: Path) -> list[dict[str, str]]:
    """What a search found, but for the times."""
    with (folder / "trials.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def kill_searches(number: int, choose: random.Random, folder: Path) -> None:
    pairs = folder / "pairs.npz"
    make_pairs(pairs)

    def command(out: Path) -> list[str]:
        options = ["--budget", "100", "--trials", "12", "--epochs", "27", "--jobs", str(choose.randint(1, 3))]
        return ["search", str(pairs), *options, "--out", str(out)]

    started = time.monotonic()
    start(command(folder / "undisturbed")).join()
    seconds = time.monotonic() - started
    expected = table(folder / "undisturbed")
    kills, good = 0, 0
    for attempt in range(number):
        out = folder / f"study{attempt}"
        for _ in range(MOST_KILLS):
            if not kill(start(command(out)), choose.uniform(0, seconds)):
                break
            kills += 1
        start(command(out)).join()
        same_table = (out / "trials.csv").exists() and table(out) == expected
        good += same_table
        if not same_table:
            print(f"search {attempt}: NOT the same, see {out}")
    print(f"{number} searches of 12 trials in {seconds:.1f} s, {kills} kills: {good} ended with the undisturbed table")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    choose = random.Random(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    for module in ("cli.search", "cli.train", "runs.run", "search.results"):  # so that forked processes need not
        importlib.import_module(f"smidgen.{module}")
    checkpoint._SECONDS_BETWEEN_CHECKPOINTS = 0.0  # the more is written, the more is there to be torn
    if args.trainings:
        kill_trainings(args.trainings, choose, folder)
    if args.searches:
        kill_searches(args.searches, choose, folder)


if __name__ == "__main__":
    main()
