import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator

from smidgen import Denoiser
from smidgen.errors import InputError
from smidgen.model.runtime import Runtime
from tests.conftest import make_pairs


def quick(**more: object) -> Denoiser:
    return Denoiser(**{"budget": 300, "epochs": 2, "batch_size": 8} | more)


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    """Thirty pairs of 8 x 8, X on 0..510 and y on 0..255."""
    pairs = make_pairs(30, np.random.default_rng(3))
    return np.rint(pairs.noisy[..., 0] * 510), np.rint(pairs.clean[..., 0] * 255)


class Mirror(Denoiser):
    """Learns to give back X: scikit-learn's checks hand over targets that are no images."""

    def fit(self, X: object, y: object) -> "Mirror":  # noqa: N803
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        return super().fit(X, X)

    def score(self, X: object, y: object, sample_weight: object = None) -> float:  # noqa: N803
        return super().score(X, X)


NOT_FOR_US = {
    "check_regressors_train": "wants an error where y has another length, and the mirror looks at no y",
    "check_supervised_y_no_nan": "wants an error where y holds infinity, and the mirror looks at no y",
    "check_regressor_multioutput": "wants float64 answers; images are float32",
}


def checks() -> Iterator[object]:
    """All of scikit-learn's, but for the one that runs only where SCIPY_ARRAY_API is set."""
    for made, check in estimator_checks_generator(Mirror(budget=300, epochs=1, image_shape=(1, -1)), legacy=True):
        name = getattr(check, "func", check).__name__
        if name != "check_array_api_input":
            marks = [pytest.mark.xfail(reason=NOT_FOR_US[name], strict=True)] if name in NOT_FOR_US else []
            yield pytest.param(made, check, id=name, marks=marks)


@pytest.mark.filterwarnings("ignore")  # what the checks provoke is theirs
@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_scikit_learns_own_checks(estimator: Denoiser, check: Callable[[Denoiser], None]):
    """Every check scikit-learn has for estimators passes, but for those listed with their reason."""
    check(estimator)


def test_image_shaped_targets_in_a_grid_search(images: tuple[np.ndarray, np.ndarray]):
    """`GridSearchCV(Denoiser(...), grid, cv=3).fit(X, y)` works on images as they are, in parallel."""
    search = GridSearchCV(quick(), {"epochs": [1, 4], "learning_rate": [1e-3, 3e-2]}, cv=3, n_jobs=2)
    search.fit(*images)
    assert search.best_params_ == {"epochs": 4, "learning_rate": 3e-2}
    assert search.predict(images[0]).shape == images[1].shape
    assert len(search.cv_results_["mean_test_score"]) == 4


def test_other_searches_and_pipelines(images: tuple[np.ndarray, np.ndarray]):
    """Randomized and halving searches, cross-validation and pipelines take the same images."""
    x, y = images
    assert RandomizedSearchCV(quick(), {"epochs": [1, 2, 3]}, n_iter=2, cv=2, random_state=0).fit(x, y).best_score_ > 0
    halving = HalvingGridSearchCV(quick(), {"epochs": [1, 2]}, cv=KFold(2), min_resources=12, random_state=0)
    assert halving.fit(x, y).best_score_ > 0
    assert cross_val_score(quick(), x, y, cv=3).shape == (3,)
    pipeline = Pipeline([("half", FunctionTransformer(_halve)), ("denoiser", quick())])
    assert pipeline.fit(x, y).predict(x).shape == y.shape


def _halve(values: np.ndarray) -> np.ndarray:
    return values / 2


def test_flat_rows_score_by_mean_squared_error(images: tuple[np.ndarray, np.ndarray]):
    """Flattened X and y give flat answers, so that scikit-learn's own metrics apply."""
    x, y = (part.reshape(len(part), -1) for part in images)
    search = GridSearchCV(quick(), {"epochs": [1, 4]}, cv=3, scoring="neg_mean_squared_error").fit(x, y)
    assert search.best_params_ == {"epochs": 4}
    assert search.predict(x).shape == y.shape


def test_same_answers_for_flat_and_image_shaped(images: tuple[np.ndarray, np.ndarray]):
    """Flat rows are the same images: same seed, same answers; wide ones need `image_shape`."""
    x, y = images
    whole = quick().fit(x, y).predict(x)
    flat = quick().fit(x.reshape(30, -1), y.reshape(30, -1)).predict(x.reshape(30, -1))
    np.testing.assert_array_equal(flat.reshape(whole.shape), whole)
    wide = quick(image_shape=(4, 16)).fit(x.reshape(30, -1), y.reshape(30, -1)).predict(x.reshape(30, -1))
    assert wide.shape == (30, 64)
    with pytest.raises(ValueError, match="do not make a square image"):
        quick().fit(x.reshape(30, -1)[:, :60], y.reshape(30, -1)[:, :60])


