import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.data.scale import Scale
from smidgen.errors import InputError
from smidgen.export.c import compile_c, plan_memory, write_c
from smidgen.network.spec import OUTPUTS, PlainSpec, PyramidSpec, Spec, default_spec
from tests.conftest import needs_debian, random_weights, runtime_of

SPECS = [
    PlainSpec(),
    PlainSpec(channels=3, widths=(4,)),
    PyramidSpec(width=3, hidden=4, scales=3, passes=2),
    PyramidSpec(channels=2, width=5, hidden=3, scales=2, kernel=3),
    default_spec(),
    PlainSpec(channels=2, widths=(4,), output="residual"),
    PyramidSpec(width=3, hidden=4, scales=3, passes=2, output="residual"),
]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
MAIN = """
#define SMIDGEN_DECLARATIONS_ONLY
#include "denoiser.c"
#include <stdio.h>
static float image[SMIDGEN_VALUES], work[SMIDGEN_WORK_FLOATS];
int main(void)
{
    for (int i = 0; i < SMIDGEN_VALUES; i++)
        image[i] = (float)(i * 37 % 101) / 101.0f;
    smidgen_denoise(image, image, work);
    for (int i = 0; i < SMIDGEN_VALUES; i++)
        printf("%.9g\\n", (double)image[i]);
    return 0;
}
"""


