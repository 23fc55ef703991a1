"""Every reader of foreign files as a function of bytes, with honest files to begin from.

Whatever the bytes, a reader returns or raises `SmidgenError`. `tests/test_fuzzing.py` tries hundreds of
spoilt files with each, `tools/fuzz.py` hundreds of thousands.
"""

import gzip
import io
import json
import pickle
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import png
import tifffile
import torch
from PIL import Image

from smidgen.cli.grid import read_grid
from smidgen.data.formats import read_array, read_pairs
from smidgen.data.pairs import Dataset, FixedSource
from smidgen.data.transcripts import read_transcripts
from smidgen.data.zarr_images import open_zarr
from smidgen.errors import SmidgenError
from smidgen.images.kinds import Limits, Picture
from smidgen.images.picture import pack_picture, read_picture
from smidgen.images.tiff_rows import TiffRows
from smidgen.judging.lines import Line
from smidgen.model.card import write_card
from smidgen.model.file import pack_model, parse_model
from smidgen.model.pictures import denoise_picture
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.network.spec import PlainSpec
from smidgen.pages.texts import read_texts
from smidgen.runs.record import RUN_FILE
from smidgen.runs.run import make_run, write_report
from smidgen.training.checkpoint import pack_checkpoint, unpack_checkpoint
from smidgen.training.experiment import Experiment
from smidgen.training.loop import Loop
from smidgen.training.train import ending_of, first_state, identity_of, trained_of
from smidgen.web.reading_plan import READ, TYPE, Questions, load_questions
from smidgen.web.reading_results import work_out
from smidgen.web.reading_test import ReadingTest
from tests.conftest import TINY, make_pairs, random_weights
from tests.hostile import run_length_bmp
from tests.pictures import STACK, make_exif, xmp

FOLDER = Path(tempfile.mkdtemp(prefix="smidgen-fuzzing-"))
GENERATOR = np.random.default_rng(0)
X = GENERATOR.integers(0, 255, (3, 4, 4), np.uint8)
PNG_START = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Reader:
    """A reader of foreign files.

    Attributes:
        read: raises nothing but `SmidgenError`, whatever the bytes.
        seeds: honest files.
    """

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]

    def try_on(self, content: bytes) -> None:
        """Read; refusals are as good as results, what the interpreter prints and goes on after is not."""
        printed: list[object] = []
        before, sys.excepthook = sys.excepthook, lambda *error: printed.append(error)
        try:
            with suppress(SmidgenError):
                self.read(content)
        finally:
            sys.excepthook = before
        assert not printed, printed


def through_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of files as a reader of bytes."""
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    path = folder / name

    def read_bytes(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return read_bytes


def read_png(content: bytes) -> object:
    """Checksums are put right first, or no change would be seen by anything behind them."""
    made, place = [content[:8]], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        chunk = content[place + 4 : place + 8 + length]
        made.append(struct.pack(">I", length) + chunk + struct.pack(">I", zlib.crc32(chunk)))
        place += 12 + length
    return rewrite(b"".join(made) + content[place:])


def rewrite(content: bytes) -> object:
    """A picture as it is written again, with all that it says."""
    return pack_picture(read_picture(content, Limits(10**6)))


def read_rows(path: Path) -> None:
    """A TIFF as large ones are read."""
    with TiffRows(path) as rows:
        if rows.height * rows.width < 10**6:
            rows.read(0, rows.height)


def read_study(path: Path) -> None:
    """A plan and answers to it, and what comes of them."""
    plan_text, _, answers = path.read_bytes().partition(b"\n\n")
    (path.parent / "study.json").write_bytes(plan_text)
    (path.parent / "answers.jsonl").write_bytes(answers)
    plan = load_questions(path.parent, {"seed": 1}, 50)
    if plan is not None:
        study = ReadingTest(path.parent, plan)
        if any(study.answers):
            work_out(plan, study.answers)


def read_model(content: bytes) -> None:
    """What is taken for a model holds as many numbers as it says, denoises, and describes itself."""
    info, weights = parse_model(content, "it")
    assert sum(weight.size for weight in weights.values()) == info.spec.num_parameters
    channels = info.spec.channels
    page = np.arange(30 * channels, dtype=np.uint8).reshape(6, 5, channels)
    if channels in (1, 3):
        denoise_picture(Runtime(content, threads=1), Picture(pages=(page,), alphas=(None,), kind="png"))
    write_card("it", info)


def read_told(told: bytes) -> None:
    """What a checkpoint tells of a training, beside its numbers, and that training's next epoch."""
    spec, recipe = SHORT.spec, SHORT.recipe
    with np.load(io.BytesIO(CHECKPOINT)) as file:
        arrays = {name: file[name] for name in file.files} | {"told": np.frombuffer(told, np.uint8)}
    state = unpack_checkpoint(packed(np.savez, **arrays), identity_of(DATASET, spec, recipe))
    loop = Loop(spec, DATASET, recipe, state, None)
    if not ending_of(state, recipe):
        loop.run_epoch_or_roll_back()
    trained_of(loop.state, "finished")


