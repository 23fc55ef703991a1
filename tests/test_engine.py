"""The engine: held to a reference in float64, to ONNX Runtime, and to itself."""

import copy
import multiprocessing
import os
import pickle
import platform
import resource
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smidgen.engine import library as engine_library
from smidgen.engine.build import LEVELS, PLAIN
from smidgen.engine.library import count_cores, levels
from smidgen.engine.native import Engine, Stop
from smidgen.errors import InputError, StoppedError
from smidgen.model.graph import make_onnx
from smidgen.network.spec import OUTPUTS, PlainSpec, PyramidSpec, Spec
from tests.conftest import needs_debian, random_weights
from tests.reference import run_network

SOURCE = Path(__file__).parents[1] / "src" / "smidgen" / "engine"
DRIVER = Path(__file__).parent / "engine" / "driver.c"

pyramids = st.builds(
    PyramidSpec,
    channels=st.integers(1, 4), width=st.integers(1, 24), hidden=st.integers(1, 24), scales=st.integers(1, 5),
    passes=st.integers(1, 3), kernel=st.sampled_from([1, 3, 5, 7, 9, 15]), tied=st.booleans(),
    output=st.sampled_from(OUTPUTS),
)  # fmt: skip
plains = st.builds(
    PlainSpec,
    channels=st.integers(1, 4), widths=st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple),
    output=st.sampled_from(OUTPUTS),
)  # fmt: skip
sizes = st.tuples(st.integers(1, 50), st.integers(1, 150))

SMALL = PyramidSpec(width=5, hidden=4, scales=3, passes=2)


def make(spec: Spec, seed: int = 0, threads: int = 2, level: str | None = None) -> Engine:
    return Engine(spec, random_weights(spec, np.random.default_rng(seed)), threads, level)