@pytest.mark.parametrize("size", [(28, 28), (1, 1), (7, 13)], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("bits", [32, 8])
def test_c_answers_as_the_model(spec: Spec, size: tuple[int, int], bits: int, generator: np.random.Generator):
    """The compiled file gives what ONNX Runtime gives for the weights as they are stored in it."""
    weights = random_weights(spec, generator)
    source = write_c(spec.network(), weights, size, bits=bits, title="test")
    noisy = generator.random((3, *size, spec.channels), dtype=np.float32)
    denoised = compile_c(source, size, spec.channels)(noisy)
    np.testing.assert_allclose(denoised, runtime_of(spec, source.weights).denoise(noisy), atol=1e-5)


@pytest.mark.parametrize(
    ("noisy_scale", "clean_scale"),
    [(Scale(-1, 1), Scale(-60, -20)), (Scale(), Scale(0, 6700)), (Scale(0, 510), Scale())],
    ids=str,
)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("bits", [32, 8])
def test_c_takes_and_gives_values_on_the_scales_of_the_data(
    bits: int, output: str, noisy_scale: Scale, clean_scale: Scale, generator: np.random.Generator
):
    """X's values go in, also those that noise brought beyond X's scale, and y's come out."""
    spec = PyramidSpec(width=3, hidden=4, scales=3, output=output)
    source = write_c(
        spec.network(),
        random_weights(spec, generator),
        (7, 9),
        bits=bits,
        title="",
        noisy_scale=noisy_scale,
        clean_scale=clean_scale,
    )
    noisy = generator.uniform(-0.5, 1.5, (3, 7, 9, 1)).astype(np.float32)
    denoised = compile_c(source, (7, 9), 1)(noisy_scale.restore(noisy))
    expected = clean_scale.restore(runtime_of(spec, source.weights).denoise(noisy))
    np.testing.assert_allclose(denoised, expected, rtol=0, atol=1e-5 * (clean_scale.high - clean_scale.low))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("bits", [32, 8])
@pytest.mark.parametrize(
    ("spec", "scale"),
    [(PlainSpec(), Scale()), (PyramidSpec(width=3, hidden=4, scales=3), Scale(-1, 2)),
     (PyramidSpec(width=3, hidden=4, scales=2, output="residual"), Scale()),
     (PlainSpec(widths=(4,), output="residual"), Scale(-1, 2))],
    ids=str,
)  # fmt: skip
def test_no_warnings_and_clean_under_the_sanitizers(
    tmp_path: Path, compiler: str, bits: int, spec: Spec, scale: Scale, generator: np.random.Generator
):
    """Both compilers take the file without a word; run in place under gcc's sanitizers it keeps to its memory."""
    needs_debian(compiler)
    weights = random_weights(spec, generator)
    source = write_c(
        spec.network(), weights, (9, 14), bits=bits, title="trick */ comment", noisy_scale=scale, clean_scale=scale
    )
    (tmp_path / "denoiser.c").write_text(source.text)
    (tmp_path / "main.c").write_text(MAIN)
    # Clang's sanitizers are another package of every version's own name.
    how = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if compiler == "gcc" else ["-O2"]
    subprocess.run([compiler, *STRICT, *how, "-o", "run", "main.c", "denoiser.c", "-lm"], cwd=tmp_path, check=True)
    printed = subprocess.run(["./run"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
    noisy = ((np.arange(9 * 14) * 37 % 101).astype(np.float32) / np.float32(101)).reshape(1, 9, 14, 1)
    expected = scale.restore(runtime_of(spec, source.weights).denoise(scale.normalise(noisy)))
    np.testing.assert_allclose(np.array(printed, np.float32), expected.ravel(), atol=3e-5)


@given(
    st.sampled_from([*SPECS, PyramidSpec(width=2, hidden=5, scales=4, passes=3, tied=False)]),
    st.integers(1, 40),
    st.integers(1, 40),
)
@settings(max_examples=60)
def test_tensors_alive_together_never_share_memory(spec: Spec, height: int, width: int):
    """The plan of the work memory gives every tensor a place of its own while somebody still reads it."""
    network = spec.network()
    places, total = plan_memory(network, height, width)
    last, channels = network.last_uses(), network.channels_of()
    alive: dict[str, tuple[int, int]] = {}
    for number, layer in enumerate(network.layers[:-1]):
        step = 1 << layer.scale
        size = channels[layer.output] * -(-height // step) * -(-width // step)
        place = places[layer.output], places[layer.output] + size
        assert place[1] <= total
        for name, (start, stop) in alive.items():
            if place[0] < stop and start < place[1]:  # only what ends here may give its place to what begins here
                assert name in layer.inputs
                assert last[name] == number
                assert (start, stop) == place
        alive[layer.output] = place
        alive = {name: taken for name, taken in alive.items() if last[name] > number}


def test_sizes_of_the_default():
    """The default network at 28 x 28 stays within what small devices have, and rounding is at most half a step."""
    spec = default_spec()
    weights = random_weights(spec, np.random.default_rng(0))
    full = write_c(spec.network(), weights, (28, 28), bits=32, title="")
    small = write_c(spec.network(), weights, (28, 28), bits=8, title="")
    assert full.weight_bytes == 4 * spec.num_parameters
    assert small.weight_bytes < 8 * 1024
    assert full.work_bytes == small.work_bytes <= 200_000
    kernel, rounded = weights["down.mix"], small.weights["down.mix"]
    steps = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
    assert (np.abs(kernel - rounded) <= 0.5001 * steps).all()


def test_no_compiler(monkeypatch: pytest.MonkeyPatch):
    """Without a C compiler the error says what to install."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="gcc or clang"):
        compile_c("", (1, 1), 1)


@pytest.mark.parametrize("name", ["*/ int x; /*", "*\\\n/\nint x;", "*??/\n/ int x;", "\u2028é"])
def test_a_name_cannot_leave_the_comment(name: str, generator: np.random.Generator):
    """Whatever a model is called, the first line of the C file is a comment of harmless letters."""
    spec = PlainSpec(widths=(2,))
    source = write_c(spec.network(), random_weights(spec, generator), (4, 4), bits=32, title=f"Denoiser for {name}")
    first, title, empty, *_ = source.text.split("\n")
    assert (first, empty) == ("/*", " *")
    assert re.fullmatch(r" \* Denoiser for [A-Za-z0-9 .,:()_+-]+", title)
