"""A whole training: best epoch on validation, early stopping, resume, interruption."""

import contextlib
import copy
import ctypes
import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smidgen.data.pairs import Dataset
from smidgen.errors import SmidgenError
from smidgen.network.spec import Spec, spec_to_dict
from smidgen.training.checkpoint import Keeper, TrainingState
from smidgen.training.loop import MOST_ROLLBACKS, SMALLER_RATE, DivergedError, Loop, Progress, make_optimizer
from smidgen.training.recipe import Recipe
from smidgen.training.torch_network import TorchNetwork

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_MOST_MMAP_THRESHOLD = 32 * 2**20  # that it takes


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training gives.

    Attributes:
        weights: of the best epoch on validation.
        history: one record an epoch.
        best_epoch: counted from 1.
        ending: "finished", "stopped early", "interrupted" or "diverged".
        seconds: spent training, over all resumptions.
        rollbacks: how often the loss was no number, and the training went back to its best epoch and on
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
) -> Trained:
    """Train a network and keep the weights of its best epoch on validation.

    After each epoch the whole state is written to `folder`, so that `resume` goes on as if nothing
    had happened: same pairs, same order, same noise, and on the CPU with the same number of
    threads the same weights bit for bit. Ctrl-C ends the training and keeps the best so far. A loss
    that is no number sends it back to its best epoch with a third of the learning rate, three times.

    Args:
        dataset: pairs; `train` is drawn from, `val` chooses the epoch, `test` is not looked at.
        spec: of the network; an `Experiment` has checked that it fits the budget, the pairs and the loss.
        settings: the recipe.
        folder: gets the checkpoint and the history; None keeps nothing.
        resume: go on from the checkpoint in `folder` if there is one.
        watch: called now and then with the progress.
        on_best: called with the weights of the best epoch so far and its number, where the state was
            written to `folder` since they were found.

    Raises:
        FileError: the folder cannot be written to, or holds the checkpoint of another training.
        SmidgenError: the loss was NaN in the first epoch however small the learning rate.
    """
    torch.set_num_threads(1)  # parts of a batch run side by side instead; see Loop
    model = TorchNetwork(spec.network(), torch.Generator().manual_seed(settings.seed))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model, settings)
    identity = {"pairs": dataset.fingerprint, "spec": spec_to_dict(spec)} | settings.to_dict()
    identity["corruption"] = str(dataset.corrupted or "none")  # the fingerprint covers it, but names nothing

    state = _first_state(model, optimizer, settings)
    keeper = Keeper(folder, identity) if folder is not None else None
    if keeper is not None and (found := keeper.open(resume)) is not None:
        state = found
        model.load_state_dict(state.weights)
        optimizer.load_state_dict(copy.deepcopy(state.optimizer))  # it would change the state's own tensors
    with (
        _freed_memory_kept(),
        ThreadPoolExecutor(settings.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        loop = Loop(spec, model, optimizer, dataset, settings, state, pool, watch)
        try:
            told = 0
            while not _ended(loop.state, settings):
                loop.run_epoch_or_roll_back()
                best = loop.state.best_epoch
                if keeper is not None and keeper.keep(loop.state) and on_best is not None and best != told:
                    on_best(_export(spec, loop.state.best_weights), best)
                    told = best
            ending = "finished" if loop.state.epoch >= settings.epochs else "stopped early"
        except KeyboardInterrupt:
            ending = "interrupted"
            loop.ensure_best()
        except DivergedError:
            if loop.state.best_epoch == 0:
                advice = "Try a smaller --learning-rate."
                tried = f"even with a learning rate of {SMALLER_RATE**MOST_ROLLBACKS:.0%} of the one asked for"
                raise SmidgenError(f"The training loss became NaN in epoch 1, {tried}. {advice}") from None
            ending = "diverged"
    state = loop.state
    if keeper is not None and state.epoch > 0:
        keeper.keep(state, at_once=True)
    return Trained(
        weights=_export(spec, state.best_weights),
        history=state.history,
        best_epoch=state.best_epoch,
        ending=ending,
        seconds=state.seconds,
        rollbacks=state.rollbacks,
    )


def _export(spec: Spec, weights: dict[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """Weights as a model file holds them."""
    model = TorchNetwork(spec.network())
    model.load_state_dict(weights)
    return model.export_weights()


@contextlib.contextmanager
def _freed_memory_kept() -> Iterator[None]:
    """In this block glibc does not hand freed memory back; at its end it does, and goes on so.

    A step frees and takes again tens of megabytes; faulting them in anew costs a sixth of its time.
    Other C libraries have no such calls and are left alone.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(_M_MMAP_THRESHOLD, _MOST_MMAP_THRESHOLD)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        # Where glibc's own rule ends up once a block of the largest size was freed.
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _MOST_MMAP_THRESHOLD)
        libc.malloc_trim(0)


def _first_state(model: TorchNetwork, optimizer: torch.optim.Optimizer, settings: Recipe) -> TrainingState:
    start = copy.deepcopy(model.state_dict())
    return TrainingState(
        epoch=0,
        step=0,
        weights=start,
        optimizer=copy.deepcopy(optimizer.state_dict()),
        best_weights=start,
        best_epoch=0,
        best_val_loss=math.inf,
        generator=dict(np.random.Generator(np.random.PCG64(settings.seed)).bit_generator.state),
    )


def _ended(state: TrainingState, settings: Recipe) -> bool:
    waited = state.epoch - state.best_epoch
    return state.epoch >= settings.epochs or (settings.patience is not None and waited >= settings.patience)
