"""Learn, judge and ship image denoisers that fit a parameter budget.

    import smidgen

    model = smidgen.load("digits-on-garments")     # a name that ships, a model file, or a run folder
    clean = model.denoise(noisy)                   # (..., H, W), or channel_axis=-1

Everything public stands here; nothing is imported before it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike

    from smidgen.data.corruptions import Wish
    from smidgen.data.pairs import Dataset
    from smidgen.estimator import Denoiser as Denoiser
    from smidgen.export.torch import TorchNetwork
    from smidgen.judging.evaluate import Evaluation
    from smidgen.judging.legibility import Reader
    from smidgen.judging.readers import ReadOne
    from smidgen.model.model import Model as Model

__version__ = "0.1.0"
__all__ = ["Denoiser", "Model", "evaluate", "learn", "load", "load_torch", "open_pairs", "train"]


def load(model: "str | Path") -> "Model":
    """Open a trained denoiser.

    Args:
        model: a model file, a run folder, or the name of one that ships.

    Raises:
        FileError: it is none of these, or damaged.
    """
    from smidgen.model.model import load

    return load(model)


def open_pairs(
    pairs: "str | Path | None" = None,
    *,
    clean: "str | Path | ArrayLike | None" = None,
    noisy: "str | Path | ArrayLike | None" = None,
    second: "str | Path | ArrayLike | None" = None,
    corruption: "Wish | list[Wish] | None" = None,
    group: str | None = None,
    apart: bool = False,
    data: "Path | None" = None,
    output: str | None = None,
) -> "Dataset":
    """Noisy and clean images, split for training, validation and test, from a file, a folder or a task's name.

    Args:
        pairs: a pickle or .npz of X and y, a folder with `noisy/` and `clean/`, or the name of a task.
        clean: instead of `pairs`, clean images alone: a file, a folder, or an array `(N, H, W)` or `(N, H, W, C)`.
        noisy: instead of `pairs`, noisy images alone, in the same forms.
        second: beside these, a second noisy shot of each scene.
        corruption: of clean ones, anew each epoch: a kind ("gaussian-noise"), with a strength ("gaussian-noise",
            0.1) or a range from which each image draws ("gaussian-noise", 0, 0.2); a function of clean images
            `(N, H, W, C)`, float32 in [0, 1], and a numpy generator, that gives noisy ones; or a list of these, for
            one after the other.
        group: a regular expression; images in whose names it finds the same (its first group, or all that matches) stay
            together in training, validation or test.
        apart: take each channel of a colour image as a grey image of its own.
        data: the folder with the original data sets, for a task.
        output: of the network that will learn from them: "sigmoid", or "residual" for the noisy image less what the
            network finds in it, for which X is taken on y's scale; None chooses by the clean images.

    Raises:
        InputError: they cannot be read, or do not make pairs.
    """
    from pathlib import Path

    from smidgen.data.open import open_clean, open_dataset, open_noisy
    from smidgen.errors import InputError

    if noisy is not None and pairs is None and clean is None and corruption is None:
        noisy = Path(noisy) if isinstance(noisy, str) else noisy
        second = Path(second) if isinstance(second, str) else second
        return open_noisy(noisy, second, group=group, apart=apart, output=output)
    if noisy is not None or second is not None:
        raise InputError(
            "noisy images or second shots are given beside pairs, clean images or a corruption, or second ones alone",
            expected="noisy images alone, or with a second shot of each",
        )
    if clean is None and corruption is None:
        return open_dataset(None if pairs is None else str(pairs), group=group, apart=apart, data=data, output=output)
    if pairs is not None:
        raise InputError("pairs are given beside clean images or a corruption", expected="one or the other")
    if clean is None or corruption is None:
        raise InputError("only one of clean and corruption is given", expected="both")
    return open_clean(
        Path(clean) if isinstance(clean, str) else clean, corruption, group=group, apart=apart, output=output
    )


def train(
    pairs: "Dataset",
    out: "str | Path",
    *,
    budget: int = 3600,
    network: str = "pyramid",
    passes: int = 1,
    resume: bool = False,
    **recipe: Any,
) -> "Model":
    """Train a denoiser, judge it beside the baselines on validation, and leave its run folder.

    Args:
        pairs: what to learn from; see `open_pairs`.
        out: the run folder: model, report, figures and checkpoint.
        budget: most learned numbers.
        network: "pyramid", or "plain" for the classic autoencoder.
        passes: over the pyramid.
        resume: go on from the folder's checkpoint.
        recipe: `epochs`, `batch_size`, `learning_rate`, `optimizer`, `loss`, `patience`, `keep`, `crop`, `flips`,
            `seed`, `threads`, in place of the usual recipe's.

    Raises:
        InputError: a setting makes no sense, or nothing fits the budget.
        FileError: the folder cannot be written to, or holds another training.
    """
    from pathlib import Path

    from smidgen.network.spec import choose_spec
    from smidgen.runs.run import make_run
    from smidgen.training.experiment import Experiment

    spec = choose_spec(network, budget, pairs.channels, passes, pairs.output)
    experiment = Experiment.plan(pairs, spec, budget, command="smidgen.train", **recipe)
    return load(make_run(experiment, folder=Path(out), resume=resume).folder)


def learn(
    image: "ArrayLike", out: "str | Path | None" = None, *, channel_axis: int | None = None, threads: int = 0
) -> "Model":
    """Adjust the shipped `photographs` to a noisy image, or a few, so that it denoises just these better.

    Warns of what looks odd, such as correlated noise or none at all.

    Args:
        image: (..., H, W), any number of leading axes; whole numbers from 0 to the largest of their type, or floats
            that would be from 0 to 1 without noise.
        out: the file that the model is left in.
        channel_axis: where colours are, as in scikit-image.
        threads: processor cores to use; 0 is all.

    Returns:
        The model that errs least by the estimate of its error: the adjusted one, or the one that ships.

    Raises:
        InputError: it is no image, holds NaN or infinity, or values far from what their type says.
        FileError: the file cannot be written.
    """
    import warnings
    from pathlib import Path

    from smidgen.data.checks import SHOTS, make_raw_images
    from smidgen.engine.library import count_cores
    from smidgen.files import write_whole
    from smidgen.model.model import Model, check_floats, check_image, to_batch
    from smidgen.model.runtime import Runtime
    from smidgen.model.zoo import START, find_model
    from smidgen.runs.alone import learn_alone, leave_alone, open_alone

    values = check_image(image, channel_axis)
    check_floats(values)
    start = find_model(START)
    raw = make_raw_images(to_batch(values, grey=channel_axis is None), None, "noisy-images", what=SHOTS)
    images = open_alone(raw, start)
    for warning in images.dataset.warnings:
        warnings.warn(warning, stacklevel=2)
    learned = learn_alone(images, start=start, threads=threads or count_cores())
    content = learned or leave_alone(images, start)
    if out is not None:
        write_whole(Path(out), content)
    return Model(Runtime(content, threads))


def evaluate(
    model: "Model",
    pairs: "Dataset | str | Path",
    *,
    split: str | None = None,
    baselines: bool = True,
    reader: "Reader | ReadOne | str | None" = None,
    language: str = "eng",
) -> "Evaluation":
    """Score a model.

    Args:
        model: see `load`.
        pairs: see `open_pairs`; what is opened here is taken on the model's scales.
        split: "val", or "test" for figures that are published; None is "val", or all of pairs opened here that the
            model was not trained on.
        baselines: score the classical denoisers on the same images, which takes longer than the model.
        reader: who reads the images: "digits", "tesseract", a function of an image `(H, W, C)` in [0, 1] that gives its
            label or its text, or a `Reader`; None is Tesseract where the pairs have texts, else the digit reader.
        language: for Tesseract.

    Raises:
        PairsError: the model does not take images of this kind.
        InputError: there is no such reader, or it cannot read.
    """
    from smidgen.errors import InputError

    if split not in (None, "val", "test"):
        raise InputError(f"there is no part {split!r}", expected="'val' or 'test'")
    from smidgen.data.open import open_dataset
    from smidgen.data.pairs import Dataset
    from smidgen.judging.judge import judge

    info = model.info
    dataset = (
        pairs
        if isinstance(pairs, Dataset)
        else open_dataset(
            str(pairs),
            scales=info.scales,
            output=info.spec.output,
            apart=info.spec.channels == 1,
            trained_on=None if split else info.origin,
        )
    )
    part, scored = dataset.to_score(split)
    judged = judge(
        model.runtime, dataset, scored, split=part, with_baselines=baselines, reader=reader, language=language
    )
    return judged.evaluation


def load_torch(model: "str | Path") -> "TorchNetwork":
    """A model as a torch module, for further training.

    It takes images `(N, C, H, W)` in [0, 1], not on X's scale. Called, it gives what a loss needs: logits, or for a
    residual network what is left of the noisy image, not clipped; `module.denoise(noisy)` is in [0, 1] too. Its
    attributes `noisy_scale` and `clean_scale` convert arrays: X's values by `noisy_scale.normalise`, and denoised ones
    to y's by `clean_scale.restore`.

    Args:
        model: a model file, a run folder, or the name of one that ships.

    Raises:
        FileError: it is none of these, or damaged.
        MissingPartError: torch is not installed.
    """
    from smidgen.errors import MissingPartError
    from smidgen.model.zoo import find_model

    try:
        from smidgen.export.torch import load_torch
    except ModuleNotFoundError as error:
        raise MissingPartError(str(error.name), "Loading a model into torch", "torch") from None
    return load_torch(find_model(model))


def __getattr__(name: str) -> Any:
    """The classes, and `scaling`, imported when they are asked for; `Denoiser` needs scikit-learn."""
    if name == "scaling":
        import importlib

        return importlib.import_module("smidgen.scaling")
    if name == "Model":
        from smidgen.model.model import Model

        return Model
    if name != "Denoiser":
        raise AttributeError(f"module 'smidgen' has no attribute {name!r}")
    from smidgen.errors import MissingPartError

    try:
        from smidgen.estimator import Denoiser
    except ModuleNotFoundError as error:
        raise MissingPartError(str(error.name), "The scikit-learn estimator", "search") from None
    return Denoiser