def read_zarr(content: bytes) -> None:
    """The metadata of an array, and what can be read of it then."""
    folder = FOLDER / "a.zarr"
    folder.mkdir(exist_ok=True)
    (folder / "zarr.json").write_bytes(content)
    for image in open_zarr(folder).images[:2]:
        if image.shape[0] * image.shape[1] < 10**6:
            _ = image[:, :]


def read_beside(path: Path) -> None:
    """The texts of pages, as they lie beside them and as pages are set from them."""
    read_transcripts([path.parent], [path.name.removesuffix(".gt.txt")], [1])
    read_texts(path)


def read_named_labels(path: Path) -> None:
    """Labels by the names of images."""
    pairs = path.parent / "pairs"
    if not pairs.exists():
        for part in ("noisy", "clean"):
            (pairs / part).mkdir(parents=True)
            for number, image in enumerate(X):
                Image.fromarray(image).save(pairs / part / f"{number}.png")
    read_pairs(pairs, path)


def packed(save: Callable[..., object], *args: Any, **kwargs: Any) -> bytes:
    """What a function writes to the file that it takes first."""
    file = io.BytesIO()
    save(file, *args, **kwargs)
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def pickles() -> tuple[bytes, ...]:
    frame = pd.DataFrame(X.reshape(3, 16).astype(np.float32))
    contents: list[object] = [(X, X / 2), {"X": X, "y": X, "labels": [1, 2, 3]}, (frame, frame), ([*X], [*X])]
    contents.append(tuple(torch.from_numpy(array) for array in (X, X / 2)))
    return tuple(pickle.dumps(content, protocol) for content in contents for protocol in (2, 4, 5))


def torch_files() -> tuple[bytes, ...]:
    images = torch.from_numpy(X)
    contents: list[object] = [(images, images.bfloat16()), {"X": images, "y": [*images]}]
    return tuple(packed(lambda file, content: torch.save(content, file), content) for content in contents)


def pictures(kind: str, *modes: str, **options: Any) -> tuple[bytes, ...]:
    image = Image.fromarray(GENERATOR.integers(0, 255, (7, 9, 4), np.uint8), "RGBA")
    return tuple(packed(image.convert(mode).save, kind, **options) for mode in modes)


def pngs() -> tuple[bytes, ...]:
    deep = GENERATOR.integers(0, 2**16, (7, 9), np.uint16)
    return (
        *pictures("PNG", "1", "L", "LA", "P", "RGB", "RGBA", exif=make_exif(6)),
        packed(Image.fromarray(deep).save, "PNG"),
        *(deep_colours(samples, interlaced) for samples in (2, 3, 4) for interlaced in (False, True)),
    )


