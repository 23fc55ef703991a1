"""The training loop: best checkpoint on validation, early stopping, resume, history."""

import copy
import ctypes
import functools
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from smidgen.errors import SmidgenError
from smidgen.network.spec import Spec, spec_to_dict
from smidgen.pairs.pairs import Dataset, Images
from smidgen.scores import bce, mse
from smidgen.training.checkpoint import Keeper, TrainingState, restore_generator
from smidgen.training.settings import TrainingSettings
from smidgen.training.soap import SOAP
from smidgen.training.torch_network import TorchNetwork

_LONGEST_GRADIENT = 1.0
_MOST_ROLLBACKS, _SMALLER_RATE = 3, 1 / 3
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_PIXELS_AT_ONCE = 100_000
# Large images are taken fewer at a time, down to one: a pixel needs about 1.3 kB of activations.
_PIXELS_A_PART = 100_000


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands, for whoever watches it.

    `epochs_done` counts validated epochs, `rollbacks` how often the loss was no number. Losses are of
    the training so far in this epoch and of the last validation; NaN before one.
    """

    epoch: int
    epochs: int
    epochs_done: int
    step: int
    total_steps: int
    loss: float
    val_loss: float
    best_val_loss: float
    images_per_second: float
    seconds_left: float
    rollbacks: int = 0


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
    settings: TrainingSettings,
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
        spec: of the network; its budget has been checked.
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
    torch.set_num_threads(1)  # parts of a batch run side by side instead; see _Loop
    _keep_freed_memory()
    model = TorchNetwork(spec.network(), torch.Generator().manual_seed(settings.seed))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _make_optimizer(model, settings)
    identity = {"pairs": dataset.fingerprint, "spec": spec_to_dict(spec)} | settings.to_dict()

    state = _first_state(model, optimizer, settings)
    keeper = Keeper(folder, identity) if folder is not None else None
    if keeper is not None and (found := keeper.open(resume)) is not None:
        state = found
        model.load_state_dict(state.weights)
        optimizer.load_state_dict(copy.deepcopy(state.optimizer))  # it would change the state's own tensors
    with ThreadPoolExecutor(settings.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        loop = _Loop(model, optimizer, dataset, settings, state, pool, watch)
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
        except _DivergedError:
            if loop.state.best_epoch == 0:
                advice = "Try a smaller --learning-rate."
                tried = f"with learning rates down to {_SMALLER_RATE**_MOST_ROLLBACKS:.0%} of what was asked for"
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


def predict(model: TorchNetwork, noisy: Images, pool: ThreadPoolExecutor | None = None) -> Images:
    """Denoised images for noisy ones, `(N, H, W, C)`, by torch, a part at a time."""
    at_once = max(1, _PIXELS_AT_ONCE // (noisy.shape[1] * noisy.shape[2]))

    def denoise(start: int) -> Images:
        with torch.no_grad():
            logits = model(_to_tensor(noisy[start : start + at_once]))
            return torch.sigmoid(logits).permute(0, 2, 3, 1).numpy()

    starts = range(0, len(noisy), at_once)
    return np.concatenate(list((pool.map if pool else map)(denoise, starts)))


class _DivergedError(Exception):
    """The loss is no longer a number."""


class _Loop:
    """One training under way.

    `state` is what it was at the end of the last epoch, replaced in one go and never changed, so
    that an interruption at any moment leaves it whole.

    Each batch is cut into as many parts as there are threads. A part's forward and backward pass
    runs on one core, so that every sum is made in one order and a repeated training gives the same
    bits; it is as fast as letting torch split each operation over the cores (benchmarks/training.py).
    """

    def __init__(
        self,
        model: TorchNetwork,
        optimizer: torch.optim.Optimizer,
        dataset: Dataset,
        settings: TrainingSettings,
        state: TrainingState,
        pool: ThreadPoolExecutor,
        watch: Callable[[Progress], None] | None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._dataset = dataset
        self._settings = settings
        self.state = state
        self._watch = watch
        self._parameters = list(model.parameters())
        self._pool = pool
        self._generator = restore_generator(state.generator)
        self._steps_an_epoch = math.ceil(len(dataset.train) / settings.batch_size)
        self._total_steps = settings.epochs * self._steps_an_epoch

    def run_epoch_or_roll_back(self) -> None:
        """One epoch; where its loss is no number, go back to the best epoch and on with a smaller rate.

        Order, pairing and noise are drawn again as they were, so that a resumed training does the same.

        Raises:
            _DivergedError: that was done often enough.
        """
        try:
            self._run_epoch()
        except _DivergedError:
            if self.state.rollbacks >= _MOST_ROLLBACKS:
                raise
            best = self.state.best_weights
            self._model.load_state_dict(best)
            self._optimizer = _make_optimizer(self._model, self._settings)
            self._generator = restore_generator(self.state.generator)
            self.state = replace(
                self.state,
                weights=best,
                optimizer=copy.deepcopy(self._optimizer.state_dict()),
                rollbacks=self.state.rollbacks + 1,
            )

    def _run_epoch(self) -> None:
        """Show all training pairs once, validate, and replace the state."""
        started, core_started = time.monotonic(), time.process_time()
        total, seen, step, rate = 0.0, 0, self.state.step, 0.0
        for noisy, clean in self._dataset.train.batches(self._settings.batch_size, self._generator):
            rate = self._settings.rate_at(step, self._total_steps) * _SMALLER_RATE**self.state.rollbacks
            loss = self._step(_to_tensor(noisy), _to_tensor(clean), rate)
            step += 1
            seen += len(clean)
            total += loss * len(clean)
            self._tell(step, total / seen, seen / (time.monotonic() - started))
        record = {
            "epoch": self.state.epoch + 1,
            "step": step,
            "loss": total / seen,
            "val_loss": self._validate(),
            "learning_rate": rate,
            "images_per_second": seen / (time.monotonic() - started),
            "core_seconds": time.process_time() - core_started,
        }
        self.state = self._next_state(record, self.state.seconds + time.monotonic() - started)
        self._tell(step, total / seen, record["images_per_second"])

    def ensure_best(self) -> None:
        """After an interruption: if no epoch ever ended, the weights as they are now are the best."""
        if self.state.best_epoch == 0:
            self.state = replace(self.state, best_weights=copy.deepcopy(self._model.state_dict()))

    def _next_state(self, record: dict[str, float], seconds: float) -> TrainingState:
        weights = copy.deepcopy(self._model.state_dict())
        state = replace(
            self.state,
            epoch=int(record["epoch"]),
            step=int(record["step"]),
            weights=weights,
            optimizer=copy.deepcopy(self._optimizer.state_dict()),
            generator=dict(self._generator.bit_generator.state),
            history=[*self.state.history, record],
            seconds=seconds,
        )
        if record["val_loss"] < state.best_val_loss:
            state = replace(state, best_val_loss=record["val_loss"], best_epoch=state.epoch, best_weights=weights)
        return state

    def _validate(self) -> float:
        val = self._dataset.val
        denoised = predict(self._model, val.noisy, self._pool)
        if self._settings.loss == "bce":
            return bce(denoised, val.clean)
        return float(mse(denoised, val.clean).mean())

    def _step(self, noisy: Tensor, clean: Tensor, rate: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        pixels = len(clean) * clean.shape[2] * clean.shape[3]
        parts = max(self._settings.threads, pixels // _PIXELS_A_PART)
        results = list(self._pool.map(self._gradients, noisy.chunk(parts), clean.chunk(parts), repeat(len(clean))))
        loss = sum(part for part, _ in results)
        if not math.isfinite(loss):
            raise _DivergedError
        # Summed in the order of the parts, so that the result does not depend on who was first.
        for parameter, *gradients in zip(self._parameters, *(part for _, part in results), strict=True):
            parameter.grad = functools.reduce(torch.add, gradients)
        torch.nn.utils.clip_grad_norm_(self._parameters, _LONGEST_GRADIENT)
        self._optimizer.step()
        return loss

    def _gradients(self, noisy: Tensor, clean: Tensor, batch_size: int) -> tuple[float, tuple[Tensor, ...]]:
        """A part's share of the batch's loss, and the gradients of that share."""
        logits = self._model(noisy)
        if self._settings.loss == "bce":
            loss = F.binary_cross_entropy_with_logits(logits, clean)
        else:
            loss = F.mse_loss(torch.sigmoid(logits), clean)
        share = loss * (len(clean) / batch_size)
        return share.item(), torch.autograd.grad(share, self._parameters)

    def _tell(self, step: int, loss: float, images_per_second: float) -> None:
        if self._watch is None:
            return
        history = self.state.history
        images_left = (self._total_steps - step) * self._settings.batch_size
        self._watch(
            Progress(
                epoch=min(step // self._steps_an_epoch + 1, self._settings.epochs),
                epochs=self._settings.epochs,
                epochs_done=len(history),
                step=step,
                total_steps=self._total_steps,
                loss=loss,
                val_loss=history[-1]["val_loss"] if history else math.nan,
                best_val_loss=self.state.best_val_loss,
                images_per_second=images_per_second,
                seconds_left=images_left / images_per_second,
                rollbacks=self.state.rollbacks,
            )
        )


def _keep_freed_memory() -> None:
    """Tell glibc not to hand freed memory back.

    A step frees and takes again tens of megabytes; faulting them in anew costs a sixth of its time.
    Other C libraries have no such call and are left alone.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the most it takes


def _to_tensor(images: Images) -> Tensor:
    """(B, H, W, C) -> (B, C, H, W), in channels-last memory without a copy."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _make_optimizer(model: TorchNetwork, settings: TrainingSettings) -> torch.optim.Optimizer:
    parameters, rate = model.parameters(), settings.learning_rate
    match settings.optimizer:
        case "soap":
            return SOAP(parameters, lr=rate)
        case "adam":
            return torch.optim.Adam(parameters, lr=rate)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=rate)
        case _:
            return torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True)


def _first_state(model: TorchNetwork, optimizer: torch.optim.Optimizer, settings: TrainingSettings) -> TrainingState:
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


def _ended(state: TrainingState, settings: TrainingSettings) -> bool:
    waited = state.epoch - state.best_epoch
    return state.epoch >= settings.epochs or (settings.patience is not None and waited >= settings.patience)
