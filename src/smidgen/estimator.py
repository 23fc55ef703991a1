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

from smidgen.data.checks import make_raw_pairs
from smidgen.data.collection import ScaledImages
from smidgen.data.pairs import Dataset
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.split import VAL_SHARE, split_pairs
from smidgen.errors import InputError, PairsError
from smidgen.files import write_whole
from smidgen.model.file import pack_model
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.network.spec import DEFAULT_BUDGET, OUTPUTS, choose_spec, needs_one_scale
from smidgen.training.experiment import Experiment
from smidgen.training.losses import mse
from smidgen.training.train import train

_LEAST_ERROR = 1e-10
_Result = TypeVar("_Result")


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
    or flat rows `(N, H·W)`. What is None is set by the recipe of `smidgen train`.

    Args:
        budget: most learned numbers.
        network: "pyramid", the widest that fits, or "plain", the classic autoencoder.
        output: "sigmoid", or "residual" for the noisy image less what the network finds in it: X and y in the same
            units.
        epochs, batch_size, learning_rate, optimizer, loss, patience: of the training.
        validation: the share of the pairs that chooses the epoch, or `(X, y)` that do.
        image_shape: `(H, W)` or `(H, W, C)` of flat rows, -1 for one length to be worked out;
            None takes them for square.
        random_state: of weights, order and the validation share.
        n_jobs: cores to train on, part of the result; None is 1, -1 all.

    Attributes:
        model_: the content of the model file.
        history_: one record an epoch.
        n_iter_: epochs trained.
        n_features_in_: numbers an image has.
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
        output: str = OUTPUTS[0],
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        optimizer: str | None = None,
        loss: str | None = None,
        patience: int | None = None,
        validation: float | tuple[ArrayLike, ArrayLike] = VAL_SHARE,
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
        self.validation = validation
        self.image_shape = image_shape
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_raise_value_errors
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 (scikit-learn's names)
        """Train on noisy images `X` and clean images `y`; Ctrl-C keeps the best model so far and goes on its way.

        Raises:
            ValueError: X and y do not make pairs, or no network fits the budget.
        """
        # Scikit-learn's own checks first, for the words its users know.
        noisy = check_array(X, dtype="numeric", allow_nd=True, ensure_min_samples=2, input_name="X")
        clean = check_array(y, dtype="numeric", allow_nd=True, input_name="y")
        seed = int(check_random_state(self.random_state).randint(2**31))
        dataset = self._split(self._pairs(noisy, clean), seed)
        for warning in dataset.warnings:
            warnings.warn(warning, stacklevel=2)
        spec = choose_spec(self.network, self.budget, dataset.channels, output=self.output)
        experiment = Experiment.plan(
            dataset, spec, self.budget,
            epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate,
            optimizer=self.optimizer, loss=self.loss, patience=self.patience, seed=seed,
            threads=_cores(self.n_jobs),
        )  # fmt: skip
        trained = train(dataset, spec, experiment.recipe)
        info = ModelInfo.of(experiment, best_epoch=trained.best_epoch, ending=trained.ending)
        self.model_ = pack_model(info, trained.weights)
        self.history_ = trained.history
        self.n_iter_ = len(trained.history)
        self.n_features_in_ = int(noisy[0].size)
        self._answer_shape = clean.shape[1:]
        if trained.ending == "interrupted":
            raise KeyboardInterrupt
        return self

    @_raise_value_errors
    def predict(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Denoised images for noisy ones, in y's units and in the form y had: flat rows, or with a channel axis or not.

        Raises:
            ValueError: the images are not of the kind that was learned from.
        """
        return self._denoise(self._open(), X)

    def _open(self) -> Runtime:
        check_is_fitted(self, "model_")
        return Runtime(self.model_, _cores(self.n_jobs))

    def _denoise(self, model: Runtime, images: ArrayLike) -> NDArray[np.float32]:
        noisy = check_array(images, dtype="numeric", allow_nd=True, input_name="X")
        if noisy.ndim == 2 and noisy.shape[1] != self.n_features_in_:
            raise PairsError(
                f"X has {noisy.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        denoised = model.denoise_values(np.asarray(self._pairs(noisy, noisy).noisy))
        if len(self._answer_shape) == 1:
            return denoised.reshape(len(denoised), -1)
        return denoised[..., 0] if len(self._answer_shape) == 2 else denoised

    @_raise_value_errors
    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:  # noqa: N803
        """Mean peak signal-to-noise ratio of the denoised images, in dB, for y's full range; more is better."""
        model = self._open()
        denoised = self._denoise(model, X)
        pairs = self._pairs(denoised.reshape(np.shape(y)), np.asarray(y))
        scale = model.info.scales.clean
        errors = mse(ScaledImages(pairs.noisy, scale), ScaledImages(pairs.clean, scale))
        ratios = -10 * np.log10(np.maximum(errors, _LEAST_ERROR))
        return float(np.average(ratios, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def save(self, path: str | Path) -> None:
        """Write the model file, which every other part of Smidgen takes."""
        check_is_fitted(self, "model_")
        write_whole(Path(path), self.model_)

    def _pairs(self, noisy: NDArray[Any], clean: NDArray[Any]) -> RawPairs:
        if self.image_shape is not None:
            noisy, clean = (
                images.reshape(len(images), *self.image_shape) if images.ndim == 2 else images
                for images in (noisy, clean)
            )
        return make_raw_pairs(noisy, clean, None, type(self).__name__)

    def _split(self, raw: RawPairs, seed: int) -> Dataset:
        """A validation part as asked for; no test part, since whoever calls has their own."""
        settings: dict[str, Any] = {"test_share": 0.0, "seed": seed, "one_scale": needs_one_scale(self.output)}
        if isinstance(self.validation, float) and 0 < self.validation < 1:
            return split_pairs(raw, val_share=self.validation, **settings)
        if isinstance(self.validation, tuple | list) and len(self.validation) == 2:
            val = self._pairs(*(np.asarray(part) for part in self.validation))
            return split_pairs(raw, val=val, **settings)
        found = self.validation if isinstance(self.validation, float | int) else type(self.validation).__name__
        raise InputError(f"validation is {found}", expected="a share between 0 and 1, or (X, y)")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        return tags


def _cores(n_jobs: int | None) -> int:
    """Scikit-learn's way of counting: None is 1, -1 all, -2 all but one; inside its own processes 1."""
    return int(joblib.effective_n_jobs(n_jobs))
