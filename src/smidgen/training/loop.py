"""One training under way: its steps, its epochs and its state after each."""

import copy
import functools
import itertools
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from smidgen.data.collection import MadeImages
from smidgen.data.crops import turn
from smidgen.data.pairs import Dataset
from smidgen.engine.native import Engine
from smidgen.network.spec import Spec
from smidgen.training.checkpoint import TrainingState, restore_generator
from smidgen.training.losses import bce_of_each, mse
from smidgen.training.recipe import Recipe
from smidgen.training.soap import SOAP
from smidgen.training.torch_network import TorchNetwork, to_tensor

LONGEST_GRADIENT = 1.0
MOST_ROLLBACKS, SMALLER_RATE = 3, 1 / 3
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
    rollbacks: int = 0


class DivergedError(Exception):
    """The loss is no longer a number."""


class Loop:
    """One training under way.

    `state` is what it was at the end of the last epoch, replaced in one go and never changed, so
    that an interruption at any moment leaves it whole.

    Each batch is cut into as many parts as there are threads. A part's forward and backward pass
    runs on one core, so that every sum is made in one order and a repeated training gives the same
    bits; it is as fast as letting torch split each operation over the cores (benchmarks/training.py).
    """

    def __init__(
        self,
        spec: Spec,
        model: TorchNetwork,
        optimizer: torch.optim.Optimizer,
        dataset: Dataset,
        settings: Recipe,
        state: TrainingState,
        pool: ThreadPoolExecutor,
        watch: Callable[[Progress], None] | None,
    ) -> None:
        self._spec = spec
        self._model = model
        self._optimizer = optimizer
        self._dataset = dataset
        self._settings = settings
        self.state = state
        self._watch = watch
        self._parameters = list(model.parameters())
        self._pool = pool
        self._generator = restore_generator(state.generator)
        examples, _ = dataset.measure(settings.crop)
        self._steps_an_epoch = math.ceil(examples / settings.batch_size)
        self._total_steps = settings.epochs * self._steps_an_epoch

    def run_epoch_or_roll_back(self) -> None:
        """One epoch; where its loss is no number, go back to the best epoch and on with a smaller rate.

        Order, pairing and noise are drawn again as they were, so that a resumed training does the same.

        Raises:
            DivergedError: that was done often enough.
        """
        try:
            self._run_epoch()
        except DivergedError:
            if self.state.rollbacks >= MOST_ROLLBACKS:
                raise
            best = self.state.best_weights
            self._model.load_state_dict(best)
            self._optimizer = make_optimizer(self._model, self._settings)
            self._generator = restore_generator(self.state.generator)
            self.state = replace(
                self.state,
                weights=best,
                optimizer=copy.deepcopy(self._optimizer.state_dict()),
                rollbacks=self.state.rollbacks + 1,
            )

    def _run_epoch(self) -> None:
        """Show all training pairs once, or as much of them as an epoch holds, validate, and replace the state."""
        started, core_started = time.monotonic(), time.process_time()
        total, values, seen, step, rate = 0.0, 0, 0, self.state.step, 0.0
        settings = self._settings
        for batch in self._dataset.train.batches(settings.batch_size, self._generator, settings.crop):
            rate = settings.rate_at(step, self._total_steps) * SMALLER_RATE**self.state.rollbacks
            if settings.flips:
                batch = turn(batch, self._generator)
            loss = self._step([(to_tensor(noisy), to_tensor(clean)) for noisy, clean in batch], rate)
            step += 1
            size = sum(clean.size for _, clean in batch)
            seen += sum(len(clean) for _, clean in batch)
            total, values = total + loss * size, values + size
            self._tell(step, total / values, seen / (time.monotonic() - started))
        record = {
            "epoch": self.state.epoch + 1,
            "step": step,
            "loss": total / values,
            "val_loss": self._validate(),
            "learning_rate": rate,
            "images_per_second": seen / (time.monotonic() - started),
            "core_seconds": time.process_time() - core_started,
        }
        self.state = self._next_state(record, self.state.seconds + time.monotonic() - started)
        self._tell(step, total / values, record["images_per_second"])

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
        engine = Engine(self._spec, self._model.export_weights(), self._settings.threads)
        denoised = MadeImages(self._dataset.val.noisy, lambda noisy, _: engine.denoise_batch(noisy))
        loss = bce_of_each if self._settings.loss == "bce" else mse
        return float(loss(denoised, self._dataset.val.clean).mean())

    def _step(self, batch: list[tuple[Tensor, Tensor]], rate: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        total = sum(clean.numel() for _, clean in batch)
        parts: list[tuple[Tensor, Tensor, int]] = []
        for noisy, clean in batch:
            share = self._settings.threads * clean.numel() // total  # of the threads, by size
            many = max(1, share, clean.numel() // clean.shape[1] // _PIXELS_A_PART)
            parts += zip(noisy.chunk(many), clean.chunk(many), itertools.repeat(total))
        results = list(self._pool.map(lambda part: self._gradients(*part), parts))
        loss = sum(part for part, _ in results)
        if not math.isfinite(loss):
            raise DivergedError
        # Summed in the order of the parts, so that the result does not depend on who was first.
        for parameter, *gradients in zip(self._parameters, *(part for _, part in results), strict=True):
            parameter.grad = functools.reduce(torch.add, gradients)
        torch.nn.utils.clip_grad_norm_(self._parameters, LONGEST_GRADIENT)
        self._optimizer.step()
        return loss

    def _gradients(self, noisy: Tensor, clean: Tensor, total: int) -> tuple[float, tuple[Tensor, ...]]:
        """A part's share of the loss of a batch of `total` values, and the gradients of that share."""
        values = self._model(noisy)
        if self._settings.loss == "bce":
            loss = F.binary_cross_entropy_with_logits(values, clean)
        elif self._model.residual:
            # Not clipped: where a clip holds a value at 0 or 1 no gradient would come through. So this is never less
            # than the loss of the clipped image, which `_validate` takes as the model gives it.
            loss = F.mse_loss(values, clean)
        else:
            loss = F.mse_loss(self._model.finish(values), clean)
        share = loss * (clean.numel() / total)
        return share.item(), torch.autograd.grad(share, self._parameters)

    def _tell(self, step: int, loss: float, images_per_second: float) -> None:
        if self._watch is None:
            return
        history = self.state.history
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
                rollbacks=self.state.rollbacks,
            )
        )


def make_optimizer(model: TorchNetwork, settings: Recipe) -> torch.optim.Optimizer:
    """A fresh optimizer for all learned tensors of a model."""
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
