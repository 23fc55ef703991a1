import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.network.spec import default_spec
from smidgen.training import forecast as module
from smidgen.training.experiment import Experiment
from smidgen.training.forecast import forecast


def test_time_is_told_beforehand(generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    """What is forecast is what the pixels of all epochs take at the speed that was tried, and of their validation."""
    clean = generator.random((30, 48, 64, 1), dtype=np.float32)
    pairs = Pairs(clean, clean)
    dataset = Dataset(name="noise", train=FixedSource(pairs), val=pairs.first(3), test=pairs)
    experiment = Experiment.plan(dataset, default_spec(900), 900, epochs=7, threads=1)
    assert 0 < forecast(experiment).seconds < 1000
    tried = iter([0.5, 0.08, 0.5, 0.08])  # seconds for a step on eight images of 64 x 64, and to denoise them
    monkeypatch.setattr(module, "_time", lambda work: (work(), next(tried))[1])
    of_an_epoch = (30 * 0.5 + 3 * 0.08) * 48 * 64 / (8 * 64**2)
    assert forecast(experiment).seconds == pytest.approx(7 * of_an_epoch)
    longer = replace(experiment, recipe=replace(experiment.recipe, epochs=70))
    assert forecast(longer).seconds == pytest.approx(70 * of_an_epoch)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory that was taken from Linux")
@pytest.mark.parametrize(("side", "count", "threads"), [(300, 4, 2), (1600, 1, 1)])
def test_memory_is_told_beforehand(side: int, count: int, threads: int):
    """What a training's threads hold of a batch is what is told, to a tenth, with kept and with tiled images."""
    program = f"""
from pathlib import Path
import numpy as np
from smidgen.engine.native import Engine
from smidgen.network.spec import default_spec
from smidgen.training.start import draw_weights
spec = default_spec()
engine = Engine(spec, draw_weights(spec.network(), 0), {threads})
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
images = [np.full(({side}, {side}, 1), 0.5, np.float32)] * {count}
before = peak()
engine.gradients(images, images, "bce")
print(peak() - before, {threads} * engine.gradients_size({side}, {side}, {count}))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    taken, told = map(int, done.stdout.split())
    assert taken == pytest.approx(told, rel=0.1)


def test_larger_crops_and_more_threads_take_more_memory(generator: np.random.Generator):
    """The memory that is told grows with what a batch shows at once and with the threads that work on it."""
    clean = generator.random((2, 400, 400, 1), dtype=np.float32)
    pairs = Pairs(clean, clean)
    dataset = Dataset(name="noise", train=FixedSource(pairs), val=pairs.first(1), test=pairs)

    def told(**settings: int) -> int:
        return forecast(Experiment.plan(dataset, default_spec(450), 450, epochs=1, **settings)).memory

    assert told(threads=1, crop=64) < told(threads=2, crop=64) < told(threads=2, crop=0)
