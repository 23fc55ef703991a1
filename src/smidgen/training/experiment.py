"""Experiment: what is trained, on what, and how."""

from dataclasses import dataclass

from smidgen.data.pairs import Dataset, Pairs
from smidgen.network.spec import Spec, check_budget
from smidgen.training.recipe import Recipe


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

    @property
    def scored(self) -> Pairs:
        """The pairs that are scored."""
        return self.dataset.test if self.split == "test" else self.dataset.val