def deep_colours(samples: int, interlaced: bool) -> bytes:
    """A PNG of 16 bits with two to four samples a pixel."""
    image = GENERATOR.integers(0, 2**16, (7, 9 * samples), np.uint16)
    writer = png.Writer(9, 7, greyscale=samples == 2, alpha=samples != 3, bitdepth=16, interlace=interlaced)
    return packed(writer.write, image.tolist())


def tiffs() -> tuple[bytes, ...]:
    grey = GENERATOR.integers(0, 2**16, (40, 33), np.uint16)
    colour = GENERATOR.integers(0, 255, (20, 18, 3), np.uint8)
    return (
        packed(tifffile.imwrite, grey),
        packed(tifffile.imwrite, grey, compression="zlib", predictor=True, rowsperstrip=8),
        packed(tifffile.imwrite, grey, tile=(16, 16), compression="zlib"),
        packed(tifffile.imwrite, grey.astype(np.float32), bigtiff=True),
        packed(tifffile.imwrite, colour, photometric="rgb", byteorder=">"),
        packed(tifffile.imwrite, colour[None].repeat(2, 0), photometric="rgb"),
        *pictures("TIFF", "1", "L", "P", "RGBA", "CMYK"),
        *pictures("TIFF", "L", compression="tiff_lzw"),
        *pictures("TIFF", "1", "L", compression="tiff_lzw", save_all=True, append_images=[Image.fromarray(colour)]),
        *pictures("TIFF", "L", exif=make_exif(6), dpi=(300, 150)),
        packed(tifffile.imwrite, STACK[0], imagej=True, metadata={"axes": "ZCYX", "unit": "um", "Ranges": (0.0, 9.0)}),
        packed(tifffile.imwrite, STACK[0], ome=True, photometric="minisblack", metadata={"axes": "ZCYX"}),
    )


def models() -> tuple[bytes, ...]:
    info = Runtime(find_model("digits-on-garments")).info
    told = (replace(info, spec=TINY), ModelInfo(spec=PlainSpec(widths=(2,)), budget=900))
    return tuple(pack_model(one, random_weights(one.spec, GENERATOR)) for one in told)


def studies() -> tuple[bytes, ...]:
    conditions = ("noisy", "denoised", "clean")
    read = Questions(
        kind=READ, sources=(4, 2, 0), conditions=conditions, labels=(1, 2, 3), machine=(1, 2, 2), about={"seed": 1}
    )
    lines = Line((0, 0, 9, 40), "One line"), Line((9, 0, 18, 40), "and another")
    typed = Questions(
        kind=TYPE, sources=(4, 4), conditions=conditions[:2], lines=lines, machine=("One", ""), about={"seed": 1}
    )
    compare = Questions(kind="compare", sources=(4, 2), conditions=("left", "right"), about={"seed": 1})
    return tuple(
        json.dumps(asdict(one)).encode()
        + b"\n"
        + b"".join(b'\n{"position": %d, "answer": "%s", "seconds": 1.5}' % (place, answer) for place in range(2))
        for one, answer in ((read, b"2"), (typed, b"One"), (compare, b"left"))
    )


BARS = make_pairs(9, GENERATOR)
DATASET = Dataset(name="bars", train=FixedSource(BARS), val=BARS, test=BARS, fingerprint="bars")
GRID = b'network = "pyramid"\nscales = [2, 3]\nhidden_ratio = 0.5\nepochs = [1, 2]\nlearning_rate = 1e-3\n'
SHORT = Experiment.plan(DATASET, TINY, 3600, command="smidgen train", split="val", epochs=3, seed=0, threads=1)
CHECKPOINT = pack_checkpoint(
    first_state(SHORT.spec, SHORT.recipe), identity_of(SHORT.dataset, SHORT.spec, SHORT.recipe)
)


