"""The training loop: best checkpoint on validation, early stopping, resume, history."""

import copy
import functools
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from smidgen.errors import FileError, SmidgenError
from smidgen.files import make_folder, write_whole
from smidgen.network.spec import Spec, spec_to_dict
from smidgen.pairs.pairs import Dataset, Images, Pairs
from smidgen.scores import bce, mse
from smidgen.training.checkpoint import TrainingState, load_checkpoint, restore_generator, save_checkpoint
from smidgen.training.settings import TrainingSettings
from smidgen.training.soap import SOAP
from smidgen.training.torch_network import TorchNetwork

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.jsonl"
_LONGEST_GRADIENT = 1.0
_PIXELS_AT_ONCE = 100_000
# Large images are taken fewer at a time, so that activations stay within a few gigabytes.
_PIXELS_A_PART = 100_000


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands, for whoever watches it.

    Losses are of the training so far in this epoch and of the last validation; NaN before one.
    """

    epoch: int
    epochs: int
    step: int
    total_steps: int
    loss: float
    val_loss: float
    best_val_loss: float
    images_per_second: float
    seconds_left: float


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training gives.

    Attributes:
        weights: of the best epoch on validation.
        history: one record an epoch.
        best_epoch: counted from 1.
        ending: "finished", "stopped early", "interrupted" or "diverged".
        seconds: spent training, over all resumptions.
    """

    weights: dict[str, NDArray[np.float32]]
    history: list[dict[str, float]]
    best_epoch: int
    ending: str
    seconds: float


