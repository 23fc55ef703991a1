"""A whole training: best epoch on validation, early stopping, resume, interruption."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.pairs import Dataset
from smidgen.errors import SmidgenError
from smidgen.network.spec import Spec, spec_to_dict
from smidgen.training.checkpoint import Keeper, TrainingState
from smidgen.training.loop import MOST_ROLLBACKS, SMALLER_RATE, DivergedError, Loop, Progress
from smidgen.training.recipe import Recipe
from smidgen.training.start import draw_weights


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training gives.

    Attributes:
        weights: of the epoch that the recipe keeps.
        history: one record an epoch.
        best_epoch: that epoch, counted from 1.
        ending: "finished", "stopped early", "interrupted" or "diverged".
        seconds: spent training, over all resumptions.
        rollbacks: how often the loss was no number, and the training went back to the epoch kept so far and on
            from there with a smaller learning rate.
    """

    weights: dict[str, NDArray[np.float32]]
    history: list[dict[str, float]]
    best_epoch: int
    ending: str
    seconds: float
    rollbacks: int = 0


def train(
    dataset: Dataset,
    spec: Spec,
    settings: Recipe,
    *,
    folder: Path | None = None,
    resume: bool = False,
    watch: Callable[[Progress], None] | None = None,
    on_best: Callable[[dict[str, NDArray[np.float32]], int], None] | None = None,
    start: dict[str, NDArray[np.float32]] | None = None,
) -> Trained:
    """Train a network and keep the weights of its best epoch on validation, or of its last.

    After each epoch the whole state is written to `folder`, so that `resume` goes on as if nothing
    had happened: same pairs, same order, same noise, and on a like processor, with any number of threads, the same
    weights bit for bit. Ctrl-C ends the training and keeps the best so far. A loss that is no number sends it back to
    its best epoch with a third of the learning rate, three times.

    Args:
        dataset: pairs; `train` is drawn from, `val` chooses the epoch, `test` is not looked at.
        spec: of the network; an `Experiment` has checked that it fits the budget, the pairs and the loss.
        settings: the recipe.
        folder: gets the checkpoint and the history; None keeps nothing.
        resume: go on from the checkpoint in `folder` if there is one.
        watch: called now and then with the progress.
        on_best: called with the weights of the best epoch so far and its number, where the state was
            written to `folder` since they were found.
        start: weights to begin with; None draws them.

    Raises:
        FileError: the folder cannot be written to, or holds the checkpoint of another training.
        SmidgenError: the loss was NaN in the first epoch however small the learning rate.
    """
    keeper = Keeper(folder, identity_of(dataset, spec, settings)) if folder is not None else None
    found = keeper.open(resume) if keeper is not None else None
    loop = Loop(spec, dataset, settings, found or first_state(spec, settings, start), watch)
    try:
        told = 0
        while not (ending := ending_of(loop.state, settings)):
            loop.run_epoch_or_roll_back()
            best = loop.state.best_epoch
            if keeper is not None and keeper.keep(loop.state) and on_best is not None and best != told:
                on_best(loop.state.best_weights, best)
                told = best
    except KeyboardInterrupt:
        ending = "interrupted"
        loop.ensure_best()
    except DivergedError:
        ending = diverged(loop.state)
    state = loop.state
    if keeper is not None and state.epoch > 0:
        keeper.keep(state, at_once=True)
    return trained_of(state, ending)


def trained_of(state: TrainingState, ending: str) -> Trained:
    """What a training gave that ended so."""
    return Trained(
        weights=state.best_weights,
        history=state.history,
        best_epoch=state.best_epoch,
        ending=ending,
        seconds=state.seconds,
        rollbacks=state.rollbacks,
    )


def identity_of(dataset: Dataset, spec: Spec, settings: Recipe) -> dict[str, Any]:
    """What tells one training from another."""
    identity = {"pairs": dataset.fingerprint, "spec": spec_to_dict(spec)} | settings.to_dict()
    del identity["threads"]  # which change nothing
    identity["corruption"] = str(dataset.corrupted or "none")  # the fingerprint covers it, but names nothing
    return identity


def first_state(spec: Spec, settings: Recipe, start: dict[str, NDArray[np.float32]] | None = None) -> TrainingState:
    """Where a training begins: with weights that are given, or drawn."""
    start = start or draw_weights(spec.network(), settings.seed)
    return TrainingState(
        epoch=0,
        step=0,
        weights=start,
        optimizer={},
        best_weights=start,
        best_epoch=0,
        best_val_loss=math.inf,
        generator=dict(np.random.Generator(np.random.PCG64(settings.seed)).bit_generator.state),
    )


def ending_of(state: TrainingState, settings: Recipe) -> str:
    """How a training has ended, as in `Trained`; empty while there is more to do."""
    if state.epoch >= settings.epochs:
        return "finished"
    losses = [record["val_loss"] for record in state.history]
    lowest = losses.index(state.best_val_loss) + 1 if state.best_val_loss in losses else 0
    return "stopped early" if settings.patience is not None and state.epoch - lowest >= settings.patience else ""


def diverged(state: TrainingState) -> str:
    """The ending of a training whose loss is no number however often it goes back.

    Raises:
        SmidgenError: there is nothing to keep.
    """
    if state.best_epoch == 0:
        tried = f"even with a learning rate of {SMALLER_RATE**MOST_ROLLBACKS:.0%} of the one asked for"
        raise SmidgenError(f"The training loss became NaN in epoch 1, {tried}. Try a smaller --learning-rate.")
    return "diverged"
