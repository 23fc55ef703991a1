from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

import smidgen
from smidgen.data.corruptions import CORRUPTIONS, blur, make_corruption
from smidgen.data.open import open_clean
from smidgen.data.pairs import Dataset
from smidgen.data.scale import Scale, Scales
from smidgen.errors import FileError, InputError, PairsError
from smidgen.network.spec import PyramidSpec
from smidgen.training.loop import Progress
from smidgen.training.recipe import Recipe
from smidgen.training.train import train


@pytest.fixture
def clean(generator: np.random.Generator) -> np.ndarray:
    """Forty images of 8 x 8 on 0..255, no two alike."""
    return generator.integers(0, 256, (40, 8, 8), np.uint8)


def epoch(dataset: Dataset, generator: np.random.Generator, batch_size: int = 7) -> tuple[np.ndarray, np.ndarray]:
    batches = [group for (group,) in dataset.train.batches(batch_size, generator)]
    return np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])


def test_each_epoch_corrupts_afresh(clean: np.ndarray):
    """Each epoch shows every clean image once, in another order and with other noise; one seed gives the same."""
    dataset = smidgen.open_pairs(clean=clean, corruption=("gaussian-noise", 0.1))
    generator = np.random.default_rng(3)
    (noisy1, clean1), (noisy2, clean2) = epoch(dataset, generator), epoch(dataset, generator)
    assert len(clean1) == len(dataset.train) == 32
    assert sorted(map(bytes, clean1)) == sorted(map(bytes, clean2))
    noise1 = {image.tobytes(): noise for image, noise in zip(clean1, noisy1 - clean1, strict=True)}
    for image, noise in zip(clean2, noisy2 - clean2, strict=True):
        assert np.abs(noise1[image.tobytes()] - noise).mean() > 0.05
    again = epoch(dataset, np.random.default_rng(3))
    np.testing.assert_array_equal(again[0], noisy1)
    np.testing.assert_array_equal(again[1], clean1)


def test_validation_and_test_stay_the_same(clean: np.ndarray):
    """Parts to score on are split as pairs are, the same whenever they are opened, and their noise is not clipped."""
    first, second = (smidgen.open_pairs(clean=clean, corruption=("poisson-noise", 0.5)) for _ in range(2))
    assert (len(first.train), len(first.val), len(first.test)) == (32, 4, 4)
    for part in ("val", "test"):
        np.testing.assert_array_equal(first.part(part).noisy, second.part(part).noisy)
        assert first.part(part).noisy.max() > 1
    np.testing.assert_array_equal(first.train.example(5).noisy, second.train.example(5).noisy)
    seen = {image.tobytes() for pairs in (first.val, first.test, first.train.example(40)) for image in pairs.clean}
    assert len(seen) == 40
    assert first.fingerprint == second.fingerprint
    assert first.fresh


def test_each_image_draws_its_own_strength(generator: np.random.Generator):
    """Strengths of a range are uniform over it, one for each image."""
    grey = np.full((800, 40, 40, 1), 0.5, np.float32)
    noisy = make_corruption(("gaussian-noise", 0.1, 0.5)).apply(grey, generator)
    found = (noisy - grey).std((1, 2, 3))
    assert kstest((found - 0.1) / 0.4, "uniform").pvalue > 0.01
    np.testing.assert_allclose(
        (noisy - grey)[:, :, :20].std((1, 2, 3)), (noisy - grey)[:, :, 20:].std((1, 2, 3)), rtol=0.2
    )