def test_answers_are_in_the_units_of_y(images: tuple[np.ndarray, np.ndarray]):
    """X on 0..510 and y on 0..255: answers are on 0..255 and better than doing nothing; `score` is in dB."""
    x, y = images
    denoiser = Denoiser(budget=300, epochs=60, batch_size=8).fit(x, y)
    answers = denoiser.predict(x)
    assert 100 < answers.max() <= 255
    assert ((answers - y) ** 2).mean() < 0.5 * ((x / 2 - y) ** 2).mean()
    errors = (((answers - y) / 255) ** 2).reshape(30, -1).mean(1)
    assert denoiser.score(x, y) == pytest.approx(float((-10 * np.log10(errors)).mean()), rel=1e-4)
    first = np.zeros(30)
    first[0] = 1
    assert denoiser.score(x, y, sample_weight=first) == pytest.approx(float(-10 * np.log10(errors[0])), rel=1e-4)


def test_a_residual_takes_x_and_y_on_one_scale(images: tuple[np.ndarray, np.ndarray]):
    """`output="residual"` reads X in y's units; after a moment its answers are nearer to y than X is."""
    x, y = images
    denoiser = Denoiser(budget=300, output="residual", epochs=10, batch_size=8).fit(x / 2, y)
    scales = Runtime(denoiser.model_).info.scales
    assert (scales.noisy.high, scales.clean.high) == (255, 255)
    assert ((denoiser.predict(x / 2) - y) ** 2).mean() < 0.9 * ((x / 2 - y) ** 2).mean()


def test_pickles_by_way_of_its_model_file(images: tuple[np.ndarray, np.ndarray], tmp_path: Path):
    """A pickled denoiser answers the same; its saved file is a model that everything else takes."""
    x, y = images
    denoiser = quick().fit(x, y)
    again = pickle.loads(pickle.dumps(denoiser))
    np.testing.assert_array_equal(again.predict(x), denoiser.predict(x))
    denoiser.save(tmp_path / "bars.onnx")
    model = Runtime(tmp_path / "bars.onnx")
    np.testing.assert_array_equal(model.denoise_values(x[..., None])[..., 0], denoiser.predict(x))
    assert model.info.budget == 300


def test_validation_pairs_may_be_given(images: tuple[np.ndarray, np.ndarray]):
    """`validation=(X, y)` chooses the epoch, and all of X is trained on."""
    x, y = images
    info = Runtime(quick(validation=(x[:5], y[:5])).fit(x[5:], y[5:]).model_).info
    assert info.origin.sizes["train"] == 25
    assert info.origin.sizes["val"] == 5


def test_colour_keeps_its_axis(images: tuple[np.ndarray, np.ndarray]):
    """Images with channels come back with channels."""
    x, y = (np.repeat(part[..., None], 3, 3) for part in images)
    assert quick().fit(x, y).predict(x[:2]).shape == (2, 8, 8, 3)


def test_wrong_use_is_told(images: tuple[np.ndarray, np.ndarray]):
    """What cannot be learned from or asked for is refused with a sentence."""
    x, y = images
    with pytest.raises(NotFittedError):
        quick().predict(x)
    with pytest.raises(ValueError, match="30 images and y has 20"):
        quick().fit(x, y[:20])
    with pytest.raises(ValueError, match="learned numbers"):
        quick(budget=10).fit(x, y)
    with pytest.raises(InputError, match="sigmoid or residual"):
        quick(output="tanh").fit(x, y)
    with pytest.raises(InputError, match="needs a sigmoid"):
        quick(output="residual", loss="bce").fit(x / 2, y)
    with pytest.raises(InputError, match="'unet'"):
        quick(network="unet").fit(x, y)
    for wrong in (2, 0.0, (x,), x):
        with pytest.raises(InputError, match="validation is"):
            quick(validation=wrong).fit(x, y)


def test_parameters_and_clones(images: tuple[np.ndarray, np.ndarray]):
    """`get_params`, `set_params` and `clone` carry every argument, and those of the training are its recipe."""
    denoiser = Denoiser(900, epochs=3, validation=0.2, n_jobs=-1)
    assert clone(denoiser).get_params() == denoiser.get_params()
    assert denoiser.set_params(budget=450).budget == 450
    asked = {"epochs": 3, "batch_size": 7, "learning_rate": 0.02, "optimizer": "adam", "loss": "mse",
             "patience": 9, "keep": "last", "crop": 16, "flips": True}  # fmt: skip
    info = Runtime(quick(**asked).fit(*images).model_).info
    assert asked.items() <= info.recipe.to_dict().items()
    assert info.best_epoch == 3


