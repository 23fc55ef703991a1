from dataclasses import replace

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
