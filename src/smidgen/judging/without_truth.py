"""What can be known of denoised images where nobody has clean ones: how far they are off, and what was lost.

Two shots y1 and y2 of one scene x err independently, so the mean of ((d1 − y2)² + (d2 − y1)² − (y1 − y2)²) / 2 is that
of the true squared errors of d1 and d2, however noisy either shot is. Of a single shot Stein's estimate does the same,
(y − d)² − σ² + 2σ²·∂d/∂y, its derivative taken along one draw of noise (Ramani et al. 2008, "Monte-Carlo SURE"); that
stands and falls with the noise's variance, which is itself an estimate, and so has a wide interval.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Image, Images, map_images
from smidgen.data.noise import VARIANCE_OFF, Noise, strengths, unclipped
from smidgen.data.origin import TWO_SHOTS, WithoutClean
from smidgen.data.pairs import Pairs
from smidgen.judging.evaluate import Evaluation, Judgement, Watch
from smidgen.model.records import Estimate
from smidgen.model.runtime import Runtime

_Z = 1.96
_STEP = 0.05  # of the noise, along which the derivative is taken
_BLOCK = 8  # pixels
# What is left of scenes in what was taken away: blocks' means scatter so much more than noise would have them.
_STRUCTURED = 1.5


def judge_without_truth(
    runtime: Runtime,
    pairs: Pairs,
    known: WithoutClean,
    *,
    name: str,
    split: str,
    watch: Watch = lambda name, done: None,
) -> Judgement:
    """Judge a model on noisy images alone, or on two shots of each scene.

    Args:
        runtime: the model, run as users run it.
        pairs: noisy images, and as "clean" ones their second shots, or the same.
        known: what of these is there, and their noise.
        name, split: what to call them.
        watch: told how much of it is done.

    Raises:
        PairsError: the model does not take images of this kind.
    """
    errors: list[float] = []
    uncertain: list[float] = []
    noises: list[float] = []
    structure: list[float] = []
    whiteness: list[float] = []
    two = known.method == TWO_SHOTS
    for place in range(len(pairs)):
        watch("the model", place / len(pairs))
        noisy, second = pairs.noisy[place], pairs.clean[place]
        denoised = runtime.denoise(noisy[None])[0]
        if two:
            again = runtime.denoise(second[None])[0]
            values, variance = _two_shots(noisy, second, denoised, again)
        else:
            values, variance = stein(noisy, denoised, known.noise, runtime.denoise, place)
        errors.append(float(values.mean()))
        uncertain.append(float(values.var()) / values.size)
        noises.append(variance)
        residual = noisy.astype(np.float64) - denoised
        structure.append(_structure(residual, variance, known.noise))
        whiteness.append(_neighbours(residual))
    watch("the model", 1.0)
    mse = float(np.mean(errors))
    sampling = _Z * math.sqrt(sum(uncertain)) / len(errors)
    noise_mse = float(np.mean(noises))
    off = sampling if two else math.hypot(sampling, VARIANCE_OFF * noise_mse)
    estimate = Estimate(
        by=known.method,
        mse=mse,
        low=max(0.0, mse - off),
        high=mse + off,
        noise_mse=noise_mse,
        whiteness=_mean_of_known(whiteness),
        structure=_mean_of_known(structure),
        structured=sum(ratio > _STRUCTURED for ratio in structure),
    )
    evaluation = Evaluation(
        model=runtime.name,
        num_parameters=runtime.info.spec.num_parameters,
        budget=runtime.info.budget,
        pairs=name,
        split=split,
        n=len(pairs),
        estimate=estimate,
        no_legibility="there are no clean images",
    )
    denoised_all = map_images(runtime.denoise, pairs.noisy)
    return Judgement(evaluation=evaluation, denoised=denoised_all, errors=np.array(errors), truth=None, reading=None)


def complaints(estimate: Estimate, n: int, noise: Noise) -> list[str]:
    """What a user should look at."""
    said = []
    if estimate.structured:
        some = "all images" if estimate.structured == n else f"{estimate.structured:,} of {n:,} images"
        said.append(
            f"structure stands in what was taken away from {some}: its coarse part is stronger than that of noise; "
            "look at the residuals in the report"
        )
    if estimate.whiteness is not None and not noise.correlation and estimate.whiteness > 0.2:
        said.append(
            f"neighbours in what was taken away are alike ({estimate.whiteness:.2f}), as white noise's are not: either "
            "the noise is correlated or the images lost something"
        )
    return said


def _mean_of_known(values: list[float]) -> float | None:
    """Without those that are NaN; None where all are."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else None


def _two_shots(first: Image, second: Image, denoised: Image, again: Image) -> tuple[NDArray[np.float64], float]:
    """The squared error at each pixel, right in the mean, and the variance of a shot's noise."""
    y1, y2, d1, d2 = (image.astype(np.float64) for image in (first, second, denoised, again))
    between = np.square(y1 - y2)
    return np.asarray((np.square(d1 - y2) + np.square(d2 - y1) - between) / 2), float(between.mean() / 2)


def stein(
    noisy: Image, denoised: Image, noise: Noise, denoise: Callable[[Images], Images], seed: int
) -> tuple[NDArray[np.float64], float]:
    """Stein's estimate of the squared error at each pixel of one shot that was not clipped, and its noise's variance.

    Args:
        noisy, denoised: the shot and what `denoise` made of it.
        noise: what all shots have in common.
        denoise: several images of one size.
        seed: of the draw of noise along which the derivative is taken.
    """
    factor = float(strengths(noisy[None], noise)[0])
    drawn = noise.draw(noisy[None], np.random.default_rng(seed))[0] * np.float32(math.sqrt(factor))
    moved = denoise((noisy + np.float32(_STEP) * drawn)[None])[0]
    variance = float(noise.variance(noisy).mean()) * factor
    kept = unclipped(noisy)
    change = drawn.astype(np.float64) * (moved.astype(np.float64) - denoised) / _STEP
    values = np.square(noisy.astype(np.float64) - denoised) - noise.variance(noisy) * factor + 2 * change
    return np.asarray(values[kept]), variance


def _structure(residual: NDArray[np.float64], variance: float, noise: Noise) -> float:
    """How much more the means of blocks scatter than those of noise would; NaN of an image too small to tell."""
    height, width = (side // _BLOCK for side in residual.shape[:2])
    if height * width < 4:
        return math.nan
    cut = residual[: height * _BLOCK, : width * _BLOCK].reshape(height, _BLOCK, width, _BLOCK, -1)
    alike = sum(noise.correlation) if noise.correlation else 1.0
    return float(np.square(cut.mean((1, 3))).mean() * _BLOCK**2 / (variance * max(alike, 0.1)))


def _neighbours(residual: NDArray[np.float64]) -> float:
    """The stronger of the correlations with the next pixel across and down; NaN where there is none."""
    centred = residual - residual.mean()
    power = float(np.square(centred).mean())
    if power == 0 or min(residual.shape[:2]) < 2:
        return math.nan
    across, down = (centred[:, 1:] * centred[:, :-1]).mean(), (centred[1:] * centred[:-1]).mean()
    return float(max(across, down)) / power
