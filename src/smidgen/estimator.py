"""The scikit-learn face: `Denoiser().fit(X, y).predict(X)`, for grid searches, pipelines and pickles."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from smidgen.data.checks import CLEAN, SHOTS, make_raw_images, make_raw_pairs
from smidgen.data.clean import split_clean
from smidgen.data.collection import ScaledImages, read_whole
from smidgen.data.corruptions import Wish, make_corruption
from smidgen.data.draw import VAL_SHARE
from smidgen.data.noisy import split_noisy
from smidgen.data.pairs import Dataset, Pairs
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.split import split_pairs
from smidgen.errors import InputError, PairsError
from smidgen.files import write_whole
from smidgen.judging.scores import psnr_of
from smidgen.judging.without_truth import judge_without_truth
from smidgen.model.file import pack_model
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.network.spec import DEFAULT_BUDGET, choose_spec
from smidgen.training.experiment import Experiment
from smidgen.training.losses import mse
from smidgen.training.recipe import asked_output
from smidgen.training.train import train

_LEAST_ERROR = 1e-3  # of the noise's: an estimate may come out at 0 or below, and a score must be a number
_Result = TypeVar("_Result")
_Given = NDArray[Any] | list[NDArray[Any]]  # (N, …), or images of several sizes


class WrongInputError(InputError, ValueError):
    """Wrong input to an estimator: scikit-learn expects a `ValueError`."""


def _raise_value_errors(method: Callable[..., _Result]) -> Callable[..., _Result]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> _Result:
        try:
            return method(*args, **kwargs)
        except InputError as error:
            raise WrongInputError(str(error)) from None

    return call


class Denoiser(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A denoiser that fits a parameter budget, as a scikit-learn estimator.

    X and y are noisy and clean images of the same shape, on any scale: `(N, H, W)`, `(N, H, W, C)`
    or flat rows `(N, H·W)`; or lists of images `(H, W)` or `(H, W, C)` that may differ in size. `fit(X)` learns from
    noisy images alone, as `smidgen train --noisy` does. What is None is set by the recipe of `smidgen train`.

    Args:
        budget: most learned numbers.
        network: "pyramid", the widest that fits, or "plain", the classic autoencoder.
        output: "sigmoid", or "residual" for the noisy image less what the network finds in it: X and y in the same
            units; None chooses by the clean images.
        epochs, batch_size, learning_rate, optimizer, loss, patience, keep, crop, flips: of the training, as those of
            `smidgen train`; `keep` says whose weights stay, those of the "best" epoch on validation or of the "last".
        corruption: to learn from clean images alone, `fit(clean)`: how they are spoiled, afresh each epoch; see
            `smidgen.open_pairs`.
        validation: the share of the pairs that chooses the epoch, or `(X, y)` that do; beside a corruption clean
            images, and for noisy ones alone noisy ones.
        image_shape: `(H, W)` or `(H, W, C)` of flat rows, -1 for one length to be worked out;
            None takes them for square.
        random_state: of weights, order and the validation share.
        n_jobs: cores to train on; None is 1, -1 all.

    Attributes:
        model_: the content of the model file.
        history_: one record an epoch.
        n_iter_: epochs trained.
        n_features_in_: numbers an image has, where all have as many.
    """

    model_: bytes
    history_: list[dict[str, float]]
    n_iter_: int
    n_features_in_: int

    def __init__(
        self,
        budget: int = DEFAULT_BUDGET,
        *,
        network: str = "pyramid",
        output: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        optimizer: str | None = None,
        loss: str | None = None,
        patience: int | None = None,
        keep: str | None = None,
        crop: int | None = None,
        flips: bool | None = None,
        corruption: Wish | list[Wish] | None = None,
        validation: float | tuple[ArrayLike, ArrayLike] | ArrayLike = VAL_SHARE,
        image_shape: tuple[int, ...] | None = None,
        random_state: Any = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.budget = budget
        self.network = network
        self.output = output
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.loss = loss
        self.patience = patience
        self.keep = keep
        self.crop = crop
        self.flips = flips
        self.corruption = corruption
        self.validation = validation
        self.image_shape = image_shape
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_raise_value_errors
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: N803 (scikit-learn's names)
        """Train on noisy images `X` and clean images `y`, on noisy `X` alone, or on clean `X` and a `corruption`.

        Ctrl-C keeps the best model so far and goes on its way.

        Raises:
            ValueError: X and y do not make pairs, or no network fits the budget.
        """
        # Scikit-learn's own checks first, for the words its users know.
        alone = y is None and self.corruption is None
        noisy = _check(X, "X", ensure_min_samples=1 if alone else 2)
        if y is not None and self.corruption is not None:
            raise InputError("y is passed beside a corruption", expected="clean images alone and a corruption")
        clean = noisy if y is None else _check(y, "y")
        seed = int(check_random_state(self.random_state).randint(2**31))
        dataset = self._split(noisy, None if alone else clean, seed)
        for warning in dataset.warnings:
            warnings.warn(warning, stacklevel=2)
        spec = choose_spec(self.network, self.budget, dataset.channels, output=dataset.output)
        experiment = Experiment.plan(
            dataset, spec, self.budget,
            epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate,
            optimizer=self.optimizer, loss=self.loss, patience=self.patience, keep=self.keep,
            crop=self.crop, flips=self.flips, seed=seed, threads=_cores(self.n_jobs),
        )  # fmt: skip
        trained = train(dataset, spec, experiment.recipe)
        info = ModelInfo.of(experiment, best_epoch=trained.best_epoch, ending=trained.ending)
        self.model_ = pack_model(info, trained.weights)
        self.history_ = trained.history
        self.n_iter_ = len(trained.history)
        if isinstance(noisy, np.ndarray):
            self.n_features_in_ = int(noisy[0].size)
        self._answer_axes = clean[0].ndim
        if trained.ending == "interrupted":
            raise KeyboardInterrupt
        return self

    @_raise_value_errors
    def predict(self, X: ArrayLike) -> NDArray[np.float32] | list[NDArray[np.float32]]:  # noqa: N803
        """Denoised images for noisy ones, in y's units and in the form y had: flat rows, or with a channel axis or not.

        A list for images of several sizes.

        Raises:
            ValueError: the images are not of the kind that was learned from.
        """
        return self._denoise(self._open(), X)

    def _open(self) -> Runtime:
        check_is_fitted(self, "model_")
        return Runtime(self.model_, _cores(self.n_jobs))

    def _denoise(self, model: Runtime, given: ArrayLike) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        noisy = _check(given, "X")
        if not isinstance(noisy, np.ndarray):
            images = self._pairs(noisy, noisy).noisy
            return [self._as_answer(model.denoise_values(read_whole(image)[None]))[0] for image in images]
        expected = getattr(self, "n_features_in_", None)  # of images of several sizes there is no such number
        if noisy.ndim == 2 and expected is None:
            raise PairsError(f"X has shape {noisy.shape}", expected="images: a list of them, or (N, H, W)")
        if noisy.ndim == 2 and noisy.shape[1] != expected:
            raise PairsError(
                f"X has {noisy.shape[1]} features, but {type(self).__name__} is expecting {expected} features as input"
            )
        return self._as_answer(model.denoise_values(np.asarray(self._pairs(noisy, noisy).noisy)))

    def _as_answer(self, denoised: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(N, H, W, C)` in the form that y had."""
        if self._answer_axes == 1:
            return denoised.reshape(len(denoised), -1)
        return denoised[..., 0] if self._answer_axes == 2 else denoised

    @_raise_value_errors
    def score(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Mean peak signal-to-noise ratio of the denoised images, in dB, for y's full range; more is better.

        Without `y`, of a model that learned so: that of the mean error as it is estimated from the noise.
        """
        model = self._open()
        weights = None if sample_weight is None else np.asarray(sample_weight)
        if y is None:
            return self._estimate(model, X, weights)
        denoised, clean = self._denoise(model, X), _check(y, "y")
        if isinstance(denoised, np.ndarray) and isinstance(clean, np.ndarray):
            denoised = denoised.reshape(clean.shape)
        pairs = self._pairs(denoised, clean)
        scale = model.info.scales.clean
        errors = mse(ScaledImages(pairs.noisy, scale), ScaledImages(pairs.clean, scale))
        return float(np.average(psnr_of(errors), weights=weights))

    def _estimate(self, model: Runtime, given: ArrayLike, weights: NDArray[Any] | None) -> float:
        """The score without clean images."""
        known = model.info.origin.without_clean
        if known is None:
            raise InputError("y is None", expected="clean images, of which this model learned")
        noisy = ScaledImages(self._images(_check(given, "X"), SHOTS).noisy, model.info.scales.noisy)
        judged = judge_without_truth(model, Pairs(noisy, noisy), known, name="X", split="all")
        estimate = judged.evaluation.estimate
        least = 0.0 if estimate is None else _LEAST_ERROR * estimate.noise_mse
        return float(psnr_of(np.maximum(np.average(judged.errors, weights=weights), least)))

    def save(self, path: str | Path) -> None:
        """Write the model file, which every other part of Smidgen takes."""
        check_is_fitted(self, "model_")
        write_whole(Path(path), self.model_)

    def _pairs(self, noisy: _Given, clean: _Given) -> RawPairs:
        return make_raw_pairs(self._shaped(noisy), self._shaped(clean), None, type(self).__name__)

    def _images(self, images: _Given, what: str) -> RawPairs:
        return make_raw_images(self._shaped(images), None, type(self).__name__, what=what)

    def _shaped(self, images: _Given) -> _Given:
        """Flat rows in the shape that was told."""
        if self.image_shape is None or not isinstance(images, np.ndarray) or images.ndim != 2:
            return images
        return images.reshape(len(images), *self.image_shape)

    def _split(self, noisy: _Given, clean: _Given | None, seed: int) -> Dataset:
        """A validation part as asked for; no test part, since whoever calls has their own."""
        kind = SHOTS if clean is None else CLEAN if self.corruption is not None else None
        settings: dict[str, Any] = {"test_share": 0.0, "seed": seed}
        if isinstance(self.validation, float) and 0 < self.validation < 1:
            settings["val_share"] = self.validation
        else:
            settings["val"] = self._validation(kind)
        settings["output"] = asked_output(self.output, self.network, self.loss)
        if clean is None:
            return split_noisy(self._images(noisy, SHOTS), **settings)
        if self.corruption is not None:
            return split_clean(self._images(clean, CLEAN), make_corruption(self.corruption), **settings)
        return split_pairs(self._pairs(noisy, clean), **settings)

    def _validation(self, kind: str | None) -> RawPairs:
        """The images that were given to validate on: pairs, or of one kind alone."""
        given = self.validation
        if kind and not isinstance(given, float | int):
            return self._images(_check(given, "validation"), kind)
        if kind is None and isinstance(given, tuple | list) and len(given) == 2:
            return self._pairs(_check(given[0], "X of validation"), _check(given[1], "y of validation"))
        found = given if isinstance(given, float | int) else type(given).__name__
        wanted = {None: "(X, y)", CLEAN: "clean images", SHOTS: "noisy images"}[kind]
        raise InputError(f"validation is {found}", expected=f"a share between 0 and 1, or {wanted}")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = False
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        return tags


def _check(images: Any, name: str, **more: Any) -> _Given:
    """An array as scikit-learn checks it, or a list of images of several sizes."""
    if isinstance(images, np.ndarray) and images.dtype == object and images.ndim == 1:
        images = list(images)
    if isinstance(images, list | tuple) and len({np.shape(image) for image in images}) > 1:
        return [np.asarray(image) for image in images]
    return np.asarray(check_array(images, dtype="numeric", allow_nd=True, input_name=name, **more))


def _cores(n_jobs: int | None) -> int:
    """Scikit-learn's way of counting: None is 1, -1 all, -2 all but one; inside its own processes 1."""
    return int(joblib.effective_n_jobs(n_jobs))
