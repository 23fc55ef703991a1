import json
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from smidgen.cli.main import main
from smidgen.cli.read import results_text
from smidgen.data.tasks import SAMPLE_TASK
from smidgen.judging.lines import Line
from smidgen.web.reading_plan import COMPARE, READ, TYPE, Questions
from smidgen.web.reading_plan import Answer as Given
from smidgen.web.reading_results import work_out
from tests.conftest import make_pairs
from tests.servers import serving

MODEL = "digits-on-garments"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--images", "2"], "from 3 to 1000"),
        (["--images", "1001"], "from 3 to 1000"),
        (["--against", "nobody"], "no model and no baseline"),
        (["--port", "-1"], "there is no port -1"),
    ],
)
def test_wrong_wishes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    expected: str,
):
    """Too few or too many images, an unknown rival, an impossible port: exit code 2 and a clear word, at once."""
    monkeypatch.setattr(
        "smidgen.judging.baselines.choose_baselines", lambda val, reader=None: pytest.fail("it computed")
    )
    assert main(["read", MODEL, SAMPLE_TASK, "--out", str(tmp_path / "s"), "--no-browser", *more]) == 2
    assert expected in capsys.readouterr().err


def test_two_at_one_study_and_another_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A second process on the same folder is refused, and so is another study in it."""
    command = ["read", MODEL, SAMPLE_TASK, "--images", "6", "--out", str(tmp_path), "--no-browser"]
    with serving(*command):
        assert main(command) == 2
        assert "in use" in capsys.readouterr().err
    command[command.index("6")] = "9"
    assert main(command) == 2
    assert "n differ" in capsys.readouterr().err


def test_fewer_images_than_usual(tmp_path: Path, generator: np.random.Generator):
    """Of a few pairs all are shown, unless a number is asked for."""
    pairs = make_pairs(60, generator, (28, 28))
    np.savez(tmp_path / "pairs.npz", X=pairs.noisy, y=pairs.clean)
    out = tmp_path / "s"
    with serving("read", MODEL, str(tmp_path / "pairs.npz"), "--against", "median", "--out", str(out), "--no-browser"):
        assert len(json.loads((out / "study.json").read_text())["sources"]) == 60


def test_ends_with_a_table_or_json(tmp_path: Path):
    """After the last answer and Ctrl-C the results stand on standard output."""
    command = ["read", MODEL, SAMPLE_TASK, "--images", "6", "--out", str(tmp_path), "--no-browser", "--json"]
    with serving(*command) as (address, process):
        for place in range(6):
            httpx.put(f"{address}answers/{place}", json={"answer": "1", "seconds": 1}).raise_for_status()
        httpx.post(f"{address}end").raise_for_status()
        process.send_signal(2)
        printed, _ = process.communicate(timeout=30)
    assert json.loads(printed)["answered"] == 6
    assert process.returncode == 0


def test_a_signal_ends_it_whatever_is_under_way(tmp_path: Path):
    """SIGTERM ends it within two seconds, be an answer half sent; nothing is said but where the study is kept."""
    command = ["read", MODEL, SAMPLE_TASK, "--images", "6", "--out", str(tmp_path), "--no-browser"]
    with serving(*command) as (address, process):
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = f"PUT /answers/0 HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-length: 10\r\n\r\n"
            connection.sendall(head.encode())
            httpx.get(f"{address}study").raise_for_status()  # so what was sent before has come
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            assert time.monotonic() - started < 4  # twice what is promised: the machine may be busy
            assert b" 503 " in connection.recv(1000).split(b"\r\n")[0]
        assert process.stderr.read().splitlines() == [f"0 of 6 images are answered; the answers are kept in {tmp_path}"]
    assert process.returncode == 0


def test_a_model_against_another_by_name(tmp_path: Path):
    """With --against the page compares even where there are labels; the rival may be a model."""
    command = ["read", MODEL, SAMPLE_TASK, "--against", "digits-on-garments-best", "--images", "4",
               "--out", str(tmp_path), "--no-browser"]  # fmt: skip
    with serving(*command) as (address, _):
        state = httpx.get(f"{address}study").json()
    assert (state["kind"], sorted(state["views"])) == (COMPARE, ["clean", "left", "right"])


def test_the_tables():
    """Rates with intervals by condition, dashes where there is no machine reader; edits of lines; decisions."""
    plan = Questions(kind=READ, sources=(0, 1, 2), conditions=("noisy", "denoised", "clean"), labels=(12, 3, 4))
    text = results_text(work_out(plan, [Given("?", 1.0), Given("3", 2.0), None]))
    assert "100.0% (20.7% to 100.0%)" in text
    assert "–" in text
    assert "clean" not in text
    lines = Line((0, 0, 9, 9), "one two"), Line((0, 0, 9, 9), "abcd"), Line((9, 0, 19, 9), "efgh")
    typed = Questions(kind=TYPE, sources=(0, 1, 2), conditions=("noisy", "clean", "clean"), lines=lines)
    rows = results_text(work_out(typed, [Given("one tow", 1.0), Given("?", 3.0), Given("efgh", 3.0)])).splitlines()
    assert rows[-2].split() == ["noisy", "1", "1", "28.6%", "50.0%", "0", "1.0", "–"]  # one page has no interval
    assert rows[-1].split("  ")[0] == "clean"
    assert "50.0% (0.0% to 100.0%)" in rows[-1]
    compared = Questions(kind=COMPARE, sources=(0, 1), conditions=("left", "right"))
    assert "of 1 decision; undecided: 1" in results_text(work_out(compared, [Given("left", 1.0), Given("?", 1.0)]))
    assert "no decision" in results_text(work_out(compared, [Given("?", 1.0), None]))


def test_numbers_of_several_digits(tmp_path: Path, browser):
    """Labels beyond 9 are typed and entered."""
    generator = np.random.default_rng(0)
    clean = generator.random((60, 28, 28), np.float32)
    # All of two digits: which images are drawn is left to chance, and those of one are answered by a key.
    np.savez(tmp_path / "pairs.npz", X=clean, y=clean, labels=10 + np.arange(60) % 10)
    folder = tmp_path / "study"
    command = ["read", MODEL, str(tmp_path / "pairs.npz"), "--images", "3", "--out", str(folder), "--no-browser"]
    with serving(*command) as (address, _):
        page = browser.new_page()
        page.goto(address)
        page.get_by_role("button", name="Start").press("Enter")
        allowed = httpx.get(f"{address}study").json()["answers"]
        for number in (1, 2, 3):
            expect(page.locator("#place")).to_have_text(f"Image {number} of 3")
            if number == 2:
                page.keyboard.press("?")
            else:
                page.locator("#answer").press_sequentially(allowed[0])
                page.locator("#answer").press("Enter")
        page.get_by_role("button", name="end the test").click()
        page.get_by_role("heading", name="Results").wait_for()
        page.close()
    lines = (folder / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["answer"] for line in lines] == [allowed[0], "?", allowed[0]]
