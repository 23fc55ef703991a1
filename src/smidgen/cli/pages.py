"""`smidgen pages`."""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from smidgen.cli import options, show
from smidgen.cli.progress import Display
from smidgen.data.made_pages import open_maker
from smidgen.errors import Exit, FileError, InputError, plural, show_text
from smidgen.files import lock_folder, make_folder, write_whole
from smidgen.pages.maker import A4, DPI, PARTS

_MOST_PIXELS = 100_000_000  # of a page


def add_options(command: argparse.ArgumentParser) -> None:
    """How many pages, of what."""
    command.add_argument(
        "-o", "--out", type=Path, required=True, metavar="DIR", help="a new folder, for noisy/ and clean/"
    )
    command.add_argument("--count", type=int, default=10, metavar="N", help="how many pages (default: 10)")
    command.add_argument("--size", metavar="HxW", help="height and width in pixels (default: A4)")
    dpi = f"pixels an inch (default: drawn for each page, from {DPI[0]} to {DPI[1]})"
    command.add_argument("--dpi", type=float, metavar="N", help=dpi)
    part = f"with the faces, texts and damage that belong to this part of the task (default: {PARTS[0]})"
    command.add_argument("--part", choices=PARTS, default=PARTS[0], help=part)
    options.add(command, "--fonts", "--texts", "--seed", "--json")


def run(arguments: argparse.Namespace) -> int:
    """Write made pages: noisy, clean, and what they say."""
    if arguments.count < 1:
        raise InputError(f"{arguments.count} pages are asked for", expected="1 or more")
    dpi = arguments.dpi
    if dpi is not None and not DPI[0] / 2 <= dpi <= 4 * DPI[1]:
        raise InputError(f"{dpi:g} pixels an inch are asked for", expected=f"{DPI[0] // 2} to {4 * DPI[1]}")
    size = options.parse_size(arguments.size) if arguments.size else None
    if size and not 32 <= min(size) <= size[0] * size[1] <= _MOST_PIXELS:
        raise InputError(f"the size is {arguments.size}", expected=f"32x32 to {_MOST_PIXELS:,} pixels")
    maker = open_maker(arguments.part, fonts=arguments.fonts, texts=arguments.texts)
    folders = [arguments.out / side for side in ("noisy", "clean")]
    _refuse_pages(folders)
    with lock_folder(arguments.out, "'smidgen pages'"), Display() as display:
        _refuse_pages(folders)  # of another process, which was quicker
        for folder in folders:
            make_folder(folder)
        digits = max(4, len(str(arguments.count)))
        for number in range(arguments.count):
            display.making(number, arguments.count)
            generator = np.random.default_rng([arguments.seed, number])
            fine = dpi or float(round(generator.uniform(*DPI)))
            height, width = size or (round(side * fine) for side in A4)
            page = maker.make(height, width, generator, dpi=fine)
            name = f"{number + 1:0{digits}}"
            for folder, image in zip(folders, (page.noisy, page.clean), strict=True):
                file = io.BytesIO()
                Image.fromarray(image).save(file, "PNG", dpi=(fine, fine))
                write_whole(folder / f"{name}.png", file.getvalue())
            write_whole(folders[1] / f"{name}.gt.txt", page.text + "\n")
    made = f"{plural(arguments.count, 'page')} in noisy/ and clean/, the texts in clean/*.gt.txt"
    about = {"pairs": str(arguments.out), "n": arguments.count, "seed": arguments.seed}
    show.result(about, f"{show_text(str(arguments.out))}: {made}", as_json=arguments.json)
    return Exit.DONE


def _refuse_pages(folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and any(folder.iterdir()):
            raise FileError(f"{folder} is not empty", remedy="Choose another --out")
