"""How often the verdict on a training is right, against trainings that really were longer.

    python benchmarks/verdict.py --data FOLDER
    python benchmarks/verdict.py --table

The first trains what docs/runs/verdict.jsonl does not hold yet (all: 45 core-minutes, one thread) and adds
a line for each training, its losses included; `--table` only judges what is there. FOLDER holds `mnist`,
`fashion-mnist` and `bsd/train400` (grey photographs); scikit-learn brings its 8 x 8 digits. The stored
trainings of `plain` on the full tasks are taken along.

An annealed training is compared with another of twice the epochs, since its rate has fallen to
nothing; one of constant rate with itself gone on for as many epochs again. One that patience would
have stopped is compared with itself gone on to the end of its schedule, or at a constant rate for as
many epochs again, as far as there are any. Twice the training **helps** where it takes at least 5 % off
the best validation loss above the floor, 0.2 dB where that is an MSE: less is seldom worth the time.
Right is then: "still improving" where it helps, "converged" and "underfit" where it does not, and
"overfit" where it does not and ends more than 3 % above its best.
"""

import argparse
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from verdict_trainings import KEYS, read_runs, train_all

from smidgen.judging import verdict
from smidgen.judging.verdict import Fit, judge_history
from smidgen.model.records import Interval

HELPS, ENDED_ABOVE = 0.05, 0.03
PATIENCE, FEWEST_BEFORE_STOP, WORTH_COMPARING = 5, 6, 1.25
THRESHOLDS = [step / 200 for step in range(6, 61)]


@dataclass(frozen=True)
class Case:
    """A training to judge, and what a longer one came to.

    Attributes:
        run: the record its history is taken from.
        epochs: of that history, from the first.
        ending: as `judge_history` takes it.
        gain: how much lower the longer training's best lies, as a share of what lay above the floor.
        rise: how far the longer training ended above its own best, as a share of that.
    """

    run: dict[str, Any]
    epochs: int
    ending: str
    gain: float
    rise: float

    @property
    def task(self) -> str:
        """What it learned; different pairs of one kind are one task."""
        return str(self.run["task"]).removesuffix("-sample").removesuffix("-halved")


def find_cases(runs: list[dict[str, Any]]) -> list[Case]:
    """Every training of which a longer one is known, those of constant rate at an eighth, a quarter and half."""
    cases = []
    for run in runs:
        losses, epochs = run["val_loss"], run["epochs"]
        if run["annealed"]:
            cases += [_compare(run, epochs, "finished", other["val_loss"]) for other in runs if _is_double(run, other)]
        else:
            cases += [
                _compare(run, part, "finished", losses[: 2 * part]) for part in (epochs // 8, epochs // 4, epochs // 2)
            ]
        stopped = _stop(losses)
        longer = losses if run["annealed"] else losses[: 2 * stopped]
        if stopped >= FEWEST_BEFORE_STOP and len(longer) >= WORTH_COMPARING * stopped:
            cases.append(_compare(run, stopped, "stopped early", longer))
    return cases


def _is_double(run: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(run[name] == other[name] for name in KEYS[:-1]) and other["epochs"] == 2 * run["epochs"]


def _stop(losses: list[float]) -> int:
    """Epochs until `PATIENCE` of them brought nothing; all, where that never was."""
    best = 0
    for epoch, loss in enumerate(losses):
        best = epoch if loss < losses[best] else best
        if epoch - best == PATIENCE:
            return epoch + 1
    return len(losses)


def _compare(run: dict[str, Any], epochs: int, ending: str, longer: list[float]) -> Case:
    best, lowest = min(run["val_loss"][:epochs]) - run["floor"], min(longer) - run["floor"]
    return Case(run, epochs, ending, gain=1 - lowest / best, rise=(longer[-1] - run["floor"]) / lowest - 1)


def judge(case: Case, progress: float = verdict._PROGRESS) -> Fit:
    run, epochs = case.run, case.epochs
    losses = zip(run["loss"][:epochs], run["val_loss"][:epochs], strict=True)
    history = [{"loss": loss, "val_loss": val_loss} for loss, val_loss in losses]
    with patch.object(verdict, "_PROGRESS", progress):
        return judge_history(history, floor=run["floor"], start=run["start"], ending=case.ending).fit


def is_right(fit: Fit, case: Case) -> bool:
    helps = case.gain >= HELPS
    if fit == Fit.STILL_IMPROVING:
        return helps
    return not helps and (fit != Fit.OVERFIT or case.rise > ENDED_ABOVE)


def count_right(cases: list[Case], progress: float = verdict._PROGRESS) -> int:
    return sum(is_right(judge(case, progress), case) for case in cases)


def choose_progress(cases: list[Case]) -> float:
    """The threshold of the rule that is right most often; the middle one of several."""
    counts = [count_right(cases, progress) for progress in THRESHOLDS]
    return statistics.median_low(
        progress for progress, count in zip(THRESHOLDS, counts, strict=True) if count == max(counts)
    )


def print_table(cases: list[Case]) -> None:
    """How often each verdict is right, and with the threshold chosen on other tasks."""
    print(f"{len(cases)} comparisons; twice the training helped in {sum(case.gain >= HELPS for case in cases)}")
    print(f"{'verdict':<18}{'right':<12}twice the training gained (median; lowest to highest)")
    for fit in Fit:
        called = [case for case in cases if judge(case) == fit]
        gains = sorted(case.gain for case in called) or [math.nan]
        shown = f"{sum(is_right(fit, case) for case in called)} of {len(called)}"
        print(f"{fit:<18}{shown:<12}{statistics.median(gains):.1%}; {gains[0]:.1%} to {gains[-1]:.1%}")
    kinds = {
        "all": cases,
        "annealed, to the end": [case for case in cases if case.run["annealed"] and case.ending == "finished"],
        "annealed, stopped": [case for case in cases if case.run["annealed"] and case.ending != "finished"],
        "constant rate": [case for case in cases if not case.run["annealed"]],
    }
    for name, some in kinds.items():
        print(f"{name:<24}{share(count_right(some), len(some))}")
    unseen = 0
    for task in sorted({case.task for case in cases}):
        own, others = ([case for case in cases if (case.task == task) == wanted] for wanted in (True, False))
        progress = choose_progress(others)
        right = count_right(own, progress)
        unseen += right
        print(f"{task:<24}{right} of {len(own)} with {progress:.1%}, chosen on the other tasks")
    print(f"{'each task unseen':<24}{share(unseen, len(cases))}")


def share(right: int, n: int) -> str:
    interval = Interval.of(right, n)
    return f"{right} of {n}, {interval.rate:.0%} ({interval.low:.0%} to {interval.high:.0%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--table", action="store_true", help="train nothing")
    args = parser.parse_args()
    if not args.table:
        train_all(args.data)
    print_table(find_cases(read_runs()))


if __name__ == "__main__":
    main()
