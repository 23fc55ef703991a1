"""A training in stretches, from checkpoint to checkpoint: whoever computes one needs but the pairs and bytes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from smidgen.data.pairs import Dataset
from smidgen.errors import FileError
from smidgen.files import make_folder, write_whole
from smidgen.network.spec import Spec
from smidgen.training.checkpoint import (
    TrainingState,
    check_weights,
    load_checkpoint,
    pack_checkpoint,
    unpack_checkpoint,
)
from smidgen.training.loop import DivergedError, Loop
from smidgen.training.recipe import Recipe
from smidgen.training.train import Trained, diverged, ending_of, first_state, identity_of, trained_of

REDUCTION = 3
FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What is to be done of one training.

    Attributes:
        number: whose it is, for whoever asked.
        spec, recipe: of the training.
        checkpoint: where it stands, the content of a checkpoint's file; empty at the start.
        until: the number of epochs to come to.
    """

    number: int
    spec: Spec
    recipe: Recipe
    checkpoint: bytes
    until: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """What came of a stretch.

    Attributes:
        checkpoint: where the training stands now.
        ending: how it ended, as in `Trained`, or `FAILED`; empty while there is more to do.
        error: why it failed.
    """

    checkpoint: bytes
    ending: str
    error: str = ""


@dataclass(frozen=True)
class Trainer:
    """Does stretches of trainings on one data set: the same stretch gives the same bits, but for the times it tells."""

    dataset: Dataset

    def do(self, stretch: Stretch) -> Part:
        """Train on.

        Raises:
            FileError: the pairs can no longer be read, or the checkpoint is damaged or another training's.
        """
        identity = identity_of(self.dataset, stretch.spec, stretch.recipe)
        try:
            if stretch.checkpoint:
                state = unpack_checkpoint(stretch.checkpoint, identity)
            else:
                state = first_state(stretch.spec, stretch.recipe)
            loop = Loop(stretch.spec, self.dataset, stretch.recipe, state, None)
            try:
                while not (ending := ending_of(loop.state, stretch.recipe)) and loop.state.epoch < stretch.until:
                    loop.run_epoch_or_roll_back()
            except DivergedError:
                ending = diverged(loop.state)
            return Part(checkpoint=pack_checkpoint(loop.state, identity), ending=ending)
        except (FileError, OSError):
            raise  # not the training's fault
        except Exception as error:  # of this training; others go on
            return Part(checkpoint=stretch.checkpoint, ending=FAILED, error=f"{type(error).__name__}: {error}")


def rungs_of(most_epochs: int) -> tuple[int, ...]:
    """Epochs after which trainings are compared: a 27th, a ninth and a third of the longest, about."""
    first = max(1, most_epochs // REDUCTION**3)
    return first, first * REDUCTION, first * REDUCTION**2


@dataclass(kw_only=True, eq=False)
class Training:
    """One training that is done in stretches, and the file with its checkpoint.

    Attributes:
        number: its own among others.
        dataset, spec, recipe: what is trained on what, and how.
        path: of the checkpoint; a training whose file is missing begins anew.
        rungs: epochs at which it stops; from the last on it stops after as many again.
        history, seconds: so far.
        ending, error: as in `Part`.
    """

    number: int
    dataset: Dataset
    spec: Spec
    recipe: Recipe
    path: Path
    rungs: tuple[int, ...]
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    ending: str = ""
    error: str = ""

    def __post_init__(self) -> None:
        if self.path.exists():
            state = self._load()
            self._follow(state)
            self.ending = self.ending or ending_of(state, self.recipe)
        elif self.ending != FAILED:
            self.ending = ""

    @property
    def done(self) -> int:
        """Epochs."""
        return len(self.history)

    def loss_at(self, epochs: int) -> float:
        """The lowest validation loss of the first epochs; infinite where there is none."""
        losses = [record["val_loss"] for record in self.history[:epochs]]
        return min((loss for loss in losses if not math.isnan(loss)), default=math.inf)

    def next_stretch(self) -> Stretch:
        """From where it stands to the next stop."""
        last = self.rungs[-1]
        stops = (*self.rungs, *range(last, self.recipe.epochs, last), self.recipe.epochs)
        until = min(self.recipe.epochs, *(stop for stop in stops if stop > self.done))
        checkpoint = self.path.read_bytes() if self.done else b""
        return Stretch(number=self.number, spec=self.spec, recipe=self.recipe, checkpoint=checkpoint, until=until)

    def take(self, part: Part) -> None:
        """Go on from what came of the last stretch.

        Raises:
            FileError: the checkpoint cannot be written.
        """
        if part.ending != FAILED:
            make_folder(self.path.parent)
            write_whole(self.path, part.checkpoint)
            self._follow(self._load())
        self.ending, self.error = part.ending, part.error

    def trained(self) -> Trained:
        """What it gave so far."""
        return trained_of(self._load(), self.ending)

    def _load(self) -> TrainingState:
        state = load_checkpoint(self.path, identity_of(self.dataset, self.spec, self.recipe))
        check_weights(state, self.spec.network())
        return state

    def _follow(self, state: TrainingState) -> None:
        self.history, self.seconds = state.history, state.seconds


class Queue(Iterator[Stretch]):
    """The stretches of several trainings, each as soon as it may be done: asked for more when it had none, it may."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        self.trainings = trainings
        self.under_way: set[int] = set()

    def due(self) -> Sequence[Training]:
        """What may go on now, whether it does already or not."""
        return [training for training in self.trainings if not training.ending]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Stretch:
        """Of the training that is furthest, so that what was begun ends first."""
        due = [training for training in self.due() if training.number not in self.under_way]
        if not due:
            raise StopIteration
        training = min(due, key=lambda training: (-training.done, training.number))
        stretch = training.next_stretch()
        self.under_way.add(training.number)
        return stretch

    def take(self, stretch: Stretch, part: Part) -> None:
        """What came of a stretch."""
        self.trainings[stretch.number].take(part)
        self.under_way.discard(stretch.number)
