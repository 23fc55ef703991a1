"""Nested loops around Keras against `smidgen search` over the same 24 combinations, in one run.

    python benchmarks/nested_loop.py --data FOLDER --keras-python PYTHON [--pairs 10000]

PYTHON is the interpreter of an environment with `benchmarks/requirements-keras.txt`. Both get the same
pairs, cores and candidates (the classic `plain` network; epochs, batch size, optimizer, rate). Printed
is the wall time of the loops, and of the search until its first model with a validation loss at least
as low, starting and loading included in both; and the processor time of each in all, which tells on a busy machine.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import optuna

from smidgen.data.tasks import DEFAULT_TASK, load_task
from smidgen.search.study import STUDY_FILE

HERE = Path(__file__).parent
GRID = """network = "plain"
epochs = [10, 20]
batch_size = [64, 128]
optimizer = ["adam", "sgd"]
learning_rate = [1e-2, 1e-3, 1e-4]
patience = 100
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--keras-python", required=True)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    dataset = load_task(DEFAULT_TASK, args.data)
    train, val = dataset.train.example(args.pairs), dataset.val.first(args.pairs // 10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "keras.npz", X_train=train.noisy, y_train=train.clean, X_val=val.noisy, y_val=val.clean)
        np.savez(folder / "train.npz", X=train.noisy, y=train.clean)
        np.savez(folder / "val.npz", X=val.noisy, y=val.clean)
        (folder / "grid.toml").write_text(GRID)
        started, before = time.time(), core_seconds()
        command = [args.keras_python, str(HERE / "nested_loop_keras.py"), "keras.npz", "loops.json"]
        subprocess.run(command, cwd=folder, check=True)
        loops = json.loads((folder / "loops.json").read_text())
        seconds = time.time() - started
        cores = core_seconds() - before
        print(f"loops:  {seconds:.0f} s, {cores:.0f} core-seconds, best {loops['best']}", flush=True)
        started, before = time.time(), core_seconds()
        command = [sys.executable, "-m", "smidgen", "search", "train.npz", "--val", "val.npz", "--test", "val.npz",
                   "--grid", "grid.toml", "--prune", "--jobs", str(args.jobs), "--out", "study"]  # fmt: skip
        subprocess.run(command, cwd=folder, check=True)
        whole, searched = time.time() - started, core_seconds() - before
        trials = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study' / STUDY_FILE}").trials
        ends = [
            trial.datetime_complete.timestamp()
            for trial in trials
            if trial.state == optuna.trial.TrialState.COMPLETE and trial.value <= loops["best"][0]
        ]
        reached = min(ends) - started if ends else float("nan")
        found = min((trial.value for trial in trials if trial.value is not None), default=float("nan"))
        print(f"search: {whole:.0f} s, {searched:.1f} core-seconds in all, {cores / searched:.0f} times fewer; "
              f"best {found:.4f}; as good as the loops' best after {reached:.0f} s, "
              f"{seconds / reached:.1f} times sooner")  # fmt: skip


def core_seconds() -> float:
    """Of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
