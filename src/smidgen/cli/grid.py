"""The file of `smidgen search --grid`."""

import math
import tomllib
from pathlib import Path
from typing import Any

from smidgen.data.pairs import Dataset
from smidgen.errors import FileError, InputError
from smidgen.files import read_file
from smidgen.network.spec import NETWORKS, PyramidSpec
from smidgen.search.space import Space, Value
from smidgen.training.recipe import CROP, OPTIMIZERS, default_recipe

_MOST_COMBINATIONS = 10_000
_MOST_GRID_BYTES = 2**14
_TOO_LARGE = 2**63  # for TOML, though Python reads on
# What a grid file may set, and of which type.
_GRID_TYPES: dict[str, tuple[type, ...]] = {
    "network": (str,),
    "kernel": (int,),
    "scales": (int,),
    "passes": (int,),
    "hidden_ratio": (int, float),
    "epochs": (int,),
    "batch_size": (int,),
    "optimizer": (str,),
    "learning_rate": (int, float),
    "patience": (int,),
}


def read_grid(path: Path, dataset: Dataset, budget: int, **common: Any) -> Space:
    """The space of a grid file: TOML, a value or a list of values for each name.

    Raises:
        FileError: it cannot be read or is not TOML.
        InputError: a name or value is not one a search knows, there are too many combinations, or a setting in
            `common` is impossible.
        BudgetError: a combination does not fit the budget.
    """
    try:
        content = tomllib.loads(read_file(path, _MOST_GRID_BYTES).decode())
        repr(content)  # a ValueError where a number is too long to be shown, which hexadecimal ones can be
    except (ValueError, RecursionError) as error:  # what is no TOML or no text is a ValueError
        raise FileError(f"the grid {path} cannot be read ({error})", expected="a TOML file") from None
    if not content:
        raise InputError(f"the grid {path} is empty", expected=f"values for some of {', '.join(_GRID_TYPES)}")
    examples, pixels = dataset.measure(CROP)
    common = {"flips": dataset.flips} | common
    default_recipe(PyramidSpec(channels=dataset.channels), examples, pixels, **common)
    choices = {name: _options(path, name, value) for name, value in content.items()}
    number = math.prod(map(len, choices.values()))
    if number > _MOST_COMBINATIONS:
        raise InputError(f"the grid {path} has {number:,} combinations", expected=f"at most {_MOST_COMBINATIONS:,}")
    space = Space(
        budget=budget,
        channels=dataset.channels,
        num_pairs=examples,
        pixels=pixels,
        output=dataset.output,
        common={name: value for name, value in common.items() if name not in choices},
        choices=choices,
        grid=True,
    )
    try:
        _ = space.most_epochs  # builds every candidate
    except InputError as error:
        raise type(error)(f"the grid {path} cannot be searched: {error}") from None
    return space


def _options(path: Path, name: str, value: Any) -> tuple[Value, ...]:
    """One entry of a grid file, checked."""
    if name not in _GRID_TYPES:
        raise InputError(
            f"the grid {path} sets {name!r:.40}, which is no setting of a search",
            expected=f"only {', '.join(_GRID_TYPES)}",
        )
    options = value if isinstance(value, list) else [value]
    kinds = _GRID_TYPES[name]
    wrong = [option for option in options if not isinstance(option, kinds) or isinstance(option, bool)]
    if wrong or not options:
        expected = "a number, or a list of numbers" if str not in kinds else "a name, or a list of names"
        raise InputError(f"{name} is {value!r:.40} in the grid {path}", expected=expected)
    known = {"network": NETWORKS, "optimizer": OPTIMIZERS}.get(name)
    unknown = [option for option in options if known and option not in known]
    if known and unknown:
        raise InputError(f"{name} is {unknown[0]!r:.40} in the grid {path}", expected=" or ".join(known))
    if str not in kinds and not all(abs(option) < _TOO_LARGE for option in options):
        raise InputError(f"{name} is out of range in the grid {path}", expected="numbers below 2**63")
    if name == "hidden_ratio" and not all(0 < option < 1000 for option in options):
        raise InputError(f"hidden_ratio is {value!r:.40} in the grid {path}", expected="numbers between 0 and 1000")
    return tuple(dict.fromkeys(options))
