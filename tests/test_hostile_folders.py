"""Folders, studies and models from strangers, each met by a process of its own, as in `test_hostile_files.py`."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smidgen.model.file import METADATA_KEY, pack_model
from smidgen.model.records import ModelInfo
from smidgen.network.spec import PyramidSpec
from tests.conftest import TINY, make_pairs, random_weights
from tests.measured import run_limited

PIPE, DEVICE = "a pipe", "a link to a device without end"
STUDY = """
from pathlib import Path
from smidgen.errors import SmidgenError
from smidgen.web.reading_plan import load_questions
from smidgen.web.reading_results import work_out
from smidgen.web.reading_test import ReadingTest
try:
    test = ReadingTest(Path("."), load_questions(Path("."), {}, 10**6))
    print(sum(answer is not None for answer in test.answers), file=sys.stderr)
    work_out(test.plan, test.answers) if any(test.answers) else None
except SmidgenError as error:
    sys.exit(str(error))
"""


def put(place: Path, what: str) -> None:
    """Something that is no file."""
    place.parent.mkdir(exist_ok=True)
    if what == PIPE:
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")


@pytest.mark.parametrize("what", [PIPE, DEVICE])
@pytest.mark.parametrize(
    ("place", "arguments"),
    [
        ("a.onnx", ["summary", "a.onnx"]),
        ("run/model.onnx", ["summary", "run"]),
        ("run/run.json", ["report", "run"]),
        ("grid.toml", ["search", "pairs.npz", "--grid", "grid.toml", "--out", "study"]),
        ("labels.csv", ["inspect", "pairs.npz", "--labels", "labels.csv"]),
        ("a.npz", ["inspect", "a.npz"]),
        ("a.pkl", ["inspect", "a.pkl"]),
        ("texts", ["pages", "--count", "1", "--texts", "texts", "-o", "made"]),
    ],
)
def test_what_is_no_file(tmp_path: Path, generator: np.random.Generator, place: str, arguments: list[str], what: str):
    """Where a file is expected, a pipe or a device is refused by name, at once."""
    pairs = make_pairs(12, generator)
    np.savez(tmp_path / "pairs.npz", X=pairs.noisy, y=pairs.clean)
    put(tmp_path / place, what)
    code, message = run_limited(tmp_path, *arguments)
    assert code == 2, message
    assert place.split("/")[0] in message
    assert message.count("\n") == 1


def plan(n: int = 3) -> str:
    told = {"kind": "compare", "sources": list(range(n)), "conditions": ["left"] * n, "about": {}}
    return json.dumps(told)


@pytest.mark.parametrize("what", [PIPE, DEVICE])
@pytest.mark.parametrize("place", ["study.json", "answers.jsonl"])
def test_a_study_of_what_is_no_file(tmp_path: Path, place: str, what: str):
    """Of a reading test, too."""
    (tmp_path / "study.json").write_text(plan())
    (tmp_path / place).unlink(missing_ok=True)
    put(tmp_path / place, what)
    code, message = run_limited(tmp_path, program=STUDY)
    assert code == 1
    assert place in message
    assert "is not a file" in message


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1" + "0" * 5000, "1e999", "-1e999", "NaN", "-1", '"x"'])
def test_answers_with_numbers_beyond_measure(tmp_path: Path, number: str):
    """An answer whose numbers are none, or beyond what a float holds, is asked for again; the others count."""
    (tmp_path / "study.json").write_text(plan())
    line = '{"position": %s, "answer": "left", "seconds": %s}\n'
    (tmp_path / "answers.jsonl").write_text(line % ("0", "1.5") + line % ("1", number) + line % (number, "1"))
    code, message = run_limited(tmp_path, program=STUDY)
    assert (code, message.strip()) == (0, "1")


@pytest.mark.parametrize("content", [plan(100_000), plan(3).replace("[0, 1, 2]", "[1, 1, 1]"), " " * 5_000_000])
def test_studies_without_measure(tmp_path: Path, content: str):
    """A study of more images than a person can look at, of one again and again, or of megabytes is refused."""
    (tmp_path / "study.json").write_text(content)
    code, message = run_limited(tmp_path, program=STUDY)
    assert code == 1
    assert "study.json" in message


def test_names_for_a_terminal(tmp_path: Path, tiny_model: Path):
    """A name that would steer a terminal, break a line or turn it around is shown with escapes, everywhere."""
    name = "a\x1b[2J\n\u202e.png"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"hello")
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "in" / f"b{name}")
    for source in (f"in/{name}", "in", f"in/{name}\n"):
        code, message = run_limited(tmp_path, "denoise", str(tiny_model), source, "-o", "out")
        assert code != 0
        assert "\\x1b[2J\\n\\u202e" in message
        assert message.replace("\n", "").isprintable()


def test_long_messages(tmp_path: Path):
    """What a file holds does not fill the terminal: a message has an end."""
    told = json.loads(plan()) | {"about": {"kind": "x" * 1_000_000}}
    (tmp_path / "study.json").write_text(json.dumps(told))
    program = STUDY.replace("{}", "{'kind': 1}")
    code, message = run_limited(tmp_path, program=program)
    assert code == 1
    assert "holds a study of another kind" in message
    assert len(message) < 2500


@pytest.mark.parametrize("output", ["sigmoid", "residual"])
def test_a_model_of_huge_numbers(tmp_path: Path, generator: np.random.Generator, output: str):
    """Finite numbers so large that nothing comes of them end in a clear word, not in a picture of NaN."""
    spec = replace(PyramidSpec(), output=output)
    weights = {name: np.full_like(weight, 3e38) for name, weight in random_weights(spec, generator).items()}
    (tmp_path / "huge.onnx").write_bytes(pack_model(ModelInfo(spec=spec, budget=3600), weights))
    Image.fromarray(np.zeros((30, 30), np.uint8)).save(tmp_path / "a.png")
    code, message = run_limited(tmp_path, "denoise", "huge.onnx", "a.png", "-o", "out.png")
    assert code != 0
    assert "no numbers" in message
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("megabytes", [7, 30])
def test_a_model_with_much_to_say(tmp_path: Path, generator: np.random.Generator, megabytes: int):
    """Metadata of megabytes are refused, or told in time."""
    import onnx

    proto = onnx.load_from_string(pack_model(ModelInfo(spec=TINY, budget=3600), random_weights(TINY, generator)))
    (entry,) = [entry for entry in proto.metadata_props if entry.key == METADATA_KEY]
    told = json.loads(entry.value)
    told["origin"]["name"] = "x" * megabytes * 10**6
    entry.value = json.dumps(told)
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    code, message = run_limited(tmp_path, "summary", "a.onnx")
    assert code == 0 if megabytes < 8 else (code, "too long" in message) == (2, True)