def calm_weights(spec: Spec, seed: int) -> dict[str, np.ndarray]:
    """Weights of the size that training starts from: rounding errors do not grow from layer to layer."""
    generator = np.random.default_rng(seed)
    weights = {}
    for weight in spec.network().weights:
        value = generator.normal(weight.mean, weight.std or 0.02, weight.shape)
        if weight.peak:
            value[:, 0, value.shape[2] // 2, value.shape[3] // 2] += weight.peak
        weights[weight.name] = value.astype(np.float32)
    return weights


def image_of(size: tuple[int, int], channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((*size, channels), dtype=np.float32)


def by_onnxruntime(spec: Spec, weights: dict[str, np.ndarray], image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(make_onnx(spec.network(), weights).SerializeToString())
    return session.run(None, {"noisy": image.transpose(2, 0, 1)[None]})[0][0].transpose(1, 2, 0)


@given(spec=pyramids | plains, size=sizes, seed=st.integers(0, 99), level=st.sampled_from(levels()))
@settings(max_examples=100)
@example(spec=PyramidSpec(width=16, hidden=21), size=(28, 28), seed=0, level=None)
@example(spec=PyramidSpec(), size=(1, 1), seed=0, level=None)
@example(spec=PlainSpec(), size=(1, 1), seed=0, level=None)
def test_any_network_on_any_size_is_what_its_layers_say(spec: Spec, size: tuple[int, int], seed: int, level: str):
    """The engine is within 1e-5 of the layers in float64, or nearer to them than ONNX Runtime.

    Where values in between grow beyond ten, as they do in deep random networks, a tenth of them counts as one.
    """
    weights, image = calm_weights(spec, seed), image_of(size, spec.channels, seed)
    exact, largest = run_network(spec.network(), weights, image)
    (denoised,) = Engine(spec, weights, 2, level).denoise([image])
    error = np.abs(denoised - exact).max()
    assert error <= 1e-5 * max(1, largest / 10) or error <= np.abs(by_onnxruntime(spec, weights, image) - exact).max()


@given(spec=pyramids | plains, size=sizes, count=st.integers(1, 20), threads=st.sampled_from([1, 2, 3, 8]),
       rows=st.integers(0, 70))  # fmt: skip
@settings(max_examples=40)
@example(spec=SMALL, size=(3000, 40), count=1, threads=8, rows=0)
@example(spec=SMALL, size=(40, 3000), count=2, threads=3, rows=1)
@example(spec=SMALL, size=(1, 1), count=20, threads=8, rows=1)
def test_bits_do_not_depend_on_how_it_is_computed(
    spec: Spec, size: tuple[int, int], count: int, threads: int, rows: int
):
    """Any number of threads, of rows at a time and of images at once, and a stream, give the same bits."""
    images = [image_of(size, spec.channels, seed) for seed in range(count)]
    other = image_of((7, 9), spec.channels)
    alone = [make(spec, threads=1).denoise([image])[0] for image in images]
    engine = make(spec, threads=threads)
    np.testing.assert_array_equal(engine.denoise([*images, other, images[0]], rows=rows)[:count], alone)
    np.testing.assert_array_equal(engine.denoise_batch(np.stack(images)), alone)
    with engine.stream(*size, rows=rows) as stream:
        pushed = [stream.push(images[0][at : at + stream.step]) for at in range(0, size[0], stream.step)]
    np.testing.assert_array_equal(np.concatenate(pushed), alone[0])


@pytest.mark.parametrize("level", LEVELS.get(platform.machine(), PLAIN))
def test_levels_agree(level: str):
    """Every build that this processor can run gives the same: to the bit where it has fused multiply-add."""
    if level not in levels():
        pytest.skip(f"this processor cannot run {level}")
    image = image_of((61, 203))
    best, other = make(SMALL).denoise([image])[0], make(SMALL, level=level).denoise([image])[0]
    if level == "v2":
        np.testing.assert_allclose(other, best, rtol=0, atol=1e-5)
    else:
        np.testing.assert_array_equal(other, best)


def test_images_stay_as_they_were():
    """Inputs of any layout are read, not written."""
    image = np.asfortranarray(image_of((20, 30)).astype(np.float64))
    before = image.copy()
    denoised = make(SMALL).denoise([image[::-1]])[0]
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(denoised, make(SMALL).denoise([before[::-1].astype(np.float32)])[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("output", OUTPUTS)
def test_odd_values_end_where_they_can_reach(value: float, output: str):
    """NaN and infinity in a pixel neither crash nor hang, and leave what is out of reach as it was."""
    spec = PyramidSpec(width=3, hidden=3, scales=2, kernel=3, output=output)
    image = image_of((200, 90))
    odd = image.copy()
    odd[0, 0] = value
    before, after = (make(spec).denoise([x])[0] for x in (image, odd))
    reach = spec.network().reach
    np.testing.assert_array_equal(after[reach + 1 :], before[reach + 1 :])


def test_odd_weights_neither_crash_nor_hang():
    """A network of NaN and infinities gives an image of the size asked for."""
    for value in (np.nan, np.inf, -3e38):
        for spec in (SMALL, PlainSpec()):
            weights = {w.name: np.full(w.shape, value, np.float32) for w in spec.network().weights}
            assert Engine(spec, weights).denoise([image_of((9, 9))])[0].shape == (9, 9, 1)


def test_models_run_at_once_in_many_threads():
    """Threads of one program that use different networks on different sizes get what each gets alone."""
    jobs = [(make(spec), image_of((40 + i, 90 - i), spec.channels)) for i, spec in enumerate([SMALL, PlainSpec()] * 4)]
    alone = [engine.denoise([image])[0] for engine, image in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        for _ in range(10):
            for found, expected in zip(pool.map(lambda job: job[0].denoise([job[1]])[0], jobs), alone, strict=True):
                np.testing.assert_array_equal(found, expected)


def denoise_in_a_child() -> float:
    return float(make(SMALL).denoise([image_of((50, 50))])[0].sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_may_be_forked_and_spawned(method: str):
    """A child of a program that has used the engine uses it as well."""
    expected = denoise_in_a_child()
    code = (
        "import multiprocessing\nfrom tests.test_engine import denoise_in_a_child\n"
        "if __name__ == '__main__':\n"
        "    denoise_in_a_child()\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        print(pool.apply(denoise_in_a_child))\n"
    )
    root = Path(__file__).parents[1]
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root).stdout
    assert method in multiprocessing.get_all_start_methods()
    assert float(said) == expected


def test_too_little_memory_is_an_error():
    """Where memory ends the engine says so, and goes on with what fits."""
    code = (
        "import numpy, resource\nfrom tests.test_engine import SMALL, make\nengine = make(SMALL)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))\n"
        "for attempt in (lambda: engine.stream(2**20, 2**20), "
        "lambda: engine.denoise([numpy.zeros((1, 2**24, 1), 'float32')])):\n"
        "    try:\n        attempt()\n    except MemoryError as error:\n        print(error)\n"
        "print(engine.denoise([numpy.zeros((9, 9, 1), 'float32')])[0].shape)\n"
    )
    root = Path(__file__).parents[1]
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root).stdout
    assert said.count("not enough memory") == 2
    assert said.endswith("(9, 9, 1)\n")
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_it_stops_when_asked_to():
    """Another thread ends the computing in the middle of an image; the engine can be used again."""
    engine, stop = make(PyramidSpec(width=64, hidden=64), threads=2), Stop()
    threading.Timer(0.2, stop.ask).start()
    with pytest.raises(StoppedError):
        engine.denoise([np.zeros((20_000, 400, 1), np.float32)], stop)
    assert engine.denoise([image_of((9, 9))])[0].shape == (9, 9, 1)


def test_copies_and_pickles_are_engines_of_their_own():
    """An engine can be copied and pickled, and one that is let go takes nothing from the others."""
    engine, image = make(SMALL), image_of((20, 30))
    expected = engine.denoise([image])[0]
    others = [copy.copy(engine), copy.deepcopy(engine), pickle.loads(pickle.dumps(engine))]
    del engine
    for other in others:
        np.testing.assert_array_equal(other.denoise([image])[0], expected)


def test_a_stream_that_has_ended_takes_nothing():
    """After it is closed or stopped, and beyond its last row, a stream refuses rows."""
    engine, rows = make(SMALL), image_of((10, 30))
    with engine.stream(10, 30) as stream:
        assert stream.push(rows).shape == (10, 30, 1)
        with pytest.raises(ValueError, match="rows have shape"):
            stream.push(rows)
    with pytest.raises(ValueError, match="closed"):
        stream.push(rows)
    stop, stream = Stop(), engine.stream(10, 30)
    stop.ask()
    with pytest.raises(StoppedError):
        stream.push(rows, stop)
    with pytest.raises(ValueError, match="closed"):
        stream.push(rows)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (5, 2**24 + 1), (2**32 + 5, 5)])
def test_sizes_that_cannot_be_are_refused(size: tuple[int, int]):
    """An image of no pixels, or of more than 2**24 a side, is an error that says so."""
    with pytest.raises(ValueError, match="not between 1 x 1"):
        make(SMALL).stream(*size)


def test_weights_of_another_network_are_refused():
    """Too few or too many numbers are told before anything is read."""
    weights = random_weights(SMALL, np.random.default_rng(0))
    weights["stem"] = weights["stem"][:, :, :2]
    with pytest.raises(ValueError, match="numbers, not"):
        Engine(SMALL, weights)


def test_networks_of_many_scales_do_not_take_more_for_small_images():
    """Sixteen scales on 64 small images hold what 64 small images hold."""
    deep = PlainSpec(widths=(2,) * 16)
    with make(deep).stream(28, 28) as stream:
        assert stream.size_bytes < 2**24


@pytest.mark.parametrize(("threads", "level"), [(-1, None), (100_000, None), (1, "v9")])
def test_what_cannot_be_is_refused(threads: int, level: str | None):
    """Impossible threads and levels are errors of the input."""
    with pytest.raises(InputError, match=r"threads|level"):
        make(SMALL, threads=threads, level=level)


def test_memory_follows_the_width_not_the_height():
    """A stream of a hundred times the height holds the same."""

    def held(height: int) -> int:
        with make(SMALL).stream(height, 500) as stream:
            return stream.size_bytes

    assert held(102_400) == held(1024)


@pytest.mark.slow(18)
@pytest.mark.parametrize(("sanitizer", "lanes"), [("address,undefined", 1), ("address,undefined", 8), ("thread", 8)])
def test_sanitizers_find_nothing(tmp_path: Path, sanitizer: str, lanes: int):
    """Random networks, sizes and threads, forwards and back, touch no memory that is not theirs and race for none."""
    compiler = needs_debian("gcc")
    flags = ["-std=gnu11", "-g", "-O1", "-ffp-contract=off", "-pthread", "-Wall", "-Wextra", "-Werror"]
    if "v3" in levels():
        flags.append("-march=x86-64-v3")
    command = [compiler, *flags, f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", f"-DLANES={lanes}",
               "-DPRODUCTS_A_THREAD=1", f"-I{SOURCE}", str(DRIVER), "-o", str(tmp_path / "driver"), "-lm"]  # fmt: skip
    subprocess.run(command, check=True)
    done = subprocess.run([tmp_path / "driver", "1", "10"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "10 runs\n"), done.stdout + done.stderr


def test_one_lane_is_plain_c(tmp_path: Path):
    """With one lane the kernels compile as C99 without a warning."""
    compiler = needs_debian("gcc")
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wno-unused-function", "-pedantic", "-Werror", "-fsyntax-only"]
    subprocess.run([compiler, *strict, "-DLANES=1", str(SOURCE / "gradients.c")], check=True)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "1000 100000\n"}, 1),
        ({"cpu.max": "9000000 100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "50000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "150000\n"}, 64),
    ],
)
def test_a_container_may_have_a_share_of_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int
):
    """All cores that a process is bound to are used, or as many as its container gets the time of, rounded up."""
    for name in ("sched_getaffinity", "process_cpu_count"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(engine_library, "_CONTROL_GROUPS", tmp_path)
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert count_cores() == cores
