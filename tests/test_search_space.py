from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.cli.grid import read_grid
from smidgen.data.pairs import Dataset, FixedSource
from smidgen.errors import BudgetError, FileError, InputError
from smidgen.network.spec import OUTPUTS, PlainSpec, PyramidSpec, Spec, default_spec
from smidgen.search.space import Space, full_space
from smidgen.training.recipe import Recipe, default_recipe
from tests.conftest import make_pairs


def bars(channels: int = 1) -> Dataset:
    pairs = make_pairs(20, np.random.default_rng(0))
    pairs = replace(pairs, noisy=np.repeat(pairs.noisy, channels, 3), clean=np.repeat(pairs.clean, channels, 3))
    return Dataset(name="bars", train=FixedSource(pairs), val=pairs, test=pairs, fingerprint="bars")


def propose(space: Space, study: optuna.Study) -> tuple[Spec, Recipe]:
    """What a study proposes next."""
    trial = study.ask()
    space.suggest(trial)
    return space.build(trial.params)


@pytest.mark.no_cover  # which would take as long again
@pytest.mark.parametrize(("budget", "channels"), [(3600, 1), (300, 1), (30_000, 3), (80, 1)])
def test_ten_thousand_proposals_fit_the_budget(budget: int, channels: int):
    """No proposal is over the budget; the closed formula is the network's own count; none is thrown away."""
    space = full_space(bars(channels), budget, epochs=9)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    proposals = 10_000 if budget == 3600 else 300
    for number in range(proposals):
        spec, _ = propose(space, study)
        assert spec.num_parameters <= budget
        if number % 100 == 0:
            assert spec.network().num_parameters == spec.num_parameters
    assert len(study.trials) == proposals


@pytest.mark.parametrize("output", OUTPUTS)
def test_all_proposals_have_the_output_asked_for(tmp_path: Path, output: str):
    """The output is chosen once for a search, and the loss follows it; the study tells which."""
    (tmp_path / "grid.toml").write_text('network = ["plain", "pyramid"]')
    grid = read_grid(tmp_path / "grid.toml", replace(bars(), output=output), 3600)
    space = full_space(replace(bars(), output=output), 3600)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for spec, recipe in (propose(space, study), *(grid.build(values) for values in grid.combinations())):
        assert spec.output == output
        assert recipe.loss == ("mse" if output == "residual" else "bce")
    assert space.describe()["output"] == output


def test_photographs_are_turned_in_a_search_too(tmp_path: Path):
    """Pairs that are to be mirrored and turned are, in every trial, unless the search is told otherwise."""
    (tmp_path / "grid.toml").write_text("passes = 1")
    for flips, asked in ((True, {}), (False, {"flips": False})):
        for space in (full_space, lambda *a, **k: read_grid(tmp_path / "grid.toml", *a, **k)):
            found = space(replace(bars(), flips=True), 3600, **asked)
            assert found.build(found.first_values()[0])[1].flips == flips


def test_proposals_use_the_budget_up():
    """What is left after the width goes into the hidden channels: nearly all of 3,600 is used."""
    space = full_space(bars(), 3600, epochs=9)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    used = [propose(space, study)[0].num_parameters for _ in range(200)]
    assert min(used) > 3300


@given(st.integers(1, 120))
def test_a_budget_below_the_smallest_network_is_refused(budget: int):
    """Where nothing fits, the error says so before any trial; otherwise every proposal fits."""
    try:
        space = full_space(bars(), budget, epochs=1)
    except BudgetError as error:
        assert "learned numbers" in str(error)
        return
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert all(propose(space, study)[0].num_parameters <= budget for _ in range(20))


def test_grid_is_the_full_product(tmp_path: Path):
    """Lists and single values make every combination once, in the file's order."""
    path = tmp_path / "grid.toml"
    path.write_text('network = "plain"\nepochs = [2, 3]\nbatch_size = [8, 16]\noptimizer = ["adam", "sgd"]\n')
    space = read_grid(path, bars(), 3600, seed=5, epochs=None)
    combinations = space.combinations()
    assert len(combinations) == 8
    spec, recipe = space.build(combinations[0])
    assert isinstance(spec, PlainSpec)
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.seed) == (2, 8, "adam", 5)


def test_grid_solves_the_width(tmp_path: Path):
    """A grid over the architecture asks for shapes; the width follows from the budget."""
    path = tmp_path / "grid.toml"
    path.write_text("kernel = [3, 7]\nscales = 3\nlearning_rate = [1e-2]\n")
    space = read_grid(path, bars(), 900)
    specs = [space.build(values)[0] for values in space.combinations()]
    assert all(isinstance(spec, PyramidSpec) and 800 < spec.num_parameters <= 900 for spec in specs)
    assert [spec.kernel for spec in specs] == [3, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("epochs = [1", "cannot be read"),
        ("width = [3]", "sets 'width'"),
        ("epochs = ['many']", "epochs is"),
        ("epochs = [true]", "epochs is"),
        ("epochs = []", "epochs is"),
        ("optimizer = 'adamm'", "'adamm'"),
        ("network = 'unet'", "'unet'"),
        ("epochs = 0", "epochs is 0"),
        ("learning_rate = -1.0", "learning rate"),
        ("kernel = 4", "odd kernel"),
        ("scales = 0", "scales"),
        ("hidden_ratio = 0", "hidden_ratio"),
        (f"epochs = {list(range(1, 400))}\nbatch_size = {list(range(1, 400))}", "combinations"),
    ],
)
def test_bad_grids_are_refused(tmp_path: Path, text: str, message: str):
    """A grid that cannot be tried is refused with the name that is wrong, before any trial."""
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_grid(path, bars(), 3600)


def test_missing_grid(tmp_path: Path):
    """A grid that is not there is named."""
    with pytest.raises(FileError, match=r"nothing\.toml"):
        read_grid(tmp_path / "nothing.toml", bars(), 3600)


def test_plain_over_budget_in_a_grid(tmp_path: Path):
    """The classic network has one size; a smaller budget refuses the grid."""
    path = tmp_path / "grid.toml"
    path.write_text('network = ["pyramid", "plain"]\n')
    with pytest.raises(BudgetError):
        read_grid(path, bars(), 1000)


def test_the_default_recipe_is_a_point_of_the_space(small_dataset: Dataset):
    """The first values build the default spec and recipe, the next ones what differs from these in one of them.

    What a small budget leaves out is left open.
    """
    space = full_space(small_dataset, 3600, epochs=5, seed=0, threads=1)
    spec, recipe = space.build(space.first_values()[0])
    assert spec == default_spec(3600)
    assert recipe == default_recipe(spec, 40, 64, epochs=5, seed=0, threads=1)
    first, *others = space.first_values()
    changed = [set(other.items()) - first.items() for other in others]
    assert [len(change) for change in changed] == [1] * 13
    assert len({name for change in changed for name, _ in change}) == len(first) == 7
    assert all(space.build(other)[0].num_parameters <= 3600 for other in others)
    small = full_space(small_dataset, 200, epochs=5, seed=0, threads=1)
    assert all(value in small.choices[name] for name, value in small.first_values()[0].items() if name in small.choices)
