"""From what the user typed to a data set: a task's name, one file or folder, two files, or clean images alone."""

import os
from dataclasses import replace
from pathlib import Path

from numpy.typing import ArrayLike

from smidgen.data.checks import CLEAN, SHOTS, make_raw_images, make_raw_pairs
from smidgen.data.clean import split_clean
from smidgen.data.corruptions import Wish, make_corruption
from smidgen.data.formats import ANYWHERE, Keeping, RawParts, pick_part, read_images, read_parts, read_two
from smidgen.data.noisy import split_noisy
from smidgen.data.origin import Origin
from smidgen.data.pairs import Dataset
from smidgen.data.scale import Scales
from smidgen.data.split import is_foreign, keep_whole, split_pairs
from smidgen.data.tasks import PAGES_TASK, TASKS, load_task
from smidgen.errors import FileError, InputError


def open_dataset(
    pairs: str | None = None,
    *,
    noisy: Path | None = None,
    clean: Path | None = None,
    second: Path | None = None,
    corruption: Wish | list[Wish] | None = None,
    labels: Path | None = None,
    val: Path | None = None,
    test: Path | None = None,
    data: Path | None = None,
    fonts: Path | None = None,
    texts: Path | None = None,
    group: str | None = None,
    apart: bool = False,
    scales: Scales | None = None,
    output: str | None = None,
    trained_on: Origin | None = None,
    keeping: Keeping = ANYWHERE,
) -> Dataset:
    """Open pairs from wherever they are.

    Args:
        pairs: a task's name, a file that holds both, or a folder with `noisy/` and `clean/`.
        noisy, clean: instead of `pairs`, one file or folder each; noisy images alone are learned from as they are.
        second: beside `noisy` alone, second noisy shots of the same scenes, in files of the same names.
        corruption: to make noisy images of `clean` alone; see `make_corruption`.
        labels: a file of labels, in place of what `pairs` holds.
        val, test: pairs to validate and test on, or clean images where `clean` is given alone, instead of what a file
            sets aside or of parts of the above.
        data: the folder with the original data sets, for a task.
        fonts, texts: a folder of fonts and a file of text, for the task `pages`.
        group: a pattern of names that stay on one side of the split; see `group_by_name`.
        apart: take each channel of a colour image as an image of its own.
        scales: a model's; see `split_pairs`.
        output: of the network; None chooses it by the training pairs.
        trained_on: what a model was trained on that is to be scored: all of other pairs is kept, not split; `test`
            will do alone then.
        keeping: where many pictures are kept decoded, and who is told how far that is.

    Raises:
        InputError: nothing or too much is given, or what is given cannot be read.
    """
    if (fonts or texts) and pairs != PAGES_TASK:
        raise InputError("--fonts or --texts is given, and no pages are to be made", expected=f"the task {PAGES_TASK}")
    if corruption is not None:
        if pairs is not None or noisy is not None or clean is None:
            given = "PAIRS" if pairs is not None else "--noisy" if noisy is not None else "no images"
            raise InputError(
                f"--with is given with {given}",
                expected="clean images alone: --clean FILE --with KIND",
                remedy="Leave out --with where there are noisy images already" if given != "no images" else "",
            )
        return open_clean(
            clean,
            corruption,
            labels=labels,
            val=val,
            test=test,
            group=group,
            apart=apart,
            scales=scales,
            output=output,
            trained_on=trained_on,
            keeping=keeping,
        )
    if second is not None and (pairs is not None or clean is not None or noisy is None):
        given = "PAIRS" if pairs is not None else "--clean" if clean is not None else "no --noisy"
        raise InputError(
            f"--second is given with {given}", expected="two noisy shots of each scene: --noisy DIR --second DIR"
        )
    if noisy is not None and clean is None and pairs is None:
        return open_noisy(
            noisy,
            second,
            labels=labels,
            val=val,
            test=test,
            group=group,
            apart=apart,
            scales=scales,
            output=output,
            trained_on=trained_on,
            keeping=keeping,
        )
    if trained_on is not None and test is not None and not (pairs or noisy or clean or val):
        parts = read_parts(test, labels, keeping=keeping)
        return _warn(keep_whole(pick_part(parts, "test", test), scales=scales, output=output, apart=apart), parts)
    if pairs is not None and pairs in TASKS and noisy is None and clean is None:
        if val or test or labels or group is not None:
            raise InputError(
                f"the task {pairs} has its own labels, validation and test pairs",
                remedy="Leave out --labels, --val, --test and --group",
            )
        return load_task(pairs, data, output, fonts=fonts, texts=texts)
    raw = _read(pairs, noisy, clean, labels, keeping)
    aside = {name: read_parts(path, keeping=keeping) for name, path in (("val", val), ("test", test)) if path}
    val_part = pick_part(aside["val"], "val", val) if val else raw.val
    test_part = pick_part(aside["test"], "test", test) if test else raw.test
    if trained_on is not None and val_part is test_part is None and is_foreign(raw.train, trained_on):
        dataset = keep_whole(raw.train, scales=scales, output=output, apart=apart)
    else:
        dataset = split_pairs(
            raw.train, val=val_part, test=test_part, group=group, apart=apart, scales=scales, output=output
        )
    return _warn(dataset, raw, *aside.values(), trained_on=trained_on)


