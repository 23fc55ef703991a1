from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.errors import BudgetError, InputError
from smidgen.network.spec import (
    OUTPUTS,
    PlainSpec,
    PyramidSpec,
    check_budget,
    default_spec,
    parse_budget,
    spec_from_dict,
    spec_to_dict,
)

PLAIN = st.builds(
    PlainSpec,
    channels=st.integers(1, 4),
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=4).map(tuple),
    output=st.sampled_from(OUTPUTS),
)
PYRAMID = st.builds(
    PyramidSpec,
    channels=st.integers(1, 4),
    width=st.integers(1, 24),
    hidden=st.integers(1, 24),
    scales=st.integers(1, 5),
    passes=st.integers(1, 3),
    kernel=st.sampled_from([1, 3, 5, 7]),
    tied=st.booleans(),
    output=st.sampled_from(OUTPUTS),
)


@given(st.one_of(PLAIN, PYRAMID))
def test_closed_form_equals_the_network(spec: PlainSpec | PyramidSpec):
    """The parameter count is known before anything is built, and it is exact."""
    assert spec.num_parameters == spec.network().num_parameters


def test_the_classic_has_3217_parameters():
    """The baseline everyone knows has the size everyone knows."""
    assert PlainSpec().num_parameters == 3217


@given(st.integers(300, 30_000), st.integers(1, 4))
def test_default_is_the_widest_that_fits(budget: int, channels: int):
    """The default spec fits the budget; neither a wider one (by 4, from 16 on) nor one more `hidden` would."""
    spec = default_spec(budget, channels)
    assert spec.num_parameters <= budget
    width = spec.width + (1 if spec.width < 15 else 4)
    assert replace(spec, width=width, hidden=width).num_parameters > budget
    assert replace(spec, hidden=spec.hidden + 1).num_parameters > budget
    assert spec.hidden >= spec.width


@given(PYRAMID, st.integers(1, 5))
def test_more_passes_cost_no_numbers(spec: PyramidSpec, passes: int):
    """Tied passes share all they learn; a bias and a gain of each pass's own would count."""
    tied, once = replace(spec, tied=True, passes=passes), replace(spec, passes=1)
    assert tied.num_parameters == once.num_parameters == replace(once, tied=not once.tied).num_parameters
    assert replace(tied, tied=False).num_parameters >= tied.num_parameters


def test_descriptions_from_before_passes_were_tied_are_read():
    """A model file that does not say so has a bias and a gain for each pass."""
    old = spec_to_dict(PyramidSpec(passes=2, tied=False))
    del old["tied"]
    assert spec_from_dict(old) == PyramidSpec(passes=2, tied=False)


@given(st.one_of(PLAIN, PYRAMID))
def test_specs_survive_as_plain_data(spec: PlainSpec | PyramidSpec):
    """A spec written to a model file comes back equal."""
    assert spec_from_dict(spec_to_dict(spec)) == spec


@pytest.mark.parametrize("data", [{}, {"kind": "huge"}, {"kind": "plain", "depth": 3}, {"kind": "pyramid", "width": 0}])
def test_bad_descriptions_are_refused(data: dict[str, object]):
    """A description that is not of a network we know is an input error."""
    with pytest.raises(InputError):
        spec_from_dict(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PlainSpec(widths=()),
        lambda: PyramidSpec(kernel=4),
        lambda: PlainSpec(channels=5),
        lambda: PyramidSpec(width=2000),
        lambda: PyramidSpec(passes=20),
        lambda: PlainSpec(widths=(9999,)),
        lambda: PlainSpec(output="tanh"),
        lambda: default_spec(output=""),
    ],
)
def test_impossible_specs_are_refused(make: object):
    """Specs that no network can have are refused when made."""
    with pytest.raises(InputError, match="cannot be built"):
        make()


def test_over_budget_is_refused_with_both_figures():
    """The error says how many numbers there would be and how many are allowed."""
    with pytest.raises(BudgetError, match=r"3,217.*at most 3,000"):
        check_budget(PlainSpec(), 3000)
    with pytest.raises(BudgetError):
        default_spec(20)


@pytest.mark.parametrize(
    ("text", "budget"),
    [("3600", 3600), ("14kB", 3500), ("14KiB", 3584), ("900B", 225), ("1.5 kB", 375), ("3,600", 3600)],
)
def test_budgets_in_numbers_and_bytes(text: str, budget: int):
    """A budget is a number of parameters, or of bytes at four a number."""
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "many", "0", "-5", "3 apples", "inf", "nan", "1e999"])
def test_budgets_that_are_none(text: str):
    """Anything else is an input error."""
    with pytest.raises(InputError, match="not a size"):
        parse_budget(text)


@pytest.mark.parametrize(("budget", "kernel"), [(60, 3), (300, 3), (756, 3), (757, 5), (3600, 5), (10_000_000, 5)])
def test_small_budgets_take_small_kernels(budget: int, kernel: int):
    """Below 757 numbers the kernels are 3 x 3, for the sake of more channels; budgets beyond all networks fit too."""
    spec = default_spec(budget)
    assert spec.kernel == kernel
    assert spec.num_parameters <= budget
