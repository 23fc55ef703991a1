"""`smidgen denoise`."""

import argparse
import glob
import logging
import math
import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from smidgen.cli import options
from smidgen.cli.progress import Display
from smidgen.data.checks import SHOTS, make_raw_images
from smidgen.data.formats import RawParts, read_images
from smidgen.data.scale import Scale
from smidgen.data.zarr_images import has_zarr_ending
from smidgen.engine.library import count_cores
from smidgen.errors import Exit, FileError, InputError, plural, show_text
from smidgen.files import FileKind, check_target, make_folder, write_whole
from smidgen.images.kinds import KIND_BY_SUFFIX
from smidgen.images.picture import left_out, pack_picture, read_picture
from smidgen.model.pictures import denoise_file, denoise_picture
from smidgen.model.runtime import MODEL_FILE, Runtime
from smidgen.model.values import DEPTHS, Handling
from smidgen.model.zoo import START, find_model
from smidgen.scaling.blocks import parse_part, share
from smidgen.scaling.pictures import PictureFiles
from smidgen.scaling.stores import is_store, parse_place
from smidgen.scaling.workers import Here, open_workers

_PIPE = "-"
_PICTURE_FILE = FileKind(
    name="a picture",
    endings=tuple(KIND_BY_SUFFIX),
    start=re.compile(rb"\x89PNG|II[*+]\0|MM\0[*+]|\xff\xd8\xff|BM|RIFF.{4}WEBP|\x93NUMPY", re.DOTALL),
)
_MODEL_FILE = FileKind(name="a model", endings=(".onnx",), start=re.compile(rb"\x08"))
_NARROWEST = 1e-12
_Job = tuple[Path | None, Path | None]  # what to read and to write; None stands for standard input or output


def add_options(command: argparse.ArgumentParser) -> None:
    """Which model, which images, and how to take their values."""
    options.add(command, "model")
    images = "files, folders, patterns, a Zarr store, or - for standard input"
    command.add_argument("images", nargs="*", metavar="IMAGE", help=images)
    learn = f"no MODEL is given: adjust {START} to this very image first, in some seconds of a core"
    command.add_argument("--learn", action="store_true", help=learn)
    saved = "where to leave the model that was learned"
    command.add_argument("--save-model", type=Path, metavar="FILE", help=saved)
    out = "a file; a folder for several images; a name in .zarr for a store; - for standard output"
    command.add_argument("-o", "--out", metavar="OUT", help=out)
    command.add_argument("--depth", choices=DEPTHS, help="bits per value of the result (default: as in the image)")
    limits = "values that mean black and white in the images (default: chosen by the type of the values)"
    command.add_argument("--range", type=float, nargs=2, metavar=("LOW", "HIGH"), help=limits)
    invert = "the images are dark on light and the model expects light on dark, or the reverse"
    command.add_argument("--invert", action="store_true", help=invert)
    strength = "how much is taken away: 1 is all that the model finds, 0 nothing; between them grain stays (default: 1)"
    command.add_argument("--strength", type=float, default=1.0, metavar="S", help=strength)
    command.add_argument("--threads", type=int, default=0, metavar="N", help="processor cores to use (default: all)")
    jobs = "processes to use, each with its share of the cores (default: 1)"
    command.add_argument("--jobs", type=int, default=1, metavar="N", help=jobs)
    options.add(command, "--scheduler")
    part = "do one of several parts alone, such as 3/16, where each is a job of its own"
    command.add_argument("--part", metavar="K/N", help=part)
    block = "sides of the blocks that a Zarr store is cut into, in pixels (default: 8192, or what memory allows)"
    command.add_argument("--block", type=int, metavar="PIXELS", help=block)


def run(arguments: argparse.Namespace) -> int:
    """Denoise image files, folders of them, standard input, or a store of Zarr."""
    if arguments.learn:
        return _learn(arguments)
    if arguments.save_model:
        raise InputError("--save-model is given", expected="it with --learn")
    if not arguments.images:
        raise InputError("a model or an image is missing", expected="MODEL IMAGE..., or --learn IMAGE")
    return _denoise(arguments)


