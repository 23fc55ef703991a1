import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from smidgen.cli.main import main
from tests.servers import serving

SLOW_MODEL = "digits-on-garments-best"
# Says when a picture is about to be computed.
ANNOUNCE = """
import smidgen.web.playground as playground
def announce(*given, really=playground.denoise_picture):
    print("computing", file=sys.stderr, flush=True)
    return really(*given)
playground.denoise_picture = announce
"""
# Packing a picture takes a minute, in C, where nothing can interrupt it.
PACK_SLOWLY = """
import time, numpy as np, smidgen.web.playground as playground
def pack(*given):
    print("packing", file=sys.stderr, flush=True)
    time.sleep(60)
playground.pack_picture = pack
playground.denoise_picture = lambda runtime, picture, handling: (picture, [])
"""
# A busy machine takes longer.
LONG_LIMITS = """
import smidgen.web.computing as computing
computing._COMPUTING_SECONDS = 600
"""
SHORT_LIMITS = """
import smidgen.web.computing as computing
computing._COMPUTING_SECONDS, computing._AT_ONCE, computing._WAITING_SECONDS = 0.5, 1, 5
"""


def large_picture() -> bytes:
    """As large as is allowed, in colour: many seconds of work."""
    file = io.BytesIO()
    Image.new("RGB", (3100, 3100)).save(file, "png")
    return file.getvalue()


def test_a_run_folder_is_served_under_its_name(tiny_model: Path):
    """The page calls a model by its file's or its run's name, never by its path."""
    run = tiny_model.parent / "my-run"
    run.mkdir()
    tiny_model.rename(run / "model.onnx")
    with serving("serve", str(run), "--beside", str(run / "model.onnx"), "--no-browser") as (address, process):
        found = httpx.get(f"{address}playground").json()
        assert [model["name"] for model in found["models"]] == ["my-run", "my-run"]
        assert httpx.get(f"{address}model").json()["name"] == "my-run"
    assert process.returncode == 0


def test_no_such_model(capsys: pytest.CaptureFixture[str]):
    """A model that is not there ends with exit code 2 before anything is served."""
    assert main(["serve", "nothing.onnx"]) == 2
    assert "there is no model" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("patch", [ANNOUNCE, PACK_SLOWLY])
def test_ends_within_two_seconds_whatever_it_computes(number: signal.Signals, patch: str):
    """With a picture under way a signal ends the server with exit code 0, and who waits is told so."""
    with ThreadPoolExecutor(1) as pool, serving("serve", SLOW_MODEL, "--no-browser", patch=patch) as (address, process):
        waiting = pool.submit(httpx.post, f"{address}denoise", content=large_picture(), timeout=60)
        assert process.stderr.readline().strip() in ("computing", "packing")
        started = time.monotonic()
        process.send_signal(number)
        process.wait(60)
        assert time.monotonic() - started < 4  # twice what is promised: the machine may be busy
        answer = waiting.result()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert (answer.status_code, answer.json()) == (503, {"error": "The server is ending."})


@pytest.mark.slow(4)
def test_clients_at_once_get_what_each_would_get_alone():
    """A few seconds of the load that `benchmarks/serving_pictures.py` makes: all answers right, /health in no time."""
    program = Path(__file__).parents[1] / "benchmarks" / "serving_pictures.py"
    command = [sys.executable, program, "--seconds", "2", "--clients", "4", "--largest", "0.4", "--each", "2"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["answers"].keys() == {"right"}
    assert found["longest_health_s"] < 1


def processor_seconds(pid: int) -> float:
    """That a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux, which tells what a process has taken")
def test_a_client_that_has_gone_costs_nothing_more():
    """Soon after the connection is closed nothing is computed for it any more."""
    with serving("serve", SLOW_MODEL, "--no-browser", patch=ANNOUNCE) as (address, process):
        with contextlib.suppress(httpx.ReadTimeout), ThreadPoolExecutor(1) as pool:
            patience = httpx.Timeout(60, read=2)
            post = pool.submit(httpx.post, f"{address}denoise", content=large_picture(), timeout=patience)
            assert process.stderr.readline().strip() == "computing"
            post.result()
        for _ in range(100):
            before = processor_seconds(process.pid)
            time.sleep(0.3)
            if processor_seconds(process.pid) - before < 0.05:
                break
        else:
            raise AssertionError("it goes on computing")
        assert processor_seconds(process.pid) < 6  # all of it would have taken nine


def test_a_page_of_a4_goes_through():
    """A grey page at 300 dots an inch, 8.7 megapixels, comes back whole, of its own size."""
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (3508, 2480), np.uint8)).save(file, "png", dpi=(300, 300))
    with serving("serve", "digits-on-garments-450", "--no-browser", patch=LONG_LIMITS) as (address, _):
        answer = httpx.post(f"{address}denoise", content=file.getvalue(), timeout=600)
    assert answer.status_code == 200
    assert Image.open(io.BytesIO(answer.content)).size == (2480, 3508)


def test_a_picture_has_its_time():
    """What takes too long is given up with a word on what to do, and its place is free again soon after."""
    with serving("serve", SLOW_MODEL, "--no-browser", patch=SHORT_LIMITS) as (address, _):
        answer = httpx.post(f"{address}denoise", content=large_picture(), timeout=60)
        assert answer.status_code == 504
        assert "smaller" in answer.json()["error"]
        small = io.BytesIO()
        Image.new("L", (28, 28)).save(small, "png")
        # With one place only, and 5 seconds to wait for it, where the large picture would take many more.
        assert httpx.post(f"{address}denoise", content=small.getvalue(), timeout=60).status_code == 200


@pytest.mark.slow(4)
def test_health_is_told_whatever_is_under_way():
    """Pictures being computed and in line, silent connections, and as many bodies as are held: /health answers."""
    with (
        ThreadPoolExecutor(8) as pool,
        serving("serve", SLOW_MODEL, "--no-browser") as (address, _),
        contextlib.ExitStack() as stack,
    ):
        place = urlsplit(address)
        content = large_picture()
        pictures = [pool.submit(httpx.post, f"{address}denoise", content=content, timeout=60) for _ in range(8)]
        head = f"POST /denoise HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-length: {2**24}\r\n\r\n".encode()
        for number in range(300):
            connection = stack.enter_context(socket.create_connection((place.hostname, place.port)))
            if number < 9:
                connection.sendall(head + bytes(2**24 - 1))
        for _ in range(20):
            assert httpx.get(f"{address}health", timeout=5).json() == {"status": "ok"}
        assert not all(picture.done() for picture in pictures)
