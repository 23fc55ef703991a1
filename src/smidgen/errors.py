"""What can go wrong, said so that the user can mend it."""

from enum import IntEnum


class Exit(IntEnum):
    """How the command line ends, for scripts to rely on."""

    DONE = 0
    FAILED = 1  # interrupted, or anything else than the two others
    WRONG_INPUT = 2


class SmidgenError(Exception):
    """Base of all errors Smidgen raises on purpose; the command line ends with `exit_code`."""

    exit_code = Exit.FAILED


class InputError(SmidgenError):
    """The user's input is wrong: what was expected, what was found and what to do."""

    exit_code = Exit.WRONG_INPUT

    def __init__(self, found: str, *, expected: str = "", remedy: str = "") -> None:
        """Join the three parts into one message; `found` always comes first."""
        parts = [found.rstrip(".") + "."]
        if expected:
            parts.append(f"Expected {expected.rstrip('.')}.")
        if remedy:
            parts.append(remedy.rstrip(".") + ".")
        super().__init__(" ".join(parts))


class FileError(InputError):
    """A file is missing, unreadable, or not of the kind its name says."""


class PairsError(InputError):
    """Noisy and clean images do not make pairs."""


class BudgetError(InputError):
    """A network would store more learned numbers than the budget allows."""


class StoppedError(SmidgenError):
    """Another thread asked the computing to end."""


class MissingPartError(InputError):
    """An optional part of the installation is needed and absent."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        """Name the package, what it is wanted for and the extra that brings it."""
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed",
            remedy=f"Run: pip install 'smidgen[{extra}]'",
        )


def plural(number: int, noun: str) -> str:
    """`1 image`, `2,000 images`: a number of things whose plural ends in s."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
