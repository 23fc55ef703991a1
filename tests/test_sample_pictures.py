from importlib import resources

import numpy as np

from smidgen.data.open import open_clean
from smidgen.data.sample_pictures import load_pictures
from smidgen.model.runtime import Runtime
from smidgen.network.spec import default_spec
from smidgen.runs.run import make_run
from smidgen.training.experiment import Experiment


def test_pictures_ship_with_their_licences():
    """Every picture of the package is grey, of some content, and named in the table of licences."""
    licences = (resources.files("smidgen.data") / "sample" / "pictures" / "LICENCES.md").read_text()
    pictures = load_pictures()
    assert len(pictures) >= 6
    for name, picture in pictures.items():
        assert f"| {name} |" in licences
        assert picture.ndim == 4
        assert picture.std() > 0.05


def test_photographs_are_learned_from_the_package_alone(tmp_path):
    """A minute of training on three of the pictures takes noise off the others, better than doing nothing."""
    pictures = [image[0, ..., 0] for image in load_pictures().values()]
    dataset = open_clean(pictures, ("gaussian-noise", 0.1))
    assert dataset.output == "residual"
    recipe = {"epochs": 12, "crop": 48, "batch_size": 4, "flips": True, "threads": 2}
    experiment = Experiment.plan(dataset, default_spec(450, output="residual"), 450, **recipe)
    record = make_run(experiment, folder=tmp_path / "run").record
    nothing = record.evaluation.baselines["doing nothing"].psnr_db
    assert record.evaluation.scores.psnr_db > nothing + 3
    assert Runtime(tmp_path / "run").info.origin.extent is not None
    assert np.isfinite(record.evaluation.scores.ssim)
