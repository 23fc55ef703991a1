"""What a model of one channel makes of colour pictures: channel by channel, or as luma and chroma.

    python benchmarks/colour_noise.py MODEL [--side 512]

The colour pictures that come with scikit-image, in Gaussian noise of 0 to 50 of 255, each channel's its own. Luma and
chroma are (1, 1, 1) / √3, (1, 0, -1) / √2 and (1, -2, 1) / √6, in which noise is as strong as in the channels; 0
becomes mid-grey. These planes leave [0, 1], where the model clips. Squeezed, luma is the mean of the channels, in
which noise is weaker by √3; chroma is clipped where colours are strong, unless it is squeezed, too. Prints PSNR in dB
over all channels, averaged over pictures, a line for each rule and strength.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np
import skimage.data
from numpy.typing import NDArray

from smidgen.data.collection import middle
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model

PICTURES = ("astronaut", "chelsea", "coffee", "rocket")
SIGMAS = (0, 5, 10, 25, 50)
# Rows: luma, and two differences of colour; orthonormal, so that white noise stays white and as strong.
OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32) / np.sqrt(np.array([[3], [2], [6]], np.float32))

Image = NDArray[np.float32]
Rule = Callable[[Runtime, Image], Image]


def apart(runtime: Runtime, noisy: Image) -> Image:
    """Each channel on its own, as `denoise` does it."""
    return runtime.denoise(np.moveaxis(noisy, 2, 0)[..., None])[..., 0].transpose(1, 2, 0)


def by_shares(luma: float, *chroma: float) -> Rule:
    """As luma and chroma, each with this share of its contrast, and of its noise."""
    shares = np.array([luma, *chroma], np.float32)

    def rule(runtime: Runtime, noisy: Image) -> Image:
        planes = ((noisy - 0.5) @ OPPONENT.T) * shares + 0.5
        return ((apart(runtime, planes) - 0.5) / shares) @ OPPONENT + 0.5

    return rule


RULES: dict[str, Rule] = {
    "channel by channel": apart,
    "luma and chroma": by_shares(1, 1, 1),
    "luma squeezed": by_shares(1 / np.sqrt(3), 1, 1),
    "both squeezed": by_shares(*3 * (1 / np.sqrt(3),)),
    "each just fits": by_shares(1 / np.sqrt(3), 1 / np.sqrt(2), np.sqrt(6) / 4),
}


def score(denoised: Image, clean: Image) -> float:
    return float(-10 * np.log10(np.square(np.clip(denoised, 0, 1).astype(np.float64) - clean).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--side", type=int, default=512, help="how much of each picture, around its middle")
    args = parser.parse_args()
    runtime = Runtime(find_model(args.model))
    pictures = []
    for name in PICTURES:
        picture = np.asarray(getattr(skimage.data, name)(), np.float32)[..., :3] / 255
        pictures.append(picture[middle(picture.shape, args.side)])
    for sigma in SIGMAS:
        for name, rule in RULES.items():
            scores = []
            for number, clean in enumerate(pictures):
                noise = np.random.default_rng(number).standard_normal(clean.shape)
                noisy = (clean + sigma / 255 * noise).astype(np.float32)
                scores.append(score(rule(runtime, noisy), clean))
            found = {"rule": name, "sigma": sigma, "psnr_db": round(float(np.mean(scores)), 3)}
            print(json.dumps(found | {"each": np.round(scores, 2).tolist()}), flush=True)


if __name__ == "__main__":
    main()
