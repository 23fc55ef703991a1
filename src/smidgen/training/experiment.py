"""Experiment: what is trained, on what, and how."""

from dataclasses import dataclass
from typing import Any

from smidgen.data.pairs import Dataset, Pairs
from smidgen.network.spec import Spec, check_budget
from smidgen.training.recipe import Recipe, default_recipe


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
    """

    dataset: Dataset
    spec: Spec
    recipe: Recipe
    budget: int
    command: str = ""
    split: str = "val"

    def __post_init__(self) -> None:
        check_budget(self.spec, self.budget)

    @staticmethod
    def plan(
        dataset: Dataset, spec: Spec, budget: int, *, command: str = "", split: str = "val", **chosen: Any
    ) -> "Experiment":
        """With the default recipe for these pairs; what was `chosen` replaces parts of it, see `default_recipe`."""
        recipe = default_recipe(spec, len(dataset.train), dataset.pixels, **chosen)
        return Experiment(dataset=dataset, spec=spec, recipe=recipe, budget=budget, command=command, split=split)

    @property
    def scored(self) -> Pairs:
        """The pairs that are scored."""
        return self.dataset.part(self.split)
