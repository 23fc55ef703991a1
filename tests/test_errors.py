from smidgen.errors import BudgetError, InputError, MissingPartError, SmidgenError


def test_message_says_found_expected_and_remedy():
    """A user reads what was found, what was expected and what to do, each as a sentence."""
    error = InputError("x is 3", expected="at most 2", remedy="Make it smaller.")
    assert str(error) == "x is 3. Expected at most 2. Make it smaller."


def test_wrong_input_ends_with_two_and_everything_else_with_one():
    """Scripts tell the user's mistakes from other failures by the exit code."""
    assert SmidgenError.exit_code == 1
    assert InputError.exit_code == BudgetError.exit_code == 2


def test_missing_part_names_the_extra_to_install():
    """Whoever lacks an optional package is told the command that brings it."""
    assert "pip install 'smidgen[train]'" in str(MissingPartError("torch", "Training", "train"))