def test_images_of_several_sizes(generator: np.random.Generator):
    """Lists of images that differ in size are learned from, answered with a list, and scored."""
    clean = [np.rint(255 * generator.random((20 + n, 30 - n))) for n in range(12)]
    noisy = [image + generator.normal(0, 20, image.shape) for image in clean]
    denoiser = quick(output="residual", crop=16, flips=True).fit(noisy, clean)
    answers = denoiser.predict(noisy)
    assert [answer.shape for answer in answers] == [image.shape for image in clean]
    errors = [np.square((answer - image) / 255).mean() for answer, image in zip(answers, clean, strict=True)]
    assert denoiser.score(noisy, clean) == pytest.approx(np.mean(-10 * np.log10(errors)), abs=1e-3)
    assert denoiser.predict(noisy[0][None]).shape == (1, 20, 30)
    held = np.empty(12, object)
    held[:] = noisy
    assert all(map(np.array_equal, denoiser.predict(held), answers))
    with pytest.raises(ValueError, match="a list of them"):
        denoiser.predict(noisy[0])


def test_clean_images_alone(images: tuple[np.ndarray, np.ndarray]):
    """With a corruption it learns from clean images, on their scale; with both y and one it says so."""
    _, clean = images
    denoiser = quick(corruption=("gaussian-noise", 0.1), output="residual").fit(clean)
    assert denoiser.predict(clean + 20).shape == clean.shape
    info = Runtime(denoiser.model_).info
    assert info.scales.noisy == info.scales.clean
    assert str(info.origin.corrupted) == "gaussian-noise 0.1"
    quick(corruption="blur", validation=clean[:4]).fit(clean[4:])
    with pytest.raises(ValueError, match="clean images alone and a corruption"):
        quick(corruption="blur").fit(clean, clean)
    with pytest.raises(ValueError, match="there is no corruption 'rain'"):
        quick(corruption="rain").fit(clean)
    with pytest.raises(ValueError, match="y is None"):
        denoiser.score(clean)


@pytest.fixture
def noisy_alone(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Twenty-four images of 48 x 48 in noise, 12 bits of 16, and the same without."""
    at = np.arange(48)
    clean = np.stack([1500 + 800 * np.sin(at[:, None] / (6 + n)) * np.cos(at / (7 + n)) for n in range(24)])
    noisy = np.clip(np.rint(clean + generator.normal(0, 250, clean.shape)), 0, 65535).astype(np.uint16)
    return noisy, clean


def test_noisy_images_alone(noisy_alone: tuple[np.ndarray, np.ndarray]):
    """`fit(X)` learns from noisy images as `train --noisy` does, one or many, and answers on their scale."""
    noisy, clean = noisy_alone
    denoiser = quick(epochs=40, flips=True).fit(noisy)
    answers = denoiser.predict(noisy)
    assert answers.shape == noisy.shape
    assert np.square(answers - clean).mean() < 0.3 * np.square(noisy - clean).mean()
    known = Runtime(denoiser.model_).info.origin
    assert known.without_clean is not None
    assert known.without_clean.method == "recorrupted"
    assert known.sizes == {"train": 22, "val": 2, "test": 2}
    quick(validation=noisy[:2]).fit(noisy[2:])
    with pytest.warns(UserWarning, match="1 noisy image: all are learned from"):
        quick().fit(noisy[:1].reshape(1, -1))
    with pytest.raises(ValueError, match="or noisy images"):
        quick(validation=3).fit(noisy)
    with pytest.raises(ValueError, match="residual"):
        quick(output="sigmoid").fit(noisy)


def test_a_score_without_clean_images(noisy_alone: tuple[np.ndarray, np.ndarray]):
    """Where there is no y, a score is what the noise lets expect, so that a search chooses without clean images."""
    noisy, clean = noisy_alone
    search = GridSearchCV(quick(), {"epochs": [2, 25]}, cv=KFold(2)).fit(noisy)
    assert search.best_params_ == {"epochs": 25}
    best = search.best_estimator_
    scale = Runtime(best.model_).info.scales.noisy
    true = np.square((best.predict(noisy) - clean) / (scale.high - scale.low)).mean()
    assert best.score(noisy) == pytest.approx(-10 * np.log10(true), abs=2)
    first = np.eye(24)[0]
    assert best.score(noisy, sample_weight=first) == pytest.approx(best.score(noisy[:1]), abs=0.5)
