"""Learning without clean images, on photographs of BSD in noise: what is reached, scored with clean images afterwards.

    python benchmarks/without_clean.py --data DIR [--part NAME] [--minutes N] [--threads N]

Parts:
    noisy      Train400, one noisy shot each at σ = 25/255, learned from for so many core-minutes: PSNR on BSD68, and
               the estimates of its error without truth, of two shots and of single ones, beside the true one
    two        the same from two shots of each, beside the same training with clean targets
    one        each picture of Set12 alone, σ = 25/255 and sensor noise: learned anew, and from `photographs`
    correlated of BSD68, how many are said to have correlated noise, where it is shared by two pixels and is white
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np

from smidgen.data.checks import make_raw_images
from smidgen.data.collection import ScaledImages
from smidgen.data.corruptions import poisson_gaussian
from smidgen.data.noise import estimate_noise
from smidgen.data.open import open_noisy
from smidgen.data.origin import RECORRUPTED, TWO_SHOTS, WithoutClean
from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.data.photographs import add_field_noise, load_photographs
from smidgen.data.scale import UNIT
from smidgen.judging.scores import psnr
from smidgen.judging.without_truth import judge_without_truth
from smidgen.model.file import write_model
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.network.spec import choose_spec
from smidgen.training.experiment import Experiment
from smidgen.training.train import train

SIGMA = 25 / 255
_PIXELS_A_SECOND = 1.6e6  # of one core, about


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", choices=("noisy", "two", "one", "correlated"), action="append")
    parser.add_argument("--minutes", type=float, default=10.0, help="of one core, for each training on Train400")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kind", choices=("gaussian", "sensor"), action="append", help="of noise, in one")
    parser.add_argument("--first", type=int, default=1, help="picture of Set12 that one begins with")
    parser.add_argument("--adjusted", action="store_true", help="in one, learn nothing anew, which takes longest")
    asked = parser.parse_args()
    for part in asked.part or ("correlated", "one", "noisy", "two"):
        globals()[f"_{part}"](asked)


def _pictures(name: str, data: Path) -> list[np.ndarray]:
    return [np.float32(image) / 255 for image in load_photographs(name, data).clean]


def _learn(dataset: Dataset, asked: argparse.Namespace, place: Path) -> Runtime:
    """A model of 3,600 numbers, after so many core-minutes."""
    spec = choose_spec("pyramid", 3600, 1, 1, "residual")
    pixels = int(dataset.train.shapes[:, :2].prod(1).sum())
    epochs = max(1, round(asked.minutes * 60 * _PIXELS_A_SECOND / pixels))
    experiment = Experiment.plan(
        dataset, spec, 3600, epochs=epochs, learning_rate=1e-2, flips=True, threads=asked.threads
    )
    started = time.process_time()
    trained = train(dataset, spec, experiment.recipe)
    print(f"  {epochs} epochs, {(time.process_time() - started) / 60:.1f} core-minutes, best {trained.best_epoch}")
    write_model(place, ModelInfo.of(experiment), trained.weights)
    return Runtime(place, asked.threads)


def _psnr(denoised: np.ndarray, clean: np.ndarray) -> float:
    return float(psnr(np.clip(denoised, 0, 1)[None], clean[None])[0])


def _run(runtime: Runtime, noisy: np.ndarray) -> np.ndarray:
    """Denoised values for one noisy image `(H, W, 1)`, on its own units."""
    scale = runtime.info.scales.noisy
    return scale.restore(runtime.denoise(scale.normalise(noisy[None])))[0]


def _score(runtime: Runtime, asked: argparse.Namespace) -> None:
    for name in ("bsd68", "set12"):
        pictures = _pictures(name, asked.data)
        found = [_psnr(_run(runtime, add_field_noise(x, i, SIGMA)), x) for i, x in enumerate(pictures)]
        print(f"  {name}: {np.mean(found):.3f} dB", flush=True)


def _noisy(asked: argparse.Namespace) -> None:
    print("noisy Train400 alone")
    noisy = [add_field_noise(x, 5000 + i, SIGMA) for i, x in enumerate(_pictures("train400", asked.data))]
    with tempfile.TemporaryDirectory() as folder:
        runtime = _learn(open_noisy(np.stack(noisy)), asked, Path(folder) / "noisy.onnx")
        _score(runtime, asked)
        _estimate(runtime, asked)


def _estimate(runtime: Runtime, asked: argparse.Namespace) -> None:
    """The errors that are estimated without truth on BSD68, beside the true ones, on [0, 1] of the pictures."""
    scale = runtime.info.scales.noisy
    unit = (scale.high - scale.low) ** 2
    pictures = _pictures("bsd68", asked.data)
    shots = [[add_field_noise(x, 1000 * shot + i, SIGMA) for i, x in enumerate(pictures)] for shot in (0, 1)]
    true = np.mean([np.square(_run(runtime, y) - x).mean() for y, x in zip(shots[0], pictures, strict=True)])
    print(f"  true MSE on BSD68 {true:.6f}")
    first, second = (ScaledImages(images, scale) for images in shots)
    noise = estimate_noise(first)
    print(f"  standard deviation of the noise found {math.sqrt(noise.variance(np.array([0.5]))[0] * unit) * 255:.2f}")
    for method, pairs in ((TWO_SHOTS, Pairs(first, second)), (RECORRUPTED, Pairs(first, first))):
        known = WithoutClean(method=method, noise=noise)
        found = judge_without_truth(runtime, pairs, known, name="bsd68", split="all").evaluation.estimate
        assert found is not None
        low, high = found.low * unit, found.high * unit
        print(f"  {method}: {found.mse * unit:.6f} ({low:.6f} to {high:.6f}), {found.mse * unit / true - 1:+.1%}")
        print(f"    structure {found.structure:.2f}, in {found.structured} images; whiteness {found.whiteness:+.3f}")


def _two(asked: argparse.Namespace) -> None:
    clean = _pictures("train400", asked.data)
    shots = [np.stack([add_field_noise(x, at + i, SIGMA) for i, x in enumerate(clean)]) for at in (5000, 9000)]
    with tempfile.TemporaryDirectory() as folder:
        print("two noisy shots")
        dataset = open_noisy(*shots)
        _score(_learn(dataset, asked, Path(folder) / "two.onnx"), asked)
        print("the same with clean targets")
        scale = dataset.scales.noisy
        pairs = Pairs(ScaledImages(shots[0], scale), ScaledImages(np.stack(clean), scale))
        index = np.random.default_rng(0).permutation(len(clean))
        parts = [pairs.pick(np.sort(places)) for places in np.split(index, [40, 80])]
        with_clean = Dataset("clean", FixedSource(parts[2]), parts[1], parts[0], dataset.scales, output="residual")
        _score(_learn(with_clean, asked, Path(folder) / "clean.onnx"), asked)


def _one(asked: argparse.Namespace) -> None:
    from smidgen.model.zoo import find_model
    from smidgen.runs.alone import learn_alone, open_alone

    file = find_model("photographs")
    shipped = Runtime(file, asked.threads)
    pictures = _pictures("set12", asked.data)
    for kind in asked.kind or ("gaussian", "sensor"):
        found: dict[str, list[float]] = {"photographs": [], "adjusted": [], "alone": []}
        for i, x in enumerate(pictures):
            if i + 1 < asked.first:
                continue
            if kind == "gaussian":
                y = add_field_noise(x, i, SIGMA)
            else:
                y = poisson_gaussian(x[None], 0.2, np.random.default_rng(i))[0]
            found["photographs"].append(_psnr(shipped.denoise(y[None])[0], x))
            spent = []
            for name, start in (("adjusted", file), ("alone", None)):
                if name == "alone" and asked.adjusted:
                    continue
                before = time.process_time()
                images = open_alone(make_raw_images(y[None], None, "one"), file, UNIT)
                learned = learn_alone(images, start=start, threads=asked.threads)
                found[name].append(_psnr(_run(Runtime(learned or file, asked.threads), y), x))
                spent.append(f"{time.process_time() - before:.0f}" + " and kept as it was" * (learned is None))
            line = ", ".join(f"{name} {values[-1]:.2f}" for name, values in found.items() if values)
            print(f"  {kind} {i + 1:2}: {line}; core-seconds {', '.join(spent)}", flush=True)
        means = ", ".join(f"{name} {np.mean(values):.3f} dB" for name, values in found.items() if values)
        gains = np.subtract(found["adjusted"], found["photographs"])
        print(f"{kind}: {means}; adjusted {gains.mean():+.3f} ({gains.min():+.2f} to {gains.max():+.2f})", flush=True)


def _correlated(asked: argparse.Namespace) -> None:
    print("correlated noise")
    pictures = _pictures("bsd68", asked.data)
    for sigma in (3 / 255, 5 / 255, 10 / 255, 25 / 255, 50 / 255, 100 / 255):
        counts = {"white": 0, "shared by 2 across": 0, "shared by 2 x 2": 0}
        for i, x in enumerate(pictures):
            n = np.random.default_rng(i).standard_normal((x.shape[0] + 1, x.shape[1] + 1, 1))
            kinds = (
                n[1:, 1:],
                (n[1:, 1:] + n[1:, :-1]) / math.sqrt(2),
                (n[1:, 1:] + n[1:, :-1] + n[:-1, 1:] + n[:-1, :-1]) / 2,
            )
            for name, drawn in zip(counts, kinds, strict=True):
                counts[name] += bool(estimate_noise((x + sigma * drawn).astype(np.float32)[None]).correlation)
        said = ", ".join(f"{name} {count} of {len(pictures)}" for name, count in counts.items())
        print(f"  σ = {sigma * 255:.0f}/255: {said}")


if __name__ == "__main__":
    main()
