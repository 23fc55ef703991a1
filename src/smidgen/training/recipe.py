"""How to train: the settings and the two recipes."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from smidgen.errors import InputError
from smidgen.network.layers import Kind
from smidgen.network.spec import OUTPUTS, PlainSpec, Spec

LOSSES = ("bce", "mse")
KEPT = ("best", "last")
OPTIMIZERS = ("soap", "adam", "adamw", "sgd")
_LEARNING_RATES = {"soap": 3e-2, "adam": 1e-3, "adamw": 3e-3, "sgd": 1e-1}
# The default length of an annealed training: about four minutes of one core for images of 28 x 28.
DEFAULT_STEPS = 22_500
CROP, _SMALLEST_CROP = 64, 16
# A batch is 64 images of 28 x 28, or fewer larger ones with as many pixels.
_LARGEST_BATCH = 64
_MOST_THREADS = 256
_LARGEST = 10**6
_PIXELS_A_BATCH = 64 * 28 * 28


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything besides pairs and spec that decides the final weights.

    Attributes:
        epochs: times all training pairs are shown, or 50 million pixels of them where there are more.
        batch_size: pairs a step, or as many pixels as so many crops have.
        learning_rate: the peak.
        optimizer: one of `OPTIMIZERS`.
        loss: binary cross-entropy ("bce", of a sigmoid) or mean squared error ("mse").
        annealed: warm up, then follow a cosine to zero; otherwise the rate stays constant.
        patience: stop after this many epochs without a better validation loss; None never stops.
        keep: the weights that a training ends with: of the epoch with the lowest validation loss ("best"), or of the
            last one ("last"), which is steadier where few of the validation images decide that loss.
        crop: the side of the parts that large images are shown in, about; images below one and a half times that, or
            all where it is 0, are shown whole.
        flips: whether they are turned by quarters and mirrored at random.
        seed: of weights, order, pairing and noise.
        threads: processor cores to use; they change nothing in the result, so that recipes that differ in them alone
            are equal.
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 3e-2
    optimizer: str = "soap"
    loss: str = "bce"
    annealed: bool = True
    patience: int | None = None
    keep: str = KEPT[0]
    crop: int = CROP
    flips: bool = False
    seed: int = 0
    threads: int = dataclasses.field(default=2, compare=False)

    def __post_init__(self) -> None:
        for name, most in (("epochs", _LARGEST), ("batch_size", _LARGEST), ("threads", _MOST_THREADS)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"{name.replace('_', ' ')} is {getattr(self, name)}", expected=f"from 1 to {most:,}")
        if self.crop and not _SMALLEST_CROP <= self.crop <= _LARGEST:
            raise InputError(
                f"the crop is {self.crop}", expected=f"from {_SMALLEST_CROP} pixels up, or 0 for whole images"
            )
        if not 0 < self.learning_rate <= _LARGEST:
            raise InputError(f"the learning rate is {self.learning_rate}", expected=f"above 0 and at most {_LARGEST:,}")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"there is no optimizer {self.optimizer!r}", expected=", ".join(OPTIMIZERS))
        if self.loss not in LOSSES:
            raise InputError(f"there is no loss {self.loss!r}", expected=" or ".join(LOSSES))
        if self.keep not in KEPT:
            raise InputError(f"there is no epoch {self.keep!r} to keep", expected=" or ".join(KEPT))
        if self.patience is not None and not 1 <= self.patience <= _LARGEST:
            raise InputError(f"the patience is {self.patience}", expected=f"from 1 to {_LARGEST:,} epochs")
        check_seed(self.seed)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return dataclasses.asdict(self)

    def rate_at(self, step: int, total_steps: int) -> float:
        """The learning rate of a step, counted from 0."""
        if not self.annealed:
            return self.learning_rate
        warming = max(1, min(100, total_steps // 10))
        rising = min(1.0, (step + 1) / warming)
        return self.learning_rate * rising * 0.5 * (1 + math.cos(math.pi * step / total_steps))


def check_seed(seed: int) -> int:
    """The seed, where it is one.

    Raises:
        InputError: it is not.
    """
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed is {seed}", expected="a whole number from 0 to 2**63 - 1")
    return seed


def asked_output(output: str | None, network: str, loss: str | None) -> str | None:
    """The kind of output that was asked for, or that follows from network and loss; None leaves it to the pairs."""
    return output or (OUTPUTS[0] if network == "plain" or loss == "bce" else None)


def default_recipe(spec: Spec, num_pairs: int, pixels: int, **chosen: Any) -> Recipe:
    """The recipe for a spec, with what the user chose in place of its parts.

    `plain` is trained the exercise's way: Adam at a constant 1e-3, batches of 128, at most 100
    epochs, patience 5. Everything else is annealed over `DEFAULT_STEPS` steps and runs to its end. The loss is
    binary cross-entropy for a sigmoid and mean squared error for a residual.

    Args:
        spec: what will be trained.
        num_pairs: pairs or crops in one epoch, from which the number of epochs follows.
        pixels: of one of these, H·W.
        chosen: fields of `Recipe`; those that are None are left to the recipe.
    """
    chosen = {name: value for name, value in chosen.items() if value is not None}
    plain = isinstance(spec, PlainSpec)
    optimizer = chosen.get("optimizer", "adam" if plain else "soap")
    if plain:
        recipe: dict[str, Any] = {"epochs": 100, "batch_size": 128, "annealed": False, "patience": 5}
    else:
        batch_size = max(1, min(_LARGEST_BATCH, _PIXELS_A_BATCH // pixels))
        steps_an_epoch = -(-num_pairs // max(1, chosen.get("batch_size", batch_size)))
        recipe = {"epochs": max(1, round(DEFAULT_STEPS / steps_an_epoch)), "batch_size": batch_size}
    recipe |= {"optimizer": optimizer, "learning_rate": _LEARNING_RATES.get(optimizer, 1e-3)}
    recipe["loss"] = "mse" if spec.output == Kind.RESIDUAL else "bce"
    return Recipe(**(recipe | chosen))