def _learn(arguments: argparse.Namespace) -> int:
    """Adjust a shipped model to an image, and denoise this."""
    from smidgen.runs.alone import learn_alone, leave_alone, open_alone

    image = Path(arguments.model)
    if not image.exists():
        raise FileError(f"{image} does not exist", expected="the file of an image, with --learn")
    if arguments.images or is_store(arguments.model) or not image.is_file():
        raise InputError(
            f"{arguments.images[0] if arguments.images else arguments.model} is given with --learn",
            expected="one image's file",
            remedy="'smidgen train --noisy' learns from several images, from folders and from stores",
        )
    if arguments.invert or arguments.scheduler or arguments.jobs > 1 or arguments.part:
        raise InputError("--learn is given with --invert, --jobs, --scheduler or --part", expected="it without these")
    given = argparse.Namespace(**vars(arguments) | {"images": [str(image)]})
    _find_jobs(given)  # so that all that can be wrong with the output is said before the seconds it takes to learn
    if arguments.save_model:
        check_target(arguments.save_model, _MODEL_FILE)
        make_folder(arguments.save_model.parent)
    start = find_model(START)
    if image.suffix.lower() == ".npy":  # an array (H, W) is an image where it is denoised, not flat rows as among pairs
        raw = RawParts(make_raw_images(list(read_picture(image).pages), None, str(image), what=SHOTS))
    else:
        raw = read_images(image, what=SHOTS)
    images = open_alone(raw.train, start, _parse_range(arguments.range))
    dataset = images.dataset
    for warning in (*raw.warnings, *dataset.warnings):
        print(show_text(f"smidgen: {image}: {warning}"), file=sys.stderr)
    scale = dataset.scales.noisy
    with tempfile.TemporaryDirectory() as folder, Display() as display:
        display.say(f"{image}: noise of {dataset.without_clean and dataset.without_clean.noise} of full scale")
        place = arguments.save_model or Path(folder) / MODEL_FILE
        threads = arguments.threads or count_cores()
        learned = learn_alone(images, start=start, threads=threads, watch=display.training)
        if learned is None:
            display.note(f"smidgen: {image}: {START} as it is errs less here than adjusted, and is kept so")
        write_whole(place, learned or leave_alone(images, start))
        given.model, given.range = str(place), [scale.low, scale.high]
        return _denoise(given)


def _denoise(arguments: argparse.Namespace) -> int:
    handling = Handling(
        depth=DEPTHS[arguments.depth] if arguments.depth else None,
        value_scale=_parse_range(arguments.range),
        inverted=arguments.invert,
        strength=arguments.strength,
    )
    if any(map(is_store, arguments.images)):
        return _denoise_store(arguments, handling)
    jobs = _find_jobs(arguments)
    runtime = Runtime(find_model(arguments.model), _count_threads(arguments))
    files = [(source, target) for source, target in jobs if source and target]
    if len(files) == len(jobs):
        return _denoise_files(arguments, PictureFiles(runtime=runtime, handling=handling, files=tuple(files)))
    (job,) = jobs
    for remark in _denoise_pipe(runtime, *job, handling):
        print(show_text(f"smidgen: {job[0] or 'standard input'}: {remark}"), file=sys.stderr)
    return Exit.DONE


def _find_jobs(arguments: argparse.Namespace) -> list[_Job]:
    """What pictures are to be read and where they are to be written.

    Raises:
        InputError: an option is for stores alone, or as `_plan` and `check_target` say.
    """
    if arguments.block is not None:
        raise InputError("--block is given", expected="it with a Zarr store")
    if arguments.out and has_zarr_ending(Path(arguments.out)):
        raise InputError(f"{arguments.out} is the name of a Zarr store, and {arguments.images[0]} is none")
    jobs = _plan(arguments.images, arguments.out)
    for target in (target for _, target in jobs if target):
        if target.suffix.lower() in KIND_BY_SUFFIX:
            check_target(target, _PICTURE_FILE)
    return jobs


