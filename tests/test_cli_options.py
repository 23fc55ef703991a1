import argparse
from pathlib import Path

import numpy as np
import pytest

from smidgen.cli import options
from smidgen.cli.main import main
from smidgen.data.scale import Scale, Scales
from smidgen.model.records import ModelInfo
from smidgen.network.spec import PlainSpec


def test_options_reach_the_data_set(tmp_path: Path):
    """What is typed as options is what is opened: two files, labels, own validation pairs, a model's ranges."""
    clean = np.random.default_rng(0).random((20, 5, 5))
    np.save(tmp_path / "x.npy", clean + clean[::-1])
    np.save(tmp_path / "y.npy", clean)
    np.save(tmp_path / "labels.npy", np.arange(20))
    np.savez(tmp_path / "val.npz", X=clean[:7], y=clean[:7])
    parser = argparse.ArgumentParser()
    options.add(parser, *options.PAIRS, "--split")
    names = {"--noisy": "x.npy", "--clean": "y.npy", "--labels": "labels.npy", "--val": "val.npz"}
    arguments = parser.parse_args([part for name, file in names.items() for part in (name, str(tmp_path / file))])
    scales = Scales(Scale(0, 2.5), Scale(0, 1), Scale(0, 2.5))
    dataset = options.open_pairs(arguments, ModelInfo(spec=PlainSpec(), budget=3600, scales=scales))
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (18, 7, 2)
    assert dataset.train.labels is not None
    assert dataset.scales.noisy == Scale(0, 2.5)


def test_two_files_as_pairs_draw_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Whoever names a file of noisy and one of clean images one after the other is told how to."""
    assert main(["inspect", "X.pkl", "y.pkl"]) == 2
    assert "--noisy X.pkl --clean y.pkl" in capsys.readouterr().err
