"""`smidgen denoise`."""

import argparse
import functools
import glob
import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from smidgen.cli import options
from smidgen.cli.progress import Display
from smidgen.data.scale import Scale
from smidgen.errors import Exit, FileError, InputError, SmidgenError, plural
from smidgen.files import FileKind, check_target, make_folder, write_whole
from smidgen.images.kinds import KIND_BY_SUFFIX
from smidgen.images.picture import left_out, pack_picture, read_picture
from smidgen.model.pictures import DEPTHS, Handling, denoise_large_tiff, denoise_picture
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model

_PIPE = "-"
_PICTURE_FILE = FileKind(
    name="a picture",
    endings=tuple(KIND_BY_SUFFIX),
    start=re.compile(rb"\x89PNG|II[*+]\0|MM\0[*+]|\xff\xd8\xff|BM|RIFF.{4}WEBP|\x93NUMPY", re.DOTALL),
)
_NARROWEST = 1e-12
_Job = tuple[Path | None, Path | None]  # what to read and to write; None stands for standard input or output


def add_options(command: argparse.ArgumentParser) -> None:
    """Which model, which images, and how to take their values."""
    options.add(command, "model")
    command.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders, patterns, or - for standard input")
    out = "a file; a folder for several images; - for standard output"
    command.add_argument("-o", "--out", metavar="OUT", help=out)
    command.add_argument("--depth", choices=DEPTHS, help="bits per value of the result (default: as in the image)")
    limits = "values that mean black and white in the images (default: chosen by the type of the values)"
    command.add_argument("--range", type=float, nargs=2, metavar=("LOW", "HIGH"), help=limits)
    invert = "the images are dark on light and the model expects light on dark, or the reverse"
    command.add_argument("--invert", action="store_true", help=invert)
    strength = "how much is taken away: 1 is all that the model finds, 0 nothing; between them grain stays (default: 1)"
    command.add_argument("--strength", type=float, default=1.0, metavar="S", help=strength)
    command.add_argument("--threads", type=int, default=0, metavar="N", help="processor cores to use (default: all)")


def run(arguments: argparse.Namespace) -> int:
    """Denoise image files, folders of them, or standard input."""
    handling = Handling(
        depth=DEPTHS[arguments.depth] if arguments.depth else None,
        value_scale=_parse_range(arguments.range),
        inverted=arguments.invert,
        strength=arguments.strength,
    )
    jobs = _plan(arguments.images, arguments.out)
    runtime = Runtime(find_model(arguments.model), arguments.threads)
    for _, target in jobs:
        if target and target.suffix.lower() in KIND_BY_SUFFIX:
            check_target(target, _PICTURE_FILE)
    failed = 0
    remarked: dict[str, int] = {}
    with Display() as display:
        for number, job in enumerate(jobs):
            name = str(job[0] or "standard input")
            watch = functools.partial(display.denoising, number, len(jobs), name)
            watch(0.0)
            try:
                for remark in _denoise_one(runtime, job, handling, watch):
                    remarked[remark] = remarked.get(remark, 0) + 1
                    if remarked[remark] == 1:
                        display.note(f"smidgen: {name}: {remark}")
            except Exception as error:  # whatever one image brings about, the others are done
                if len(jobs) == 1:
                    raise
                failed += 1
                what = error if isinstance(error, SmidgenError | OSError) else f"{type(error).__name__}: {error}"
                display.note(f"smidgen: skipped {name}: {what}")
        for remark, count in remarked.items():
            if count > 1:
                more = plural(count - 1, "more image")
                display.note(f"smidgen: the same is true of {more}: {remark.split(';')[0]}")
        if failed:
            display.note(f"smidgen: {failed} of {plural(len(jobs), 'image')} could not be denoised")
    return Exit.FAILED if failed else Exit.DONE


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
    if not out or not all(images):
        raise InputError("an empty name is given", expected="files and folders; . is the current folder")
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
    read = {source.resolve() for source, _ in jobs}
    targets: dict[Path, Path] = {}
    for source, target in jobs:
        if targets.setdefault(target, source) is not source:
            raise InputError(f"{source} and {targets[target]} would both be written to {target}")
        if target.resolve() in read:
            raise InputError(f"{target} is also an input and would be replaced", remedy="Choose another -o")
    return list(jobs)


def _find(images: list[str], place: Path | None) -> list[tuple[Path, Path]]:
    """Each image file and its name in an output folder `place`."""
    found: list[tuple[Path, Path]] = []
    for image in images:
        path = Path(image)
        if path.is_dir():
            if place is not None and path.resolve() in place.resolve().parents and place.is_dir() and _walk(place):
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


def _denoise_one(runtime: Runtime, job: _Job, handling: Handling, watch: Callable[[float], None]) -> list[str]:
    source, target = job
    kind = KIND_BY_SUFFIX.get(target.suffix.lower()) if target else None
    if target and not kind:
        raise InputError(
            f"{target} does not have the ending of an image file", expected=", ".join(sorted(KIND_BY_SUFFIX))
        )
    if source and target and kind == "tiff":
        found = denoise_large_tiff(runtime, source, target, handling, watch)
        if found is not None:
            return found
    if source is None:
        content: Path | bytes = _standard(sys.stdin).buffer.read()
        if not content:
            raise InputError("standard input is empty", expected="an image")
    else:  # a pipe is read once
        content = source if source.is_file() or not source.exists() else source.read_bytes()
    picture, remarks = denoise_picture(runtime, read_picture(content), handling)
    picture = replace(picture, kind=kind or picture.kind)
    packed = pack_picture(picture)
    if target is None:
        _standard(sys.stdout).buffer.write(packed)
    else:
        make_folder(target.parent)
        write_whole(target, packed)
    return [*remarks, *left_out(picture)]


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