def told_of_training() -> tuple[bytes, ...]:
    loop = Loop(SHORT.spec, DATASET, SHORT.recipe, first_state(SHORT.spec, SHORT.recipe), None)
    made = [CHECKPOINT]
    for _ in range(2):
        loop.run_epoch_or_roll_back()
        state = replace(loop.state, optimizer={})  # which the numbers beside it have none of
        made.append(pack_checkpoint(state, identity_of(DATASET, SHORT.spec, SHORT.recipe)))
    return tuple(np.load(io.BytesIO(one))["told"].tobytes() for one in made)


def run_records() -> tuple[bytes, ...]:
    run = make_run(SHORT, folder=FOLDER / "run")
    return ((run.folder / RUN_FILE).read_bytes(),)


def write_again(path: Path) -> None:
    """The report of a run's record."""
    write_report(path.parent)


def zarr_metadata() -> tuple[bytes, ...]:
    import zarr

    made = []
    for number, options in enumerate(({}, {"compressors": None, "dimension_names": ("z", "y", "x")})):
        zarr.create_array(FOLDER / f"{number}.zarr", data=X.reshape(3, 2, 8), chunks=(1, 2, 4), **options)
        made.append((FOLDER / f"{number}.zarr" / "zarr.json").read_bytes())
    return tuple(made)


READERS = {
    "pickle": Reader(through_file("a.pkl", read_pairs), pickles()),
    "torch file": Reader(through_file("a.pt", read_pairs), torch_files()),
    "npz": Reader(
        through_file("a.npz", read_pairs),
        (packed(np.savez, X=X, y=X), packed(np.savez_compressed, X=X / 2, y=X, labels=[1, 2, 3])),
    ),
    "npy": Reader(through_file("a.npy", read_array), (packed(np.save, X), packed(np.save, np.asfortranarray(X / 2)))),
    "IDX": Reader(through_file("a-ubyte", read_array), (idx(X), idx(np.arange(3, dtype=np.uint8)))),
    "gzipped IDX": Reader(through_file("a.gz", read_array), (gzip.compress(idx(X)), gzip.compress(idx(X), 0))),
    "labels (CSV)": Reader(through_file("a.csv", read_array), (b"label\n7\n8\n", b'1\n"2"\n3\n')),
    "named labels (CSV)": Reader(through_file("b.csv", read_named_labels), (b"name,label\n0,7\n1,8\n2.png,9\n",)),
    "PNG": Reader(read_png, pngs()),
    "TIFF": Reader(rewrite, tiffs()),
    "TIFF by rows": Reader(through_file("a.tif", read_rows), tiffs()[:5]),
    "JPEG, BMP, WebP": Reader(
        rewrite,
        (
            *pictures("JPEG", "L", "RGB", "CMYK", exif=make_exif(6), xmp=xmp(6)),
            *pictures("JPEG", "L", "RGB", progressive=True),
            *(run_length_bmp(9, b"\5\7\0\4abcd\0\0" + 8 * b"\x09\1\0\0" + b"\0\1", packing) for packing in (1, 2)),
            *pictures("BMP", "1", "L", "RGB"),
            *pictures("WEBP", "RGB", "RGBA"),
        ),
    ),
    "model (ONNX)": Reader(read_model, models()),
    "grid (TOML)": Reader(
        through_file("grid.toml", lambda path: read_grid(path, DATASET, 3600, epochs=None).combinations()),
        (GRID, b'network = ["plain"]\noptimizer = ["adam", "sgd"]\nbatch_size = 8\npatience = 5\nepochs = 3\n'),
    ),
    "reading test": Reader(through_file("study", read_study), studies()),
    "run record": Reader(through_file(RUN_FILE, write_again), run_records()),
    "checkpoint": Reader(read_told, told_of_training()),
    "texts": Reader(through_file("a.gt.txt", read_beside), ("One line.\r\nAnother, with ü – and so on.\n".encode(),)),
    "Zarr metadata": Reader(read_zarr, zarr_metadata()),
}
