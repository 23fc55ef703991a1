import numpy as np

from smidgen.fast import has_fast_engine, open_fast_engine
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model


def test_the_fast_engine_gives_the_same_pictures(generator: np.random.Generator):
    """OpenVINO answers as ONNX Runtime does, on the shipped model and odd sizes, call after call."""
    path = find_model("digits-on-garments")
    run, runtime = open_fast_engine(path.read_bytes()), Runtime(path, fast=False)
    noisy = [
        generator.random((2, height, width, 1), dtype=np.float32) for height, width in ((37, 50), (64, 64), (37, 50))
    ]
    denoised = [run(image.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1) for image in noisy]
    for before, after in zip(noisy, denoised, strict=True):
        np.testing.assert_allclose(after, runtime.denoise(before), atol=1e-5)


def test_large_images_take_it(generator: np.random.Generator):
    """An image too large to be computed at once gives the same by either engine."""
    assert has_fast_engine()
    path = find_model("digits-on-garments")
    noisy = generator.random((1, 700, 990, 1), dtype=np.float32)
    np.testing.assert_allclose(Runtime(path).denoise(noisy), Runtime(path, fast=False).denoise(noisy), atol=1e-5)
