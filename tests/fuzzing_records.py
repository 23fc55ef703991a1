"""Readers of models, trainings, searches, stores and reading tests as functions of bytes, with honest files."""

import contextlib
import functools
import io
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import zarr

from smidgen.cli.grid import read_grid
from smidgen.data.pairs import Dataset, FixedSource
from smidgen.data.zarr_images import open_zarr
from smidgen.images.kinds import Picture
from smidgen.judging.lines import Line
from smidgen.model.card import write_card
from smidgen.model.file import pack_model, parse_model
from smidgen.model.pictures import denoise_picture
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.network.spec import PlainSpec
from smidgen.runs.record import RUN_FILE
from smidgen.runs.run import make_run, write_report
from smidgen.scaling.denoising import denoise_store
from smidgen.scaling.workers import Here
from smidgen.search.results import list_rows
from smidgen.search.study import STUDY_FILE, Study, run_study
from smidgen.training.checkpoint import pack_checkpoint, unpack_checkpoint
from smidgen.training.experiment import Experiment
from smidgen.training.loop import Loop
from smidgen.training.stretch import Part, Stretch, Trainer
from smidgen.training.train import ending_of, first_state, identity_of, trained_of
from smidgen.web.reading_plan import READ, TYPE, Questions, load_questions
from smidgen.web.reading_results import work_out
from smidgen.web.reading_test import ReadingTest
from tests.conftest import TINY, make_pairs, random_weights
from tests.fuzzing_reader import FOLDER, GENERATOR, Reader, X, packed, through_file
from tests.search_plans import carry_out, small_plan

BARS = make_pairs(9, GENERATOR)
DATASET = Dataset(name="bars", train=FixedSource(BARS), val=BARS, test=BARS, fingerprint="bars")
SEARCH = small_plan(DATASET, FOLDER, epochs=2, num_trials=3)
GRID = b'network = "pyramid"\nscales = [2, 3]\nhidden_ratio = 0.5\nepochs = [1, 2]\nlearning_rate = 1e-3\n'
SHORT = Experiment.plan(
    DATASET, PlainSpec(widths=(2,)), 3600, command="smidgen train", split="val", epochs=3, seed=0, threads=1
)
CHECKPOINT = pack_checkpoint(
    first_state(SHORT.spec, SHORT.recipe), identity_of(SHORT.dataset, SHORT.spec, SHORT.recipe)
)


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
    content = io.BytesIO(_numbers())
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("told.npy", packed(np.save, np.frombuffer(told, np.uint8)))
    state = unpack_checkpoint(content.getvalue(), identity_of(DATASET, SHORT.spec, SHORT.recipe))
    loop = Loop(SHORT.spec, DATASET, SHORT.recipe, state, None)
    if not ending_of(state, SHORT.recipe):
        loop.run_epoch_or_roll_back()
    trained_of(loop.state, "finished")


@functools.cache
def _numbers() -> bytes:
    """A checkpoint but for what it tells."""
    with np.load(io.BytesIO(CHECKPOINT)) as file:
        return packed(np.savez, **{name: file[name] for name in file.files if name != "told"})


def read_zarr(content: bytes) -> None:
    """The metadata of an array, and what can be read of it then."""
    folder = FOLDER / "a.zarr"
    folder.mkdir(exist_ok=True)
    (folder / "zarr.json").write_bytes(content)
    read_store(folder)


def read_store(path: Path) -> None:
    """The first images of a store."""
    for image in open_zarr(path).images[:2]:
        if image.shape[0] * image.shape[1] < 10**6:
            _ = image[:, :]


def read_made_before(content: bytes) -> None:
    """What the store that others write to, or wrote to before, says of itself; and what is missing there is made."""
    target = _half_made()
    (target / "zarr.json").write_bytes(content)
    denoise_store(_runtime(), FOLDER / "in.zarr", target, Here())


@functools.cache
def _runtime() -> Runtime:
    return Runtime(models()[0], threads=1)


@functools.cache
def _half_made() -> Path:
    """A store of which one of three images is missing."""
    zarr.create_array(FOLDER / "in.zarr", data=X.reshape(3, 2, 8), chunks=(1, 2, 4))
    denoise_store(_runtime(), FOLDER / "in.zarr", FOLDER / "out.zarr", Here())
    shutil.rmtree(FOLDER / "out.zarr" / "c" / "1")
    return FOLDER / "out.zarr"


