import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smidgen.judging.verdict import CONFIRMED, Fit, judge_history

FLOOR, START = 0.06, 0.4


def history(train: Sequence[float], val: Sequence[float]) -> list[dict[str, float]]:
    return [
        {"epoch": i + 1, "loss": float(t), "val_loss": float(v)}
        for i, (t, v) in enumerate(zip(train, val, strict=True))
    ]


EPOCHS = np.arange(40)
SETTLED = FLOOR + 0.02 + 0.3 * np.exp(-EPOCHS / 3)
FALLING = FLOOR + 0.3 * np.exp(-EPOCHS / 20)
STUCK = np.full(40, START - 0.05) + 0.001 * np.sin(EPOCHS)
RISING = FLOOR + 0.02 + 0.3 * np.exp(-EPOCHS / 3) + 0.0008 * np.maximum(0, EPOCHS - 15)
BLOWN_UP = SETTLED + np.where(EPOCHS > 30, 2.0, 0.0)


@pytest.mark.parametrize(
    ("train", "val", "ending", "expected"),
    [
        (SETTLED, SETTLED + 0.001, "finished", Fit.CONVERGED),
        (FALLING, FALLING + 0.001, "finished", Fit.STILL_IMPROVING),
        (STUCK, STUCK, "finished", Fit.UNDERFIT),
        (FALLING, RISING, "stopped early", Fit.OVERFIT),
        (FALLING[:3], FALLING[:3], "finished", Fit.STILL_IMPROVING),
        (SETTLED[:3], SETTLED[2::-1], "finished", Fit.STILL_IMPROVING),
        (SETTLED[:21], SETTLED[:21], "interrupted", Fit.STILL_IMPROVING),
        (SETTLED, SETTLED, "diverged", Fit.STILL_IMPROVING),
        (BLOWN_UP, BLOWN_UP, "finished", Fit.STILL_IMPROVING),
        (FALLING - 0.04, RISING, "finished", Fit.OVERFIT),
    ],
    ids=["converged", "still improving", "underfit", "overfit", "few epochs", "few epochs, first best", "interrupted",
         "diverged", "unstable", "overfit below the floor"],
)  # fmt: skip
def test_each_kind_of_history_gets_its_verdict(train: np.ndarray, val: np.ndarray, ending: str, expected: Fit):
    """Constructed histories of each kind are told apart, each with reasons."""
    verdict = judge_history(history(train, val), floor=FLOOR, start=START, ending=ending)
    assert verdict.fit == expected
    assert len(verdict.reasons) >= 2


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_change_the_verdict(seed: int):
    """A little noise on a settled history, as real validation has, leaves it converged."""
    noise = 1 + 0.004 * np.random.default_rng(seed).standard_normal(40)
    settled = (SETTLED - FLOOR) * noise + FLOOR
    assert judge_history(history(settled, settled), floor=FLOOR, start=START, ending="finished").fit == Fit.CONVERGED


def test_no_epoch():
    """A training stopped before its first epoch has nothing to judge."""
    assert judge_history([], floor=0, start=1, ending="interrupted").fit == Fit.STILL_IMPROVING


