"""What `run.json` holds: everything that a report shows besides pictures."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smidgen.data.origin import Origin
from smidgen.data.scale import Scales
from smidgen.errors import FileError
from smidgen.files import read_file
from smidgen.judging.evaluate import Evaluation
from smidgen.judging.verdict import Verdict
from smidgen.model.records import from_plain, to_plain
from smidgen.network.spec import spec_to_dict
from smidgen.training.checkpoint import EPOCH
from smidgen.training.experiment import Experiment
from smidgen.training.recipe import Recipe

RUN_FILE, IMAGES_FOLDER = "run.json", "images"
_MOST_BYTES = 64 * 2**20
_LARGEST = 1e100
REASONS = ("all", "first", "median", "worst")  # for which pairs are shown
LOSS_NAMES = {"bce": "binary cross-entropy", "mse": "mean squared error"}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A pair whose pictures lie in the run folder.

    Attributes:
        place: in the part that was scored.
        name: what it is called.
        size: (H, W).
        detail: rows and columns from where to where are shown at full size, or None where that is all of it.
        mse: of the denoised image.
        read: what the reader made of that, in words, or "".
        right: whether that is what it is, or None where that does not count.
        ends: the values, in [0, 1], that are shown as black and as white where there is no clean image.
        times: what the residual is multiplied by, so that it is seen.
    """

    place: int
    name: str
    size: tuple[int, int]
    detail: tuple[int, int, int, int] | None
    mse: float
    read: str
    right: bool | None
    ends: tuple[float, float] = (0.0, 1.0)
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One training, judged.

    Attributes:
        version: of Smidgen.
        command: how to do it again.
        origin, scales, warnings: of the pairs.
        spec: of the network, as plain data.
        recipe: of the training.
        ending, best_epoch, best_val_loss, epochs_done, seconds: how the training went.
        floor: the lowest validation loss that any output can reach.
        verdict: on the history.
        evaluation: on the part that was asked for.
        names: what "labels" and "partners" 0, 1, … mean, where they are not digits.
        history: one record an epoch; a loss that was no number is None.
        shown: the pairs of which the folder holds pictures, by what they were chosen for.
    """

    version: str
    command: str
    origin: Origin
    scales: Scales
    warnings: tuple[str, ...]
    spec: dict[str, Any]
    recipe: Recipe
    ending: str
    best_epoch: int
    best_val_loss: float | None
    epochs_done: int
    seconds: float
    floor: float
    verdict: Verdict
    evaluation: Evaluation
    names: dict[str, tuple[str, ...]]
    history: tuple[dict[str, float | None], ...]
    shown: dict[str, tuple[Shown, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what says one thing here and another there, as no run of ours does.

        Raises:
            ValueError: it does.
        """
        judged = self.evaluation
        digits = {str(digit) for digit, counts in enumerate(judged.confusion or ()) if sum(counts)}
        there = {
            "the kind of the network": "kind" in self.spec,
            "a loss that is known": self.recipe.loss in LOSS_NAMES,
            "the sizes of all parts": {"train", "val", "test"} <= self.origin.sizes.keys(),
            "epochs with their losses": all(map(_can_be_drawn, self.history)),
            "strengths of all baselines": judged.strengths.keys() >= judged.baselines.keys(),
            "ten readings of each digit": all(len(counts) == 10 for counts in judged.confusion or ()),
            "legibility of all digits": judged.legibility_by_digit.keys() >= digits,
            "pairs that were chosen for a reason": set(self.shown) <= set(REASONS),
        }
        if lacking := [name for name, holds in there.items() if not holds]:
            raise ValueError(f"it does not tell {lacking[0]}")

    @property
    def interrupted(self) -> bool:
        """Whether the training or the judging was, so that there is more to come."""
        return self.ending == "interrupted" or self.evaluation.interrupted


def _can_be_drawn(record: dict[str, float | None]) -> bool:
    numbers = [abs(value) for value in record.values() if value is not None]
    return record.keys() >= EPOCH and record["epoch"] is not None and all(n < _LARGEST for n in numbers)


def find_run(folder: Path, experiment: Experiment) -> RunRecord | None:
    """What the run in a folder found, if it is this experiment's and was not interrupted.

    Raises:
        FileError: as for `read_run`.
    """
    if not (folder / RUN_FILE).exists():
        return None
    found = read_run(folder)
    same = (
        found.origin.fingerprint == experiment.dataset.fingerprint
        and found.spec == to_plain(spec_to_dict(experiment.spec))
        and found.recipe == experiment.recipe
        and found.evaluation.split == experiment.split
    )
    return found if same and not found.interrupted else None


def read_run(folder: Path) -> RunRecord:
    """What a run folder tells of itself.

    Raises:
        FileError: it holds no finished run of this version.
    """
    try:
        return from_plain(RunRecord, json.loads(read_file(folder / RUN_FILE, _MOST_BYTES)))
    except (FileError, ValueError, RecursionError) as error:
        raise FileError(
            f"{folder} holds no finished run ({str(error).rstrip('.')})",
            expected="a folder written by 'smidgen train' of this version",
        ) from None
