"""A reading test under way: what people answered, kept in a folder beside the plan."""

import json
import os
from pathlib import Path
from typing import Any

from smidgen.errors import FileError, InputError, SmidgenError
from smidgen.files import read_file, write_whole
from smidgen.model.records import to_plain
from smidgen.web.reading_plan import MOST_BYTES, MOST_SECONDS, PLAN_FILE, Answer, Questions
from smidgen.web.reading_results import to_csv, work_out

ANSWERS_FILE = "answers.jsonl"
CSV_FILE = "answers.csv"
RESULTS_FILE = "results.json"


class ReadingTest:
    """A plan and its answers in a folder; every answer is on the disk before it is confirmed."""

    def __init__(self, folder: Path, plan: Questions) -> None:
        """Begin in a folder, or go on with the same plan where it stopped.

        Raises:
            FileError: the folder holds another study, a damaged one, or cannot be written to.
        """
        self.folder, self.plan = folder, plan
        content = json.dumps(to_plain(plan), indent=1) + "\n"
        place = folder / PLAN_FILE
        if not place.exists():
            write_whole(place, content)
        self.answers: list[Answer | None] = [None] * len(plan)
        self._file = folder / ANSWERS_FILE
        kept = read_file(self._file, MOST_BYTES) if self._file.exists() else b""
        for line in kept.decode(errors="replace").splitlines():
            self._recall(line)
        self.ended = any(self.answers) and (folder / RESULTS_FILE).exists()

    def _recall(self, line: str) -> None:
        try:
            record = json.loads(line)
            position, answer = int(record["position"]), Answer(str(record["answer"]), float(record["seconds"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return  # a crash tore the line; that image is asked again
        if not 0 <= answer.seconds <= MOST_SECONDS:  # which what is no number is not either
            return
        if 0 <= position < len(self.plan) and self.plan.allows(answer.answer):
            self.answers[position] = answer

    @property
    def done(self) -> int:
        """How many are answered: the place of the next."""
        return next((place for place, answer in enumerate(self.answers) if answer is None), len(self.plan))

    def put(self, position: int, answer: str, seconds: float) -> None:
        """Keep an answer to the next image, or another one to an earlier.

        Raises:
            InputError: the study has ended, the image was not shown yet, or there is no such answer.
            SmidgenError: the answer cannot be kept.
        """
        if self.ended:
            raise InputError("the study has ended", expected="no more answers")
        if not 0 <= position <= min(self.done, len(self.plan) - 1):
            raise InputError(f"image {position + 1} was not shown yet", expected=f"an answer to image {self.done + 1}")
        if not self.plan.allows(answer):
            raise InputError(f"{answer[:20]!r} is no answer", expected=self.plan.expected())
        record = {"position": position, "answer": answer, "seconds": round(seconds, 3)}
        try:
            with open(self._file, "ab", opener=_open_own) as file:
                if file.tell() and not self._ends_with_newline():
                    file.write(b"\n")  # after a line that a crash tore
                file.write(json.dumps(record).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SmidgenError(f"{self._file} cannot be written ({error.strerror})") from error
        self.answers[position] = Answer(answer, seconds)

    def _ends_with_newline(self) -> bool:
        with self._file.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def end(self) -> dict[str, Any]:
        """Work out the results of what was answered, keep them, and take no more answers.

        Raises:
            InputError: nothing was answered yet.
            SmidgenError: the folder cannot be written to.
        """
        if not any(self.answers):
            raise InputError("nothing was answered yet", expected="at least one answer")
        results = work_out(self.plan, self.answers)
        try:
            write_whole(self.folder / CSV_FILE, to_csv(self.plan, self.answers))
            write_whole(self.folder / RESULTS_FILE, json.dumps(results, indent=1) + "\n")
        except FileError as error:  # nothing the page did
            raise SmidgenError(str(error)) from error
        self.ended = True
        return results


def _open_own(path: str, flags: int) -> int:
    """Open a file that is no link: who hands over a folder must not choose what is written to elsewhere."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