def test_steps_act_in_their_order_each_with_its_strength(generator: np.random.Generator):
    """A list is one corruption after the other, kinds and functions mixed."""
    images = generator.random((3, 9, 9, 2), dtype=np.float32)

    def halve(clean: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return clean / 2

    made = make_corruption([("salt-and-pepper", 0.5), halve, "blur"]).apply(images, np.random.default_rng(1))
    peppered = CORRUPTIONS["salt-and-pepper"].damage(images, 0.5, np.random.default_rng(1))
    expected = CORRUPTIONS["blur"].damage(peppered / 2, CORRUPTIONS["blur"].usual, generator)
    np.testing.assert_array_equal(made, expected)
    assert make_corruption(["blur", ("jpeg", 50), halve]).steps[-1].kind.endswith("halve")


def test_blocks_of_jpeg_lie_in_parts_as_in_whole_images():
    """What is shown of a large image that is blurred and packed has its blocks where a whole image has them."""
    ramp = np.linspace(0, 1, 200, dtype=np.float32)
    clean = np.repeat(((ramp[:, None] + ramp) / 2)[None], 5, 0)
    dataset = smidgen.open_pairs(clean=clean, corruption=[("blur", 1), ("jpeg", 99)])
    parts = [
        part for batch in dataset.train.batches(9, np.random.default_rng(0), 64) for noisy, _ in batch for part in noisy
    ]
    borders = np.concatenate([np.flatnonzero(np.ptp(np.diff(part[..., 0], axis=1), 0)) + 1 for part in parts])
    assert len(borders) > 100
    assert not (borders % 8).any()


def test_a_function_of_ones_own(clean: np.ndarray):
    """It gets images and a generator, may work in place, and what it draws follows the seed."""
    seen = []

    def spots(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        seen.append((images.ndim, images.dtype))
        images[generator.random(images.shape) < 0.3] = 2
        return images.astype(np.float64)

    dataset = smidgen.open_pairs(clean=clean, corruption=spots)
    noisy, targets = epoch(dataset, np.random.default_rng(0))
    assert set(seen) == {(4, np.dtype(np.float32))}
    assert noisy.dtype == np.float32
    assert targets.max() <= 1
    assert abs((noisy == 2).mean() - 0.3) < 0.05
    np.testing.assert_array_equal(noisy, epoch(dataset, np.random.default_rng(0))[0])
    assert str(dataset.origin.corrupted).endswith("spots")


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (lambda images, generator: images[:, 1:], "real numbers of the same shape"),
        (lambda images, generator: None, "gave an array of object"),
        (lambda images, generator: images * np.nan, "NaN or infinity"),
    ],
)
def test_a_function_that_gives_no_images(clean: np.ndarray, own: Callable[..., Any], message: str):
    """What does not fit its clean images, or is no number, is refused as the images are opened."""
    with pytest.raises(PairsError, match=message):
        smidgen.open_pairs(clean=clean, corruption=own)


def test_the_fingerprint_covers_images_and_corruption(clean: np.ndarray):
    """Other images, kinds, strengths or orders, and functions that do something else under one name, are told apart."""

    def make(strength: float) -> Callable[..., Any]:
        def shift(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
            return images + np.float32(strength)

        return shift

    other = clean.copy()
    other[0, 0, 0] ^= 1
    cases = [
        (clean, "blur"),
        (other, "blur"),
        (clean, ("blur", 0.5)),
        (clean, ("blur", 0.5, 1)),
        (clean, ["blur", "jpeg"]),
        (clean, ["jpeg", "blur"]),
        (clean, make(0.1)),
        (clean, make(0.2)),
    ]
    found = [smidgen.open_pairs(clean=images, corruption=wish) for images, wish in cases]
    assert len({dataset.fingerprint for dataset in found}) == len(cases)
    assert smidgen.open_pairs(clean=clean, corruption=make(0.2)).fingerprint == found[-1].fingerprint
    assert len({dataset.origin.images_fingerprint for dataset in found}) == 2


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("rain", "no corruption 'rain'. Expected one of gaussian-noise"),
        (("blur", 9), "strength of blur is 9. Expected 0 to 4, the standard deviation in pixels"),
        (("blur", 2, 1), "go from 2 to 1. Expected the least first.* Swap them: 1 2"),
        (("blur", float("nan")), "is nan"),
        (("blur", 1, 2, 3), "is 1 2 3. Expected one number"),
        (("blur", "strong"), "is strong. Expected one number"),
        ((), "no corruption"),
        (5, "no corruption 5"),
        ([], "empty"),
        (None, "only one of clean and corruption"),
    ],
)
def test_impossible_corruptions(clean: np.ndarray, wish: Any, message: str):
    """Each says what was found and what there is."""
    with pytest.raises(InputError, match=message):
        smidgen.open_pairs(clean=clean, corruption=wish)


