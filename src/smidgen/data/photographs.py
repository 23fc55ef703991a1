"""The tasks on photographs: grey pictures as the field uses them, in Gaussian noise or in a camera's.

The protocol of the field: whole pictures, noise that is not clipped, PSNR of each at peak 1 after clipping the result
(DnCNN: Zhang et al. 2017, "Beyond a Gaussian denoiser").
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from smidgen.data.checks import make_raw_images
from smidgen.data.clean import split_clean
from smidgen.data.collection import Image, ScaledImages, middle
from smidgen.data.corruptions import Corruption
from smidgen.data.formats import read_images
from smidgen.data.homes import data_folder, download
from smidgen.data.origin import Step
from smidgen.data.pairs import Dataset, Pairs
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.sample_pictures import load_pictures
from smidgen.data.scale import Scale
from smidgen.errors import FileError
from smidgen.network.spec import OUTPUTS

LICENCE = (
    "Train400 and BSD68: Berkeley Segmentation Data Set, for research and education; LIVE1, to choose by: University "
    "of Texas at Austin, for research"
)
_VAL_SIZE = 40  # of Train400
_LEVELS = 11  # of the noise that a model is scored on that is to know any
_EXAMPLE_SIDE = 128
FIELD_NOISE = "gaussian-noise"


@dataclass(frozen=True)
class _Home:
    """Where a set lies in public: its folder, its files from number 1 on, and the SHA-256 of all, joined in order."""

    folder: str
    file: str
    count: int
    sha256: str


_GITHUB = "https://raw.githubusercontent.com/"
_HOMES = {
    "train400": _Home(
        _GITHUB + "cszn/DnCNN/ff758d996ee998732d2380b2db10f499e6b86e45/TrainingCodes/DnCNN_TrainingCodes_v1.0/data/"
        "Train400/",
        "test_{:03}.png",
        400,
        "210c2ed3e3072767c7689455d36525e1a3e9244968967a9097364c40ad24474a",
    ),
    "bsd68": _Home(
        _GITHUB + "cszn/DnCNN/55fdeb2ac82c8c8cae6e281dae2b8e87e2d47a4d/testsets/BSD68/",
        "test{:03}.png",
        68,
        "141797011cfb0901713499be26b4c320b9facb0683f5cd88af3528a73c2a2c2e",
    ),
    "set12": _Home(
        _GITHUB + "JingyunLiang/SwinIR/33f616625268d08ba600f8db89388eec0328edb1/testsets/Set12/",
        "{:02}.png",
        12,
        "293b89709bf6b9afad0644f8ce6f805cf719798893fd785b502c43c0055f1fee",
    ),
}
_REMEDY = "Name a folder that holds bsd/train400, bsd/bsd68 and bsd/live1 with --data DIR or SMIDGEN_DATA"


@dataclass(frozen=True)
class PhotographTask:
    """Photographs with noise.

    Attributes:
        steps: what spoils them. In training each crop draws its own strengths between the least and the greatest, and
            the model is not told.
    """

    steps: tuple[Step, ...]

    def open(self, name: str, data: Path | None) -> Dataset:
        """The pairs under this name, for a residual.

        Trained on Train400 but for its last 40, by name; these and LIVE1's whole pictures are for validation, BSD68 is
        for test.

        Args:
            name: of the task.
            data: the folder with `bsd/`; see `data_folder`.

        Raises:
            FileError: the pictures are not to be had.
        """
        crops, test = load_photographs("train400", data), load_photographs("bsd68", data)
        if len(crops) <= _VAL_SIZE:
            raise FileError(f"{crops.source} holds {len(crops):,} pictures", expected=f"more than {_VAL_SIZE}")
        train, val = np.split(np.arange(len(crops)), [len(crops) - _VAL_SIZE])
        large = _find_live1(data)
        held_out = crops.take(val) if large is None else _join(crops.take(val), large)
        dataset = split_clean(
            crops.take(train),
            Corruption(self.steps),
            val=held_out,
            test=test,
            output=OUTPUTS[1],
        )
        missing = f"validation lacks LIVE1's whole pictures, which have no public home as grey ones. {_REMEDY}"
        return replace(
            dataset,
            name=name,
            val=self.fixed_pairs(held_out),
            test=self.fixed_pairs(test),
            licence=LICENCE,
            flips=True,
            warnings=dataset.warnings if large else (missing, *dataset.warnings),
        )

    def fixed_pairs(self, photographs: RawPairs) -> Pairs:
        """Picture i spoiled by chance i, at `steps_of` i; whole."""
        clean = ScaledImages(photographs.clean, Scale(0, 255))
        noisy = [self._spoil(clean[number], number) for number in range(len(clean))]
        return Pairs(ScaledImages(noisy), clean, names=photographs.names)

    def steps_of(self, number: int) -> tuple[Step, ...]:
        """For a picture to validate or test on: each of several strengths in its turn, the greatest among them."""
        share = (1 + number % _LEVELS) / _LEVELS
        found = []
        for step in self.steps:
            low, high = step.strength or (0.0, 0.0)
            found.append(Step(step.kind, (low + (high - low) * share,) * 2))
        return tuple(found)

    def examples(self, n: int) -> Pairs:
        """The middles of at most `n` photographs that ship with the package, of one size."""
        cut = [image[(0, *middle(image.shape[1:], _EXAMPLE_SIDE))] for image in list(load_pictures().values())[:n]]
        return Pairs(np.stack([self._spoil(image, number) for number, image in enumerate(cut)]), np.stack(cut))

    def _spoil(self, image: Image, number: int) -> Image:
        steps = self.steps_of(number)
        if [step.kind for step in steps] == [FIELD_NOISE]:
            return add_field_noise(image, number, steps[0].strength[0] if steps[0].strength else 0.0)
        noisy: Image = Corruption(steps).apply(image[None], np.random.default_rng(number))[0]
        return noisy


def in_gaussian_noise(low: float, high: float) -> PhotographTask:
    """The field's task, at deviations between these, where white is 255."""
    return PhotographTask((Step(FIELD_NOISE, (low / 255, high / 255)),))


