"""What a search may propose: values that always make a network within the budget."""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from smidgen.data.pairs import Dataset
from smidgen.network.spec import OUTPUTS, PlainSpec, PyramidSpec, Spec, check_budget, widest_pyramid
from smidgen.training.recipe import CROP, Recipe, default_recipe

Value = str | int | float
_SHAPE = ("kernel", "scales", "passes")
_HIDDEN_RATIOS = (0.5, 3.0)
_FACTORS = (0.5, 1.0, 2.0)  # of the default's numbers: batches to choose from, and what to begin with


@dataclass(frozen=True, kw_only=True)
class Space:
    """Named values to choose from, and how they become a network and its recipe.

    Attributes:
        budget: most learned numbers.
        channels, num_pairs, pixels: of the images; pairs in an epoch, pixels H·W.
        output: of all networks, one of `OUTPUTS`.
        common: training settings that all networks share.
        choices: values of each name that is one of a few.
        ranges: lowest and highest of each name that is a number on a logarithmic scale.
        grid: whether every combination is to be tried.
    """

    budget: int
    channels: int
    num_pairs: int
    pixels: int
    output: str = OUTPUTS[0]
    common: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    grid: bool = False

    def suggest(self, trial: Any) -> None:
        """Let an Optuna trial choose a value of each name."""
        for name, options in self.choices.items():
            trial.suggest_categorical(name, options)
        for name, (low, high) in self.ranges.items():
            trial.suggest_float(name, low, high, log=True)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether these are values that it lets choose."""
        if values.keys() != {*self.choices, *self.ranges}:
            return False
        chosen = all(values[name] in options for name, options in self.choices.items())
        return chosen and all(low <= values[name] <= high for name, (low, high) in self.ranges.items())

    def build(self, values: Mapping[str, Any]) -> tuple[Spec, Recipe]:
        """The network and the recipe of these values; the width is solved from the rest and the budget.

        Raises:
            BudgetError: not even the narrowest network fits, or a fixed one does not.
            InputError: a value is out of range.
        """
        left = dict(values)
        shape = {name: int(left.pop(name)) for name in _SHAPE if name in left}
        network, ratio = left.pop("network", PyramidSpec.kind), float(left.pop("hidden_ratio", 1.0))
        if network == PlainSpec.kind:
            spec: Spec = PlainSpec(channels=self.channels, output=self.output)
            check_budget(spec, self.budget)
        else:
            spec = widest_pyramid(self.budget, ratio, channels=self.channels, output=self.output, **shape)
        factor = float(left.pop("learning_rate_factor", 1.0))
        recipe = default_recipe(spec, self.num_pairs, self.pixels, **(self.common | left))
        return spec, replace(recipe, learning_rate=factor * recipe.learning_rate)

    def first_values(self) -> list[dict[str, Value]]:
        """The values of the default recipe, as far as this space can choose them; then these with one changed."""
        default = PyramidSpec(channels=self.channels)
        usual = default_recipe(default, self.num_pairs, self.pixels, **self.common)
        wanted: dict[str, Value] = {name: getattr(default, name) for name in _SHAPE}
        wanted.update(dict.fromkeys(self.ranges, 1.0), optimizer=usual.optimizer, batch_size=usual.batch_size)
        options = (dict.fromkeys(self.ranges, _FACTORS) | self.choices).items()
        first = {name: wanted[name] for name, values in options if wanted.get(name) in values}
        return [first, *(first | {name: x} for name, values in options for x in values if x != first.get(name))]

    @functools.cached_property
    def most_epochs(self) -> int:
        """Of any recipe."""
        return max(self.build(values)[1].epochs for values in self.combinations())

    def combinations(self) -> list[dict[str, Value]]:
        """Every combination of the choices."""
        return [dict(zip(self.choices, values, strict=True)) for values in itertools.product(*self.choices.values())]

    def describe(self) -> dict[str, Any]:
        """As plain data that tells one search from another."""
        return {
            "budget": self.budget,
            "output": self.output,
            "common": {name: value for name, value in self.common.items() if name != "threads"},  # which change nothing
            "choices": {name: list(options) for name, options in self.choices.items()},
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
        }


def full_space(dataset: Dataset, budget: int, **common: Any) -> Space:
    """Architecture and training: every combination fits the budget.

    Where the budget is so small that the largest kernel, depth and number of passes do not fit
    together even at width 1, the largest of them are left out.

    Raises:
        BudgetError: no network fits.
    """
    channels, (examples, pixels) = dataset.channels, dataset.measure(CROP)
    common = {"flips": dataset.flips} | common
    shapes: dict[str, tuple[Value, ...]] = {"passes": (1, 2), "scales": (2, 3, 4, 5), "kernel": (3, 5, 7)}
    while (largest := _narrowest(shapes, channels)).num_parameters > budget:
        name = max(shapes, key=lambda name: len(shapes[name]))
        if len(shapes[name]) == 1:
            check_budget(largest, budget)
        shapes[name] = shapes[name][:-1]
    usual = default_recipe(largest, examples, pixels, **common)
    batches = tuple(max(1, round(usual.batch_size * factor)) for factor in _FACTORS)
    return Space(
        budget=budget, channels=channels, num_pairs=examples, pixels=pixels, output=dataset.output,
        common={"epochs": usual.epochs} | common,
        choices=shapes | {"optimizer": ("soap", "adamw"), "batch_size": tuple(dict.fromkeys(batches))},
        # The narrowest network was tried with as many hidden channels as its width of 1 can ask for.
        ranges={"hidden_ratio": _HIDDEN_RATIOS, "learning_rate_factor": (0.1, 3.0)},
    )  # fmt: skip


def _narrowest(shapes: Mapping[str, tuple[Value, ...]], channels: int) -> PyramidSpec:
    shape: dict[str, Any] = {name: int(options[-1]) for name, options in shapes.items()}
    return PyramidSpec(channels=channels, width=1, hidden=round(_HIDDEN_RATIOS[1]), **shape)