def test_noisy_pairs_take_no_corruption(clean: np.ndarray):
    """Pairs and clean images exclude each other; a corruption of nothing, and nothing at all, are refused, too."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"pairs": "pairs.npz", "clean": clean}, "one or the other"),
        ({"pairs": "pairs.npz", "corruption": "blur"}, "one or the other"),
        ({"corruption": "blur"}, "only one of clean and corruption"),
        ({}, "no pairs"),
    ]
    for given, message in wrong:
        with pytest.raises(InputError, match=message):
            smidgen.open_pairs(**given)


def test_x_is_on_the_scale_of_y(clean: np.ndarray):
    """Clean images of any scale make noisy ones on it; a model's scale is kept where it fits, and said where not."""
    dataset = smidgen.open_pairs(clean=clean, corruption="gaussian-noise")
    assert dataset.scales.noisy == dataset.scales.clean == Scale(0, 255)
    assert dataset.scales.seen.low < 0
    assert dataset.scales.seen.high > 255
    for scales, expected, warned in (
        (Scales(Scale(0, 300), Scale(0, 300), Scale(0, 300)), Scale(0, 300), False),
        (Scales(Scale(0, 510), Scale(0, 255), Scale(0, 510)), Scale(0, 255), True),
        (Scales(Scale(0.1, 1), Scale(0.1, 1), Scale(0.1, 1)), Scale(0, 255), True),
        (Scales(Scale(), Scale(), Scale()), Scale(0, 255), False),
    ):
        found = open_clean(clean, "gaussian-noise", scales=scales)
        assert found.scales.noisy == found.scales.clean == expected
        assert any("the model expects" in warning for warning in found.warnings) == warned


@pytest.mark.parametrize("output", ["sigmoid", "residual"])
def test_resumed_equals_uninterrupted(clean: np.ndarray, tmp_path: Path, output: str, monkeypatch: pytest.MonkeyPatch):
    """A training stopped in an epoch goes on with the noise it would have drawn; with other noise it does not go on."""
    wish = [("blur", 0, 1), ("gaussian-noise", 0, 0.2)]
    dataset = smidgen.open_pairs(clean=clean, corruption=wish)
    spec = PyramidSpec(width=2, hidden=2, scales=2, kernel=3, output=output)
    settings = Recipe(epochs=5, batch_size=8, threads=1, loss="mse")

    def stop(progress: Progress) -> None:
        if progress.epoch == 3 and progress.step % 4 == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("smidgen.training.checkpoint._SECONDS_BETWEEN_CHECKPOINTS", 0)
    whole = train(dataset, spec, settings)
    assert train(dataset, spec, settings, folder=tmp_path, watch=stop).ending == "interrupted"
    other = smidgen.open_pairs(clean=clean, corruption=[("blur", 0, 1), ("gaussian-noise", 0, 0.3)])
    with pytest.raises(FileError, match=r"corruption was blur 0 to 1, then gaussian-noise 0 to 0\.2 and is now"):
        train(other, spec, settings, folder=tmp_path, resume=True)
    changed = smidgen.open_pairs(clean=clean[::-1], corruption=wish)
    with pytest.raises(FileError, match="another training: pairs was"):
        train(changed, spec, settings, folder=tmp_path, resume=True)
    resumed = train(smidgen.open_pairs(clean=clean, corruption=wish), spec, settings, folder=tmp_path, resume=True)
    for name, weights in whole.weights.items():
        np.testing.assert_array_equal(resumed.weights[name], weights)
    again = train(dataset, spec, replace(settings, seed=1))
    assert not np.array_equal(again.weights["stem"], whole.weights["stem"])


def test_train_and_evaluate_in_python(clean: np.ndarray, tmp_path: Path):
    """`smidgen.train` takes such pairs, with a function too, and `evaluate` scores what they hold back."""
    dataset = smidgen.open_pairs(clean=clean, corruption=lambda images, generator: images * np.float32(0.5))
    model = smidgen.train(dataset, tmp_path / "run", budget=400, epochs=2, threads=1)
    assert model.info.origin.corrupted == dataset.corrupted
    judged = smidgen.evaluate(model, dataset, split="test", baselines=False)
    assert judged.n == 4
    assert judged.pairs == "clean-images"


def test_parts_of_large_images_are_blurred_as_the_whole(generator: np.random.Generator):
    """A crop's noisy image is that part of the whole picture's: what lies beyond its border is blurred into it."""
    picture = generator.integers(0, 256, (90, 70), np.uint8)
    dataset = smidgen.open_pairs(clean=[picture, picture, picture], corruption=("blur", 1.5))
    whole, unit = blur((picture / np.float32(255))[None, ..., None], 1.5, generator)[0], picture / np.float32(255)
    for batch in dataset.train.batches(3, generator, 24):
        for noisy, clean in batch:
            for one, other in zip(noisy, clean, strict=True):
                shape = one.shape[:2]
                corners = np.lib.stride_tricks.sliding_window_view(unit, shape)
                ((top, left),) = np.argwhere((np.abs(corners - other[..., 0]) < 1e-6).all((2, 3)))
                np.testing.assert_allclose(one, whole[top : top + shape[0], left : left + shape[1]], atol=1e-6)