def open_clean(
    clean: Path | ArrayLike,
    corruption: Wish | list[Wish],
    *,
    labels: Path | None = None,
    val: Path | None = None,
    test: Path | None = None,
    group: str | None = None,
    apart: bool = False,
    scales: Scales | None = None,
    output: str | None = None,
    trained_on: Origin | None = None,
    keeping: Keeping = ANYWHERE,
) -> Dataset:
    """Clean images alone, a file, a folder or an array, corrupted afresh each epoch; arguments as in `open_dataset`.

    Raises:
        InputError: they cannot be read, or there is no such corruption.
    """
    made = make_corruption(corruption)
    raw = _read_images(clean, "clean-images", keeping, CLEAN, labels)
    read = {name: read_images(path, keeping=keeping) for name, path in (("val", val), ("test", test)) if path}
    aside = {name: part.train for name, part in read.items()}
    whole = trained_on is not None and not aside and is_foreign(raw.train, trained_on)
    dataset = split_clean(raw.train, made, group=group, apart=apart, scales=scales, output=output, whole=whole, **aside)
    return _warn(dataset, raw, *read.values(), trained_on=trained_on)


def open_noisy(
    noisy: Path | ArrayLike,
    second: Path | ArrayLike | None = None,
    *,
    labels: Path | None = None,
    val: Path | None = None,
    test: Path | None = None,
    group: str | None = None,
    apart: bool = False,
    scales: Scales | None = None,
    output: str | None = None,
    trained_on: Origin | None = None,
    keeping: Keeping = ANYWHERE,
) -> Dataset:
    """Noisy images alone, or two noisy shots of each scene, files, folders or arrays; arguments as in `open_dataset`.

    Raises:
        InputError: they cannot be read, or more is given than noisy images can have.
    """
    if labels:
        raise InputError("--labels is given with noisy images alone", expected="it with clean ones, of which it tells")
    if second is not None and (val or test):
        raise InputError(
            "--val or --test is given with --second", expected="shots, of which some are set aside by themselves"
        )
    if second is None:
        raw = _read_images(noisy, "noisy-images", keeping, SHOTS)
    elif isinstance(noisy, Path) and isinstance(second, Path):
        raw = read_two(noisy, second, keeping=keeping)
    else:
        raw = RawParts(make_raw_pairs(noisy, second, None, "noisy-images"))
    whole = trained_on is not None and not (val or test) and is_foreign(raw.train, trained_on)
    read = {
        name: read_images(path, keeping=keeping, what=SHOTS) for name, path in (("val", val), ("test", test)) if path
    }
    aside = {name: part.train for name, part in read.items()}
    dataset = split_noisy(raw.train, group=group, apart=apart, scales=scales, output=output, whole=whole, **aside)
    return _warn(dataset, raw, *read.values(), trained_on=trained_on)


def _read_images(
    images: Path | ArrayLike, name: str, keeping: Keeping, what: str, labels: Path | None = None
) -> RawParts:
    """Images of one kind alone, from a file, a folder or an array."""
    if isinstance(images, Path):
        return read_images(images, labels, keeping=keeping, what=what)
    return RawParts(make_raw_images(images, None, name, what=what))


def _warn(dataset: Dataset, *read: RawParts, trained_on: Origin | None = None) -> Dataset:
    """Add what was said of the files, each sentence once, and that a place holds other pairs than in training."""
    said = dict.fromkeys(warning for parts in read for warning in parts.warnings)
    if dataset.whole and trained_on is not None and dataset.name == trained_on.name:
        changed = f"{dataset.name} has changed since the model was trained on it: images of training may be among these"
        said[changed] = None
    return replace(dataset, warnings=(*said, *dataset.warnings))


def _read(pairs: str | None, noisy: Path | None, clean: Path | None, labels: Path | None, keeping: Keeping) -> RawParts:
    if pairs is not None and (noisy or clean):
        raise InputError("PAIRS and --noisy or --clean are both given", expected="one or the other")
    if noisy and clean:
        return read_two(noisy, clean, labels, keeping=keeping)
    if clean:
        raise InputError(
            "--clean is given alone", expected="--noisy beside it, or --with KIND; noisy images alone go with --noisy"
        )
    if pairs is None:
        raise InputError("no pairs are given", expected=f"a file, a folder, or a task: {', '.join(TASKS)}")
    path = Path(pairs)
    if not os.path.exists(path):  # noqa: PTH110 (unlike Path.exists it answers for names no system allows)
        raise FileError(f"{pairs} is not a file, a folder or a task", expected=f"one of {', '.join(TASKS)}, or a path")
    return read_parts(path, labels, keeping=keeping)
