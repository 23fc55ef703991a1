"""What can go wrong, said so that the user can mend it."""

from enum import IntEnum

_LONGEST, _END = 2000, 400  # characters of a message, and of them at its end


class Exit(IntEnum):
    """How the command line ends, for scripts to rely on."""

    DONE = 0
    FAILED = 1  # interrupted, or anything else than the two others
    WRONG_INPUT = 2


def show_text(text: str) -> str:
    """A text on one line, of no more than some thousand characters, with escapes for those that are not to be seen.

    Names of files and what files hold may be anything; so said they can neither break a line nor steer a terminal.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - _END]} … {text[-_END:]}"
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text
    )


class SmidgenError(Exception):
    """Base of all errors Smidgen raises on purpose; the command line ends with `exit_code`."""

    exit_code = Exit.FAILED

    def __init__(self, message: str) -> None:
        """Take a message; what is said of it is `show_text`."""
        super().__init__(show_text(message))


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


class WriteError(FileError):
    """A file or a folder cannot be written: the disk is full, or it is forbidden."""


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