def add_field_noise(clean: Image, number: int, sigma: float) -> Image:
    """Picture `number` of a set, `(H, W, 1)` in [0, 1], in the noise that all denoisers get there; not clipped."""
    return (clean + sigma * np.random.default_rng(number).standard_normal(clean.shape)).astype(np.float32)


def load_photographs(name: str, data: Path | None = None) -> RawPairs:
    """A set of grey 8-bit pictures in the order of their names.

    Args:
        name: "train400", "bsd68", "set12" or "live1".
        data: the folder that holds `bsd/NAME/`; see `data_folder`. Without one they are downloaded.

    Raises:
        FileError: they are not there, are not what they were, or cannot be downloaded.
        PairsError: they cannot be read.
    """
    folder = data_folder(data)
    place = _download(name) if folder is None else folder / "bsd" / name
    if not place.is_dir():
        raise FileError(f"there is no folder {place}", expected=f"the pictures of {name}", remedy=_REMEDY)
    raw = read_images(place).train
    shapes = {image.shape[2] for image in raw.clean}
    if shapes != {1} or raw.surveys[1].dtype != np.uint8:
        raise FileError(f"the pictures of {place} are not grey ones of 8 bits", expected=f"{name} as the field uses it")
    return raw


def _find_live1(data: Path | None) -> RawPairs | None:
    """LIVE1 where it is in the data folder; its public homes hold it in colour, and none says how to make it grey."""
    folder = data_folder(data)
    return load_photographs("live1", data) if folder and (folder / "bsd" / "live1").is_dir() else None


def _join(first: RawPairs, second: RawPairs) -> RawPairs:
    """Clean images of both, one after the other."""
    names = (*(first.names or ()), *(second.names or ()))
    return make_raw_images([*first.clean, *second.clean], None, f"{first.source}, {second.source}", names)


def _download(name: str) -> Path:
    """The folder of a set in the user's cache, complete.

    Raises:
        FileError: it cannot be downloaded, or is not what it was.
    """
    home = _HOMES[name]
    files = [home.file.format(number) for number in range(1, home.count + 1)]
    paths = [download(f"bsd/{name}", file, home.folder, None, _REMEDY) for file in files]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    if digest.hexdigest() != home.sha256:
        raise FileError(
            f"the pictures of {name} in {paths[0].parent} are not what they were",
            expected=f"files of the SHA-256 {home.sha256}, joined in order",
            remedy=f"Delete that folder to download them again. {_REMEDY}",
        )
    return paths[0].parent
