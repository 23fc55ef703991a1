"""Picture files denoised one after the other, each by one task."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smidgen.errors import SmidgenError, WriteError
from smidgen.model.pictures import denoise_file
from smidgen.model.runtime import Runtime
from smidgen.model.values import Handling


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a file fared: sentences about what looked odd, or why it could not be denoised."""

    remarks: tuple[str, ...] = ()
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class PictureFiles:
    """One task denoises one file.

    Attributes:
        runtime: of the model.
        handling: how values are taken.
        files: what to read and what to write.
        watch: is called with a file's number and the share of it that is done; in this process only.
    """

    runtime: Runtime
    handling: Handling
    files: tuple[tuple[Path, Path], ...]
    watch: Callable[[int, float], None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, which find files by full names."""
        files = tuple((source.absolute(), target.absolute()) for source, target in self.files)
        return vars(self) | {"watch": None, "files": files}

    def do(self, number: int) -> Outcome:
        """Denoise a file; whatever one brings about, the others are done, but where there is no room for results.

        Raises:
            WriteError: a result cannot be written; those to come could be no better.
        """
        watch = self.watch
        try:
            remarks = denoise_file(
                self.runtime, *self.files[number], self.handling,
                (lambda share: None) if watch is None else (lambda share: watch(number, share)),
            )  # fmt: skip
        except Exception as error:
            if len(self.files) == 1 or isinstance(error, WriteError):
                raise
            told = error if isinstance(error, SmidgenError | OSError) else f"{type(error).__name__}: {error}"
            return Outcome(failure=str(told))
        return Outcome(remarks=tuple(remarks))