class Idle:
    """Workers that ask for a task and do none."""

    def run(self, work: Trainer, tasks: Iterable[Stretch]) -> Iterator[tuple[Stretch, Part]]:
        next(iter(tasks), None)
        yield from ()


def read_search(path: Path) -> None:
    """A search's study: how its trials stand, and what is to be done next."""
    study = Study(replace(SEARCH, folder=path.parent))
    run_study(study, Idle(), lambda now: None)
    list_rows(study.trials)
    study.optuna._storage._backend.engine.dispose()


def read_search_told(path: Path) -> None:
    """The same, of a study that is whole, but whose tables say what the bytes say in JSON."""
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    (path.parent / STUDY_FILE).write_bytes(searches()[-1])
    with contextlib.closing(sqlite3.connect(path.parent / STUDY_FILE)) as file, file:
        for table, rows in told.items() if isinstance(told, dict) else ():
            with contextlib.suppress(sqlite3.Error):
                file.execute(f'DELETE FROM "{table}"')
            for row in rows if isinstance(rows, list) else ():
                values = row if isinstance(row, dict) else {}
                names, places = ", ".join(f'"{name}"' for name in values), ", ".join("?" * len(values))
                # There are no such columns, or these are no values for them.
                with contextlib.suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
                    file.execute(f'INSERT INTO "{table}" ({names}) VALUES ({places})', list(values.values()))
    read_search(path.parent / STUDY_FILE)


@functools.cache
def searches() -> tuple[bytes, ...]:
    """Studies of which no trial has begun, and of which all have ended."""
    made = []
    for name, begin in (("begun", lambda plan: Study(plan).due()), ("ended", carry_out)):
        begin(replace(SEARCH, folder=FOLDER / name))
        with contextlib.closing(sqlite3.connect(FOLDER / name / STUDY_FILE)) as file:
            file.execute("PRAGMA page_size = 512")  # else it is mostly nothing
            file.execute("VACUUM")
        made.append((FOLDER / name / STUDY_FILE).read_bytes())
    return tuple(made)


def search_tables() -> tuple[bytes, ...]:
    told = {}
    searches()
    with contextlib.closing(sqlite3.connect(FOLDER / "ended" / STUDY_FILE)) as file:
        file.row_factory = sqlite3.Row
        for table in ("studies", "study_user_attributes", "trials", "trial_user_attributes", "trial_params",
                      "trial_values", "trial_intermediate_values"):  # fmt: skip
            told[table] = [dict(row) for row in file.execute(f"SELECT * FROM {table}")]
    return (json.dumps(told).encode(),)


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
    made = []
    for number, options in enumerate(({}, {"compressors": None, "dimension_names": ("z", "y", "x")})):
        zarr.create_array(FOLDER / f"{number}.zarr", data=X.reshape(3, 2, 8), chunks=(1, 2, 4), **options)
        made.append((FOLDER / f"{number}.zarr" / "zarr.json").read_bytes())
    return tuple(made)


def zipped_zarrs() -> tuple[bytes, ...]:
    made = []
    for version in (2, 3):
        place = FOLDER / f"made{version}.zip"
        with zarr.storage.ZipStore(place, mode="w") as store:
            group = zarr.create_group(store, zarr_format=version)
            group.create_array("a", data=X.reshape(3, 2, 8), chunks=(3, 2, 8), compressors=None)
        made.append(place.read_bytes())
    return tuple(made)


RECORDS = {
    "model (ONNX)": Reader(read_model, models),
    "grid (TOML)": Reader(
        through_file("grid.toml", lambda path: read_grid(path, DATASET, 3600, epochs=None).combinations()),
        lambda: (GRID, b'network = ["plain"]\noptimizer = ["adam", "sgd"]\nbatch_size = 8\npatience = 5\nepochs = 3\n'),
    ),
    "reading test": Reader(through_file("study", read_study), studies, record=True),
    "run record": Reader(through_file(RUN_FILE, write_again), run_records, record=True),
    "checkpoint": Reader(read_told, told_of_training, record=True),
    "search (SQLite)": Reader(through_file(STUDY_FILE, read_search), searches, tried=20),
    "search's tables": Reader(through_file("told", read_search_told), search_tables, record=True, tried=20),
    "Zarr metadata": Reader(read_zarr, zarr_metadata, record=True),
    "zipped Zarr": Reader(through_file("a.zip", read_store), zipped_zarrs),
    "store half made": Reader(read_made_before, lambda: ((_half_made() / "zarr.json").read_bytes(),), record=True),
}