def _count_threads(arguments: argparse.Namespace) -> int:
    """Of each task: all in this process, a share in several, one where a scheduler's workers have their own."""
    if arguments.scheduler is not None:
        return int(arguments.threads or 1)
    if arguments.jobs > 1 and arguments.threads >= 0:
        return max(1, int(arguments.threads or count_cores()) // int(arguments.jobs))
    return int(arguments.threads)


def _denoise_store(arguments: argparse.Namespace, handling: Handling) -> int:
    from smidgen.scaling.denoising import Standing, denoise_store

    if len(arguments.images) > 1:
        raise InputError(f"a Zarr store is among {len(arguments.images)} images", expected="one store a command")
    if not arguments.out:
        raise InputError("no place for the result is given", expected="-o OUT.zarr")
    runtime = Runtime(find_model(arguments.model), _count_threads(arguments))
    with Display() as display, open_workers(arguments.jobs, arguments.scheduler, ("zarr",)) as workers:

        def watch(now: Standing) -> None:
            display.blocks(now.what, now.done, now.total, now.per_second)

        try:
            remarks = denoise_store(
                runtime, parse_place(arguments.images[0]), parse_place(arguments.out), workers,
                handling=handling, side=arguments.block, part=_parse_part(arguments.part), watch=watch,
            )  # fmt: skip
        except KeyboardInterrupt:
            logging.getLogger("asyncio").disabled = True  # what Zarr's thread was in the midst of is no news
            display.note("smidgen: what is done is kept; the same command goes on")
            raise
        for remark in remarks:
            display.note(f"smidgen: {arguments.images[0]}: {remark}")
    return Exit.DONE


def _denoise_files(arguments: argparse.Namespace, work: PictureFiles) -> int:
    names = [str(source) for source, _ in work.files]
    mine = share(len(names), _parse_part(arguments.part))
    failed = 0
    remarked: dict[str, int] = {}
    with Display() as display, open_workers(arguments.jobs, arguments.scheduler) as workers:

        def watch(number: int, part: float) -> None:
            display.denoising(number - mine.start, len(mine), names[number], part)

        alone = isinstance(workers, Here)
        tasks = workers.run(replace(work, watch=watch) if alone else work, mine)
        for done, (number, outcome) in enumerate(tasks, 1):
            if not alone:
                display.denoising(done - 1, len(mine), names[number], 1.0)
            for remark in outcome.remarks:
                remarked[remark] = remarked.get(remark, 0) + 1
                if remarked[remark] == 1:
                    display.note(f"smidgen: {names[number]}: {remark}")
            if outcome.failure:
                failed += 1
                display.note(f"smidgen: skipped {names[number]}: {outcome.failure}")
        for remark, count in remarked.items():
            if count > 1:
                more = plural(count - 1, "more image")
                display.note(f"smidgen: the same is true of {more}: {remark.split(';')[0]}")
        if failed:
            display.note(f"smidgen: {failed} of {plural(len(mine), 'image')} could not be denoised")
    return Exit.FAILED if failed else Exit.DONE


def _denoise_pipe(runtime: Runtime, source: Path | None, target: Path | None, handling: Handling) -> list[str]:
    """One image from standard input, to standard output, or both; sentences about what looked odd."""
    content: Path | bytes = source or _standard(sys.stdin).buffer.read()
    if not content:
        raise InputError("standard input is empty", expected="an image")
    if target:
        return denoise_file(runtime, content, target, handling)
    if isinstance(content, Path) and content.exists() and not content.is_file():
        content = content.read_bytes()  # a pipe is read once
    picture, remarks = denoise_picture(runtime, read_picture(content), handling)
    _standard(sys.stdout).buffer.write(pack_picture(picture))
    return [*remarks, *left_out(picture)]


def _plan(images: list[str], out: str | None) -> list[_Job]:
    """What is to be read and where it is to be written.

    Raises:
        InputError: there is nothing to do, two results would have one name, or one would replace its source.
    """
    if _PIPE in images:
        if len(images) > 1:
            raise InputError("standard input and files are both given", expected="one or the other")
        return [(None, None if out in (None, _PIPE) else Path(str(out)))]
    if out is None:
        raise InputError("no place for the result is given", expected="-o OUT: a file, or a folder for several")
    if out == _PIPE:
        sources = [source for source, _ in _find(images, None)]
        if len(sources) > 1:
            raise InputError(
                f"{len(sources)} images cannot go to standard output", expected="one, or a folder as -o OUT"
            )
        return [(sources[0], None)]
    place = Path(out)
    found = _find(images, place)
    several = len(found) > 1 or any(Path(image).is_dir() for image in images)
    if not several and not place.is_dir() and place.suffix and place.suffix.lower() not in KIND_BY_SUFFIX:
        raise InputError(f"{out} does not have the ending of an image file", expected=", ".join(sorted(KIND_BY_SUFFIX)))
    if several or place.is_dir() or place.suffix.lower() not in KIND_BY_SUFFIX:
        if several and place.suffix.lower() in KIND_BY_SUFFIX and not place.is_dir():
            raise InputError(f"{out} names one file for {len(found)} images", expected="the name of a folder")
        jobs = [(source, place / name) for source, name in found]
    else:
        jobs = [(found[0][0], place)]
    read = {os.path.realpath(source) for source, _ in jobs if source}
    targets: dict[Path, Path] = {}
    for source, target in jobs:
        if targets.setdefault(target, source) is not source:
            raise InputError(f"{source} and {targets[target]} would both be written to {target}")
        if os.path.realpath(target) in read:
            raise InputError(f"{target} is also an input and would be replaced", remedy="Choose another -o")
    return list(jobs)


def _find(images: list[str], place: Path | None) -> list[tuple[Path, Path]]:
    """Each image file and its name in an output folder `place`."""
    found: list[tuple[Path, Path]] = []
    for image in images:
        path = Path(image)
        if path.is_dir():
            if place is not None and place.is_dir() and path.resolve() in place.resolve().parents and _walk(place):
                raise InputError(
                    f"{place} is inside {path} and already holds images, which would be read and replaced",
                    remedy="Choose another -o",
                )
            files = _walk(path)
            if not files:
                raise FileError(f"the folder {path} holds no images", expected=", ".join(sorted(KIND_BY_SUFFIX)))
            found += [(file, file.relative_to(path)) for file in files]
        elif glob.has_magic(image) and not path.exists():
            files = sorted(Path(name) for name in glob.glob(image, recursive=True) if Path(name).is_file())  # noqa: PTH207
            if not files:
                raise FileError(f"nothing matches {image}")
            found += [(file, Path(file.name)) for file in files]
        else:
            found.append((path, Path(path.name)))
    return found


def _walk(folder: Path) -> list[Path]:
    """The images in a folder and those below it; hidden files are left out."""

    def fail(error: OSError) -> None:
        raise FileError(f"the folder {error.filename} cannot be read ({error.strerror})")

    return sorted(
        Path(where, name)
        for where, _, names in os.walk(folder, onerror=fail)
        for name in names
        if Path(name).suffix.lower() in KIND_BY_SUFFIX and not name.startswith(".") and Path(where, name).is_file()
    )


def _standard(stream: TextIO | None) -> TextIO:
    if stream is None:
        raise InputError("standard input or output is closed")
    return stream


def _parse_range(given: list[float] | None) -> Scale | None:
    if given is None:
        return None
    low, high = given
    if not (math.isfinite(low) and math.isfinite(high) and high - low > _NARROWEST):
        raise InputError(f"the range {low:g} {high:g} is impossible", expected="--range LOW HIGH with LOW below HIGH")
    return Scale(low, high)


def _parse_part(text: str | None) -> tuple[int, int]:
    try:
        return parse_part(text or "1/1")
    except ValueError:
        raise InputError(f"the part {text!r} cannot be read", expected="--part K/N, such as 3/16") from None
