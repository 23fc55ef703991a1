"""One training under way: its steps, its epochs and its state after each."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from smidgen.data.collection import map_images
from smidgen.data.crops import turn
from smidgen.data.pairs import Batch, Dataset
from smidgen.engine.native import Engine
from smidgen.errors import FileError
from smidgen.network.spec import Spec
from smidgen.training.checkpoint import TrainingState, check_weights, copy_arrays, restore_generator
from smidgen.training.losses import bce_of_each, mse
from smidgen.training.optimizers import clip_norm, make_optimizer
from smidgen.training.recipe import Recipe

LONGEST_GRADIENT = 1.0
MOST_ROLLBACKS, SMALLER_RATE = 3, 1 / 3


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
    """

    def __init__(
        self,
        spec: Spec,
        dataset: Dataset,
        settings: Recipe,
        state: TrainingState,
        watch: Callable[[Progress], None] | None,
    ) -> None:
        self._dataset = dataset
        self._settings = settings
        self.state = state
        self._watch = watch
        check_weights(state, spec.network())
        try:
            self._go_on_from(state)
        except ValueError as error:
            raise FileError(f"the checkpoint cannot be gone on from ({error})") from None
        self._engine = Engine(spec, self._weights, settings.threads)
        examples, _ = dataset.measure(settings.crop)
        self._steps_an_epoch = math.ceil(examples / settings.batch_size)
        self._total_steps = settings.epochs * self._steps_an_epoch

    def _go_on_from(self, state: TrainingState) -> None:
        self._weights = copy_arrays(state.weights)  # the optimizer changes them in place
        self._optimizer = make_optimizer(self._settings.optimizer, self._weights)
        if state.optimizer:
            self._optimizer.restore(state.optimizer)
        self._generator = restore_generator(state.generator)

    def run_epoch_or_roll_back(self) -> None:
        """One epoch; where its loss is no number, go back to the epoch kept so far and on with a smaller rate.

        Order, pairing and noise are drawn again as they were, so that a resumed training does the same.

        Raises:
            DivergedError: that was done often enough.
        """
        try:
            self._run_epoch()
        except DivergedError:
            if self.state.rollbacks >= MOST_ROLLBACKS:
                raise
            self.state = replace(
                self.state, weights=self.state.best_weights, optimizer={}, rollbacks=self.state.rollbacks + 1
            )
            self._go_on_from(self.state)

    def _run_epoch(self) -> None:
        """Show all training pairs once, or as much of them as an epoch holds, validate, and replace the state."""
        started, core_started = time.monotonic(), time.process_time()
        total, values, seen, step, rate = 0.0, 0, 0, self.state.step, 0.0
        settings = self._settings
        for batch in self._dataset.train.batches(settings.batch_size, self._generator, settings.crop):
            rate = settings.rate_at(step, self._total_steps) * SMALLER_RATE**self.state.rollbacks
            if settings.flips:
                batch = turn(batch, self._generator)
            loss = self._step(batch, rate)
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
            self.state = replace(self.state, best_weights=copy_arrays(self._weights))

    def _next_state(self, record: dict[str, float], seconds: float) -> TrainingState:
        weights = copy_arrays(self._weights)
        state = replace(
            self.state,
            epoch=int(record["epoch"]),
            step=int(record["step"]),
            weights=weights,
            optimizer=self._optimizer.state,
            generator=dict(self._generator.bit_generator.state),
            history=[*self.state.history, record],
            seconds=seconds,
        )
        loss, lowest = record["val_loss"], state.best_val_loss
        if loss < lowest or (self._settings.keep == "last" and math.isfinite(loss)):
            state = replace(state, best_epoch=state.epoch, best_weights=weights, best_val_loss=min(loss, lowest))
        return state

    def _validate(self) -> float:
        self._engine.set_weights(self._weights)
        pairs = self._dataset.choosing
        denoised = map_images(self._engine.denoise_batch, pairs.noisy)
        loss = bce_of_each if self._settings.loss == "bce" else mse
        return float(loss(denoised, pairs.clean).mean())

    def _step(self, batch: Batch, rate: float) -> float:
        """One step; of a residual network the loss is that of values that are not clipped.

        Where a clip holds a value at 0 or 1 no gradient would come through. So the loss is never less than that of the
        clipped image, which `_validate` takes as the model gives it.
        """
        noisy, clean = ([image for group in batch for image in group[side]] for side in (0, 1))
        self._engine.set_weights(self._weights)
        loss, gradients = self._engine.gradients(noisy, clean, self._settings.loss)
        if not math.isfinite(loss):
            raise DivergedError
        self._optimizer.step(clip_norm(gradients, LONGEST_GRADIENT), rate)
        return loss

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
