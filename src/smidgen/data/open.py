"""From what the user typed to a data set: a task's name, one file or folder, or two files."""

import os
from dataclasses import replace
from pathlib import Path

from smidgen.data.formats import RawParts, read_pairs, read_parts, read_two
from smidgen.data.pairs import Dataset
from smidgen.data.scale import Scales
from smidgen.data.split import split_pairs
from smidgen.data.tasks import TASKS, load_task
from smidgen.errors import FileError, InputError


def open_dataset(
    pairs: str | None = None,
    *,
    noisy: Path | None = None,
    clean: Path | None = None,
    labels: Path | None = None,
    val: Path | None = None,
    test: Path | None = None,
    data: Path | None = None,
    scales: Scales | None = None,
    one_scale: bool = False,
) -> Dataset:
    """Open pairs from wherever they are.

    Args:
        pairs: a task's name, a file that holds both, or a folder with `noisy/` and `clean/`.
        noisy, clean: instead of `pairs`, one file or folder each.
        labels: a file of labels, in place of what `pairs` holds.
        val, test: pairs to validate and test on, instead of what a file sets aside or of parts of the above.
        data: the folder with the original data sets, for a task.
        scales, one_scale: a model's, and whether it needs X on y's; see `split_pairs`.

    Raises:
        InputError: nothing or too much is given, or what is given cannot be read.
    """
    if pairs is not None and pairs in TASKS and noisy is None and clean is None:
        if val or test or labels:
            raise InputError(
                f"the task {pairs} has its own labels, validation and test pairs",
                remedy="Leave out --labels, --val and --test",
            )
        return load_task(pairs, data)
    raw = _read(pairs, noisy, clean, labels)
    dataset = split_pairs(
        raw.train,
        val=read_pairs(val, part="val") if val else raw.val,
        test=read_pairs(test, part="test") if test else raw.test,
        scales=scales,
        one_scale=one_scale,
    )
    return replace(dataset, warnings=raw.warnings + dataset.warnings)


def _read(pairs: str | None, noisy: Path | None, clean: Path | None, labels: Path | None) -> RawParts:
    if pairs is not None and (noisy or clean):
        raise InputError("PAIRS and --noisy or --clean are both given", expected="one or the other")
    if noisy and clean:
        return RawParts(read_two(noisy, clean, labels))
    if noisy or clean:
        raise InputError("only one of --noisy and --clean is given", expected="both")
    if pairs is None:
        raise InputError("no pairs are given", expected=f"a file, a folder, or a task: {', '.join(TASKS)}")
    path = Path(pairs)
    if not os.path.exists(path):  # noqa: PTH110 (unlike Path.exists it answers for names no system allows)
        raise FileError(f"{pairs} is not a file, a folder or a task", expected=f"one of {', '.join(TASKS)}, or a path")
    return read_parts(path, labels)