def train(
    dataset: Dataset,
    spec: Spec,
    settings: TrainingSettings,
    *,
    folder: Path | None = None,
    resume: bool = False,
    watch: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a network and keep the weights of its best epoch on validation.

    After each epoch the whole state is written to `folder`, so that `resume` goes on as if nothing
    had happened: same pairs, same order, same noise, and on the CPU with the same number of
    threads the same weights bit for bit. Ctrl-C ends the training and keeps the best so far.

    Args:
        dataset: pairs; `train` is drawn from, `val` chooses the epoch, `test` is not looked at.
        spec: of the network; its budget has been checked.
        settings: the recipe.
        folder: gets the checkpoint and the history; None keeps nothing.
        resume: go on from the checkpoint in `folder` if there is one.
        watch: called now and then with the progress.

    Raises:
        FileError: the folder cannot be written to, or holds the checkpoint of another training.
        SmidgenError: the loss became NaN before the first epoch ended.
    """
    torch.set_num_threads(1)  # parts of a batch run side by side instead; see _Loop
    model = TorchNetwork(spec.network(), torch.Generator().manual_seed(settings.seed))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _make_optimizer(model, settings)
    identity = {"pairs": dataset.fingerprint, "spec": spec_to_dict(spec)} | settings.to_dict()

    state = _first_state(model, optimizer, settings)
    if folder is not None:
        make_folder(folder)
        if resume and (folder / CHECKPOINT).exists():
            state = load_checkpoint(folder / CHECKPOINT, identity)
            model.load_state_dict(state.weights)
            optimizer.load_state_dict(state.optimizer)
        elif (folder / CHECKPOINT).exists():
            raise FileError(
                f"{folder} already holds a training", remedy="Go on with --resume, or choose another folder with --out"
            )
    with ThreadPoolExecutor(settings.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        loop = _Loop(model, optimizer, dataset, settings, state, pool, watch)
        while not _ended(state, settings):
            try:
                loop.run_epoch()
            except KeyboardInterrupt:
                return _finish(model, loop.interrupted(), "interrupted")
            except _DivergedError:
                if state.best_epoch == 0:
                    advice = "Try a smaller --learning-rate."
                    raise SmidgenError(f"The training loss became NaN in epoch 1. {advice}") from None
                return _finish(model, state, "diverged")
            if folder is not None:
                save_checkpoint(folder / CHECKPOINT, state, identity)
                write_whole(folder / HISTORY, "".join(json.dumps(record) + "\n" for record in state.history))
    return _finish(model, state, "finished" if state.epoch >= settings.epochs else "stopped early")


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
    """One training under way; `state` is kept true at the end of each epoch.

    Each batch is cut into as many parts as there are threads. A part's forward and backward pass
    runs on one core, which keeps its activations in that core's cache: half again as fast as
    splitting every small operation over all cores (benchmarks/training.py).
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
        self._state = state
        self._watch = watch
        self._parameters = list(model.parameters())
        self._pool = pool
        self._generator = restore_generator(state.generator)
        self._steps_an_epoch = math.ceil(len(dataset.train) / settings.batch_size)
        self._total_steps = settings.epochs * self._steps_an_epoch

    def run_epoch(self) -> None:
        """Show all training pairs once, validate, and bring the state up to date."""
        state, started = self._state, time.monotonic()
        total, seen, step = 0.0, 0, state.step
        for noisy, clean in self._dataset.train.batches(self._settings.batch_size, self._generator):
            rate = self._settings.rate_at(step, self._total_steps)
            loss = self._step(_to_tensor(noisy), _to_tensor(clean), rate)
            step += 1
            seen += len(clean)
            total += loss * len(clean)
            self._tell(step, total / seen, seen, time.monotonic() - started)
        elapsed = time.monotonic() - started
        self._close_epoch(step, total / seen, seen / elapsed, rate)
        state.seconds += time.monotonic() - started

    def interrupted(self) -> TrainingState:
        """The state after Ctrl-C: if no epoch ever ended, the weights as they are now are the best."""
        if self._state.best_epoch == 0:
            self._keep_best(_validate(self._model, self._dataset.val, self._settings.loss, self._pool), epoch=0)
        return self._state

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

    def _close_epoch(self, step: int, loss: float, images_per_second: float, rate: float) -> None:
        state = self._state
        val_loss = _validate(self._model, self._dataset.val, self._settings.loss, self._pool)
        state.epoch += 1
        state.step = step
        state.generator = dict(self._generator.bit_generator.state)
        state.weights = self._model.state_dict()
        state.optimizer = self._optimizer.state_dict()
        if val_loss < state.best_val_loss:
            self._keep_best(val_loss, state.epoch)
        state.history.append(
            {
                "epoch": state.epoch,
                "step": step,
                "loss": loss,
                "val_loss": val_loss,
                "learning_rate": rate,
                "images_per_second": images_per_second,
            }
        )
        self._tell(step, loss, 0, 0.0)

    def _keep_best(self, val_loss: float, epoch: int) -> None:
        self._state.best_val_loss = val_loss
        self._state.best_epoch = epoch
        self._state.best_weights = copy.deepcopy(self._model.state_dict())

    def _tell(self, step: int, loss: float, seen: int, elapsed: float) -> None:
        if self._watch is None:
            return
        history = self._state.history
        speed = seen / elapsed if elapsed > 0 else (history[-1]["images_per_second"] if history else math.nan)
        images_left = (self._total_steps - step) * self._settings.batch_size
        self._watch(
            Progress(
                epoch=min(step // self._steps_an_epoch + 1, self._settings.epochs),
                epochs=self._settings.epochs,
                step=step,
                total_steps=self._total_steps,
                loss=loss,
                val_loss=history[-1]["val_loss"] if history else math.nan,
                best_val_loss=self._state.best_val_loss,
                images_per_second=speed,
                seconds_left=images_left / speed if speed else math.nan,
            )
        )


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
    return TrainingState(
        epoch=0,
        step=0,
        weights=model.state_dict(),
        optimizer=optimizer.state_dict(),
        best_weights=model.state_dict(),
        best_epoch=0,
        best_val_loss=math.inf,
        generator=dict(np.random.Generator(np.random.PCG64(settings.seed)).bit_generator.state),
    )


def _validate(model: TorchNetwork, val: Pairs, loss: str, pool: ThreadPoolExecutor) -> float:
    denoised = predict(model, val.noisy, pool)
    return bce(denoised, val.clean) if loss == "bce" else float(mse(denoised, val.clean).mean())


def _ended(state: TrainingState, settings: TrainingSettings) -> bool:
    waited = state.epoch - state.best_epoch
    return state.epoch >= settings.epochs or (settings.patience is not None and waited >= settings.patience)


def _finish(model: TorchNetwork, state: TrainingState, ending: str) -> Trained:
    model.load_state_dict(state.best_weights)
    return Trained(
        weights=model.export_weights(),
        history=state.history,
        best_epoch=state.best_epoch,
        ending=ending,
        seconds=state.seconds,
    )
