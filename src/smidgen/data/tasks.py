"""The named tasks: clean set, corruption, split and seed, exact enough to compare figures."""

from dataclasses import replace
from pathlib import Path

from smidgen.data.corruptions import add_noise, average, maximum
from smidgen.data.made_pages import PageTask
from smidgen.data.origin import Step
from smidgen.data.pairs import Dataset, Pairs
from smidgen.data.photographs import PhotographTask, in_gaussian_noise
from smidgen.data.stamps import StampTask
from smidgen.errors import InputError

DEFAULT_TASK = "digits-on-garments"
SAMPLE_TASK = "digits-on-garments-sample"

STAMP_TASKS = {
    DEFAULT_TASK: StampTask("mnist", "fashion-mnist", average),
    "digits-under-garments": StampTask("mnist", "fashion-mnist", maximum),
    "digits-in-noise": StampTask("mnist", None, add_noise),
    "garments-in-noise": StampTask("fashion-mnist", None, add_noise),
    SAMPLE_TASK: StampTask("mnist", "fashion-mnist", average, sample=True),
}
PHOTOGRAPH_TASKS = {
    "photographs-in-noise": in_gaussian_noise(25, 25),
    "photographs": in_gaussian_noise(0, 55),
    "photographs-from-cameras": PhotographTask((Step("camera-noise", (0.0, 0.06)), Step("jpeg", (5, 30)))),
}
PAGES_TASK = "pages"
TASKS: dict[str, StampTask | PhotographTask | PageTask] = STAMP_TASKS | PHOTOGRAPH_TASKS | {PAGES_TASK: PageTask()}


def load_task(
    name: str,
    data: Path | None = None,
    output: str | None = None,
    *,
    fonts: Path | None = None,
    texts: Path | None = None,
) -> Dataset:
    """A named task as a data set.

    Args:
        name: one of `TASKS`.
        data: the folder with the original files; see `data_folder`.
        output: of the network, in place of the one that was measured to suit the task.
        fonts, texts: the user's, for the task that makes pages of them; see `PageTask`.

    Raises:
        InputError: no task has that name.
        FileError: the files of the full sets, or the user's, are not to be had.
    """
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}", expected=f"one of {', '.join(TASKS)}")
    task = PageTask(fonts, texts) if name == PAGES_TASK else TASKS[name]
    dataset = task.open(name, data)
    return replace(dataset, output=output or dataset.output)


def example_pairs(name: str, n: int) -> Pairs:
    """At most `n` pairs of one size for a task, of images that the package holds; none for other names."""
    return TASKS[name].examples(n) if name in TASKS else STAMP_TASKS[SAMPLE_TASK].examples(0)
