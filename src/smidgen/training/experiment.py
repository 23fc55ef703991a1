"""Experiment: what is trained, on what, and how."""

from dataclasses import dataclass
from typing import Any

from smidgen.data.pairs import Dataset, Pairs
from smidgen.errors import InputError
from smidgen.network.layers import Kind
from smidgen.network.spec import Spec, check_budget
from smidgen.training.recipe import CROP, Recipe, default_recipe


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One training and all that its report tells of how it came about.

    Attributes:
        dataset: the pairs.
        spec: of the network, within the budget.
        recipe: of the training.
        budget: most learned numbers.
        command: how to do it again.
        split: the part that is scored, "val" or "test".

    Raises:
        BudgetError: the spec is over the budget.
        InputError: the spec's output is a residual, and the loss or the scales of the pairs are not for that.
    """

    dataset: Dataset
    spec: Spec
    recipe: Recipe
    budget: int
    command: str = ""
    split: str = "val"

    def __post_init__(self) -> None:
        check_budget(self.spec, self.budget)
        if self.spec.output != Kind.RESIDUAL:
            return
        if self.recipe.loss == "bce":
            raise InputError(
                "the loss is bce and the output residual",
                expected="the loss mse: binary cross-entropy needs a sigmoid",
                remedy="Leave out --loss, or choose --output sigmoid",
            )
        scales = self.dataset.scales
        if scales.noisy != scales.clean:
            raise InputError(
                f"X is on the scale {scales.noisy} and y on {scales.clean}",
                expected="one scale, since a residual is taken from X",
                remedy="Open the pairs with output='residual'",
            )

    @staticmethod
    def plan(
        dataset: Dataset, spec: Spec, budget: int, *, command: str = "", split: str = "val", **chosen: Any
    ) -> "Experiment":
        """With the default recipe for these pairs; what was `chosen` replaces parts of it, see `default_recipe`."""
        crop = chosen.get("crop")
        if chosen.get("flips") is None:
            chosen["flips"] = dataset.flips
        recipe = default_recipe(spec, *dataset.measure(CROP if crop is None else crop), **chosen)
        return Experiment(dataset=dataset, spec=spec, recipe=recipe, budget=budget, command=command, split=split)

    @property
    def scored(self) -> Pairs:
        """The pairs that are scored."""
        return self.dataset.part(self.split)