# Of docs/runs/verdict.jsonl: floor, loss of a blank output, losses of training and of validation.
DIGITS_ON_GARMENTS = (
    0.0590, 0.3904,
    [0.6687, 0.4552, 0.3173, 0.2609, 0.2208, 0.195, 0.1709, 0.1469, 0.1345, 0.1259, 0.1191, 0.1154, 0.112, 0.1098,
     0.1076, 0.1049, 0.103, 0.1015, 0.1006, 0.09864, 0.09776, 0.09694, 0.0967, 0.09571, 0.09479, 0.09415, 0.09337,
     0.093, 0.09241, 0.0921, 0.09173, 0.0916, 0.09125, 0.09114, 0.09096, 0.09087, 0.0908, 0.09077, 0.09074, 0.09073],
    [0.5493, 0.3878, 0.2693, 0.2374, 0.1922, 0.1932, 0.1519, 0.1371, 0.1296, 0.1225, 0.1204, 0.1146, 0.1148, 0.1117,
     0.1083, 0.1064, 0.1056, 0.104, 0.1019, 0.1007, 0.1005, 0.0992, 0.09809, 0.09784, 0.09653, 0.09607, 0.09623,
     0.09502, 0.09483, 0.09451, 0.09464, 0.09423, 0.09403, 0.09389, 0.09389, 0.09383, 0.0938, 0.09377, 0.09375,
     0.09375],
)  # fmt: skip
DIGITS_UNDER_GARMENTS = (
    0.0590, 0.3904,
    [0.4692, 0.2571, 0.2226, 0.2024, 0.1945],
    [0.2869, 0.2367, 0.2097, 0.1955, 0.1941],
)  # fmt: skip
PHOTOGRAPHS = (
    0.5557, 0.6676,
    [0.7225, 0.6289, 0.5888, 0.5854, 0.5834],
    [0.642, 0.5765, 0.5762, 0.5722, 0.5721],
)  # fmt: skip
PHOTOGRAPHS_BY_MSE = (
    0.0, 0.04902,
    [0.1262, 0.024, 0.004997, 0.003924, 0.003518, 0.003298, 0.0031, 0.003039, 0.002997, 0.00298],
    [0.0756, 0.006139, 0.004639, 0.00394, 0.0036, 0.003453, 0.00334, 0.003283, 0.00325, 0.003243],
)  # fmt: skip
RESTLESS_PHOTOGRAPHS = (
    0.5288, 0.6810,
    [0.6931, 0.6931, 0.6796, 0.6486, 2.206, 1.162, 1.095, 0.6399, 0.7446, 0.6721, 0.5997, 0.5885, 0.6326, 0.6219,
     0.5805, 0.6222, 0.6359, 0.5889, 0.6063],
    [0.6931, 0.6827, 0.617, 2.244, 1.132, 1.032, 0.6094, 0.7051, 0.6353, 0.5719, 0.56, 0.5981, 0.5888, 0.5512,
     0.592, 0.6047, 0.5604, 0.5776, 0.5759],
)  # fmt: skip
SMALL_DIGITS = (
    0.2034, 0.6156,
    [0.6158, 0.4272, 0.3641, 0.3456, 0.3396, 0.3354, 0.3327, 0.3302, 0.3284, 0.3268, 0.3256, 0.3242, 0.3235, 0.3229,
     0.3224, 0.3221, 0.3217, 0.3215, 0.3213, 0.3212],
    [0.4776, 0.3638, 0.3321, 0.325, 0.3207, 0.3202, 0.3185, 0.3156, 0.3141, 0.3132, 0.3124, 0.3119, 0.3114, 0.3114,
     0.3112, 0.311, 0.3106, 0.3107, 0.3106, 0.3106],
)  # fmt: skip


@pytest.mark.parametrize(
    ("real", "ending", "expected"),
    [
        (DIGITS_ON_GARMENTS, "finished", Fit.STILL_IMPROVING),  # twice the epochs took 17 % off
        (DIGITS_UNDER_GARMENTS, "finished", Fit.STILL_IMPROVING),  # 34 %
        (PHOTOGRAPHS, "finished", Fit.STILL_IMPROVING),  # 40 %
        (PHOTOGRAPHS_BY_MSE, "finished", Fit.STILL_IMPROVING),  # 18 %
        (RESTLESS_PHOTOGRAPHS, "stopped early", Fit.STILL_IMPROVING),  # the rest of its 80 epochs took 47 % off
        (SMALL_DIGITS, "finished", Fit.CONVERGED),  # 3 %
    ],
    ids=["digits on garments", "digits under garments", "photographs", "photographs by MSE", "restless photographs",
         "small digits"],
)  # fmt: skip
def test_real_trainings_get_the_verdict_that_a_longer_one_confirms(real: tuple[Any, ...], ending: str, expected: Fit):
    """Where a real longer training gained much the shorter one was still improving, however calm it ended."""
    floor, start, train, val = real
    verdict = judge_history(history(train, val), floor=floor, start=start, ending=ending)
    assert verdict.fit == expected


def test_the_stated_shares_are_those_of_the_stored_trainings(monkeypatch: pytest.MonkeyPatch):
    """How often a longer training confirmed a verdict, as users are told, is what the stored losses give."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    benchmark = importlib.import_module("verdict")
    judged = [(benchmark.judge(case), case) for case in benchmark.find_cases(benchmark.read_runs())]
    for fit, stated in CONFIRMED.items():
        confirmed = [benchmark.is_right(fit, case) for found, case in judged if found == fit]
        assert stated == f"{sum(confirmed)} of {len(confirmed)}"


@pytest.mark.parametrize(("floor", "said"), [(FLOOR, True), (0.0, False)])
def test_a_floor_is_told_where_there_is_one(floor: float, said: bool):
    """Of a loss that can fall to nothing no floor is told."""
    reasons = judge_history(history(SETTLED, SETTLED), floor=floor, start=START, ending="finished").reasons
    assert ("floor 0" in reasons[0]) is said
