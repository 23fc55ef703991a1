import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smidgen.data.origin import Found, Origin
from smidgen.data.scale import UNIT_SCALES, Scale, Scales
from smidgen.data.tasks import example_pairs
from smidgen.errors import FileError, SmidgenError
from smidgen.export.torch import TorchNetwork
from smidgen.model.file import describe_model, parse_model, read_model, write_model
from smidgen.model.records import Interval, Judged, Legibility, ModelInfo, Scores, from_plain, to_plain
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.network.spec import OUTPUTS, PlainSpec, PyramidSpec, default_spec
from smidgen.training.recipe import Recipe
from tests.conftest import TINY, random_weights

SPECS = [PlainSpec(), PlainSpec(channels=3, widths=(4,)), default_spec(3600), PyramidSpec(width=3, scales=1),
         PyramidSpec(channels=2, width=3, hidden=5, passes=2, scales=3),
         PyramidSpec(width=3, hidden=5, passes=2, scales=3, tied=False),
         PlainSpec(widths=(4,), output="residual"),
         PyramidSpec(channels=2, width=3, hidden=5, output="residual")]  # fmt: skip


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_learned_tensors_are_stored_once_and_counted(spec, tmp_path: Path, generator: np.random.Generator):
    """Initializers named `learned.` sum to the parameter count, and nothing else is large."""
    weights = random_weights(spec, generator)
    write_model(tmp_path / "m.onnx", ModelInfo(spec=spec, budget=spec.num_parameters), weights)
    graph = onnx.load(tmp_path / "m.onnx").graph
    learned = [tensor for tensor in graph.initializer if tensor.name.startswith("learned.")]
    assert sum(int(np.prod(tensor.dims)) for tensor in learned) == spec.num_parameters
    assert len({tensor.name for tensor in learned}) == len(learned)
    assert all(np.prod(tensor.dims) <= 16 for tensor in graph.initializer if tensor not in learned)
    assert all(node.domain == "" for node in graph.node)
    for name, weight in read_model(tmp_path / "m.onnx")[1].items():
        np.testing.assert_array_equal(weight, weights[name])
    if spec.num_parameters <= 3600:
        assert (tmp_path / "m.onnx").stat().st_size < 48 * 1024


@pytest.fixture(scope="module", params=SPECS, ids=str)
def both(request, tmp_path_factory) -> tuple[TorchNetwork, Runtime]:
    """A network in torch and its model file on the engine."""
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    weights = random_weights(request.param, np.random.default_rng(0))
    write_model(path, ModelInfo(spec=request.param, budget=10**6), weights)
    model = TorchNetwork(request.param.network(), weights)
    return model, Runtime(path, threads=1)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 3), st.integers(1, 45), st.integers(1, 45), st.integers(0, 99))
def test_file_answers_as_torch_does(both, n: int, height: int, width: int, seed: int):
    """For any size from 1 x 1 on, and noise that leaves [0, 1], the file's answer is torch's to 1e-5."""
    model, runtime = both
    shape = n, height, width, runtime.info.spec.channels
    noisy = np.random.default_rng(seed).uniform(-0.5, 1.5, shape).astype(np.float32)
    with torch.no_grad():
        expected = model.denoise(torch.from_numpy(noisy).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(runtime.denoise(noisy), expected, atol=1e-5)


@pytest.mark.parametrize("output", OUTPUTS)
def test_plain_onnx_runtime_needs_nothing_from_us(tmp_path: Path, output: str, generator: np.random.Generator):
    """Any ONNX program gets images in [0, 1] of the input's size from input `noisy`, output `denoised`."""
    tiny_model = tmp_path / "m.onnx"
    spec = replace(TINY, output=output)
    write_model(tiny_model, ModelInfo(spec=spec, budget=3600), random_weights(spec, generator))
    session = onnxruntime.InferenceSession(tiny_model, providers=["CPUExecutionProvider"])
    (denoised,) = session.run(["denoised"], {"noisy": generator.normal(0.5, 1, (2, 1, 5, 3)).astype(np.float32)})
    assert denoised.shape == (2, 1, 5, 3)
    assert denoised.min() >= 0
    assert denoised.max() <= 1
    assert onnx.load(tiny_model).opset_import[0].version >= 17


def test_what_a_model_says_about_itself_comes_back(tmp_path: Path, generator: np.random.Generator):
    """Spec, scales, recipe and scores are read back as they were written, to the last decimal."""
    interval = Interval.of(4, 5)
    legibility = Legibility(noisy=interval, denoised=interval, clean=interval)
    scores = Scores(bce=0.1, bce_floor=0.0, mse=1 / 3, psnr_db=None, ssim=1.0, legibility=legibility)
    info = ModelInfo(
        spec=TINY, budget=99, recipe=Recipe(epochs=3, seed=4), best_epoch=2, ending="finished",
        origin=Origin(name="d", shape=(5, 6, 1), found={"X": Found(shape=(9, 30), type="uint8", low=0, high=255)}),
        scales=Scales(Scale(0, 510), Scale(-1, 1), Scale(-3, 510), "because"),
        judged=Judged(pairs="d", split="val", n=5, scores=scores),
    )  # fmt: skip
    write_model(tmp_path / "m.onnx", info, random_weights(TINY, generator))
    assert Runtime(tmp_path / "m.onnx").info == info


@pytest.mark.parametrize(("shape", "size"), [((12, 20, 3), (12, 20)), (None, (28, 28)), ((0, 5, 1), (28, 28))])
def test_size_is_the_one_of_training(shape: tuple[int, int, int] | None, size: tuple[int, int]):
    """A model is shown and exported at the size it was trained on; one that does not say, at 28 x 28."""
    assert ModelInfo(spec=TINY, budget=99, origin=Origin(shape=shape)).size == size


def test_equal_models_are_equal_files(tmp_path: Path):
    """Writing the same model twice gives the same bytes."""
    for name in ("a", "b"):
        write_model(tmp_path / name, ModelInfo(spec=TINY, budget=99), random_weights(TINY, np.random.default_rng(1)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_broken_weights_are_not_written(tmp_path: Path, generator: np.random.Generator):
    """A weight that is NaN leaves no file."""
    weights = random_weights(TINY, generator)
    weights["stem"][0] = np.nan
    with pytest.raises(SmidgenError, match="stem"):
        write_model(tmp_path / "m.onnx", ModelInfo(spec=TINY, budget=99), weights)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", [read_model, Runtime])
def test_files_that_are_no_models(tmp_path: Path, tiny_model: Path, read):
    """Missing and damaged files are named; the error says what was expected."""
    with pytest.raises(FileError, match=r"none\.onnx"):
        read(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(FileError, match=r"text\.onnx"):
        read(tmp_path / "text.onnx")


def test_onnx_of_somebody_else(tmp_path: Path, tiny_model: Path):
    """An ONNX file without our metadata, or with another format, is not taken for a model."""
    proto = onnx.load(tiny_model)
    entry = proto.metadata_props[0]
    entry.value = entry.value.replace('"format": 2', '"format": 3')
    onnx.save(proto, tmp_path / "newer.onnx")
    with pytest.raises(FileError, match="format 3"):
        Runtime(tmp_path / "newer.onnx")
    entry.value = "{}"
    onnx.save(proto, tmp_path / "empty.onnx")
    with pytest.raises(FileError, match="cannot be read"):
        Runtime(tmp_path / "empty.onnx")
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(FileError, match="not a Smidgen model"):
        Runtime(tmp_path / "other.onnx")


def external(proto: onnx.ModelProto) -> None:
    """Numbers from another file of the machine."""
    tensor = proto.graph.initializer[0]
    size = int(np.prod(tensor.dims)) * 4
    onnx.external_data_helper.set_external_data(tensor, location="../../../../etc/passwd", length=size)
    tensor.ClearField("raw_data")


def foreign_operator(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].domain = "com.microsoft"
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))


def loop(proto: onnx.ModelProto) -> None:
    """A graph within a node, to be run for ever."""
    body = onnx.helper.make_graph([], "body", [], [])
    proto.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["out"], body=body))


def function(proto: onnx.ModelProto) -> None:
    proto.functions.append(onnx.helper.make_function("here", "f", ["x"], ["y"], [], [onnx.helper.make_opsetid("", 17)]))


def huge_constant(proto: onnx.ModelProto) -> None:
    """A shape of a constant that takes a terabyte when the file is opened."""
    (shape,) = (tensor for tensor in proto.graph.initializer if tensor.name.startswith("mean_of"))
    shape.raw_data = np.array([10**6, 10**6, 1, 1], np.int64).tobytes()


def huge_scale(proto: onnx.ModelProto) -> None:
    (scales,) = (tensor for tensor in proto.graph.initializer if tensor.name == "double")
    scales.raw_data = np.array([1, 1, 10**6, 10**6], np.float32).tobytes()


def not_a_number(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.raw_data = np.full(int(np.prod(tensor.dims)), np.nan, np.float32).tobytes()


def negative_shape(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[0] = -1


def wrong_wire(proto: onnx.ModelProto) -> None:
    """An operator of ours in another place."""
    proto.graph.node[1].input[0] = "noisy"


def hidden_numbers(proto: onnx.ModelProto) -> None:
    """Learned numbers that are not counted."""
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(10**5, np.float32), "extra"))


def absurd_spec(proto: onnx.ModelProto) -> None:
    entry = proto.metadata_props[0]
    entry.value = entry.value.replace('"passes": 1', '"passes": 1000000000').replace('"width": 2', '"width": 1e999')


def fixed_size(proto: onnx.ModelProto) -> None:
    """Images of one size only, at which others would end in ONNX Runtime's own words."""
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 5


def no_scale(proto: onnx.ModelProto) -> None:
    entry = proto.metadata_props[0]
    entry.value = entry.value.replace('"noisy": {"high": 1.0', '"noisy": {"high": 0.0')


def packed_twice(proto: onnx.ModelProto) -> None:
    """Numbers beside those that are counted, for a reader that looks there first."""
    proto.graph.initializer[0].float_data.extend([1.0] * 9)


def terminal(proto: onnx.ModelProto) -> None:
    """Letters that take over the terminal they are shown in."""
    entry = proto.metadata_props[0]
    entry.value = entry.value.replace('"licence": ""', '"licence": "\\u001b[2J"')


@pytest.mark.parametrize(
    "spoil",
    [external, foreign_operator, loop, function, huge_constant, huge_scale, not_a_number, negative_shape, wrong_wire,
     hidden_numbers, absurd_spec, fixed_size, no_scale, packed_twice, terminal],
    ids=lambda spoil: spoil.__name__,
)  # fmt: skip
def test_hostile_models_are_refused_unopened(tmp_path: Path, tiny_model: Path, spoil, monkeypatch: pytest.MonkeyPatch):
    """Whatever else a file holds than the graph of its own description, the engine never sees it."""
    monkeypatch.setattr("smidgen.model.runtime.Engine", lambda *_, **__: pytest.fail("it was opened"))
    proto = onnx.load(tiny_model)
    before = proto.SerializeToString()
    spoil(proto)
    assert proto.SerializeToString() != before
    (tmp_path / "hostile.onnx").write_bytes(proto.SerializeToString())
    for read in (read_model, Runtime):
        with pytest.raises(FileError, match=r"hostile\.onnx"):
            read(tmp_path / "hostile.onnx")


FORMAT_1 = Path(__file__).parent / "files" / "format-1.onnx"


def test_a_model_of_format_1_is_read():
    """A file of version 0.1 gives the same network, numbers, scales and scores."""
    info, weights = read_model(FORMAT_1)
    assert info.spec == PyramidSpec(width=5, hidden=5, kernel=3, tied=False)
    assert sum(weight.size for weight in weights.values()) == 441
    assert info.scales == UNIT_SCALES
    assert (info.recipe.epochs, info.judged.scores.mse, info.judged.n) == (14, 0.003114327758476475, 10_000)
    pairs = example_pairs("digits-on-garments", 200)
    error = float(np.square(Runtime(FORMAT_1).denoise(pairs.noisy) - pairs.clean).mean())
    assert error == pytest.approx(info.judged.scores.mse, rel=0.1)


def test_onnx_finds_no_fault(tiny_model: Path):
    """The file passes the checks of the onnx package, shapes included."""
    onnx.checker.check_model(onnx.load(tiny_model), full_check=True)


@pytest.mark.parametrize("text", [b"learned.head.bias", b"denoised", b"Conv", b"smidgen", b"pads", b"budget"])
def test_texts_that_are_no_unicode(tiny_model: Path, text: bytes):
    """A name, an operator or a key with a byte that no text has is refused like any other damage."""
    content = tiny_model.read_bytes().replace(text, b"\x80" + text[1:])
    with pytest.raises(FileError, match="a model"):
        parse_model(content, "a model")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model(content: bytes):
    """Whatever the bytes, the only error is that of a file."""
    with pytest.raises(FileError, match="a model"):
        parse_model(content, "a model")


GOOD = describe_model(read_model(find_model("digits-on-garments"))[0])


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("origin.found", [1]),
        ("origin.found", {"X": {"type": "no such type", "shape": [1], "low": 0, "high": 1}}),
        ("origin.found", {"X": {"type": "O", "shape": [1], "low": 0, "high": 1}}),
        ("origin.means", "x"),
        ("origin.means", {"noisy": "x"}),
        ("origin.sizes", {"train": "x"}),
        ("origin.shape", [28, "x", 1]),
        ("origin.name", "\x1b]0;title\x07"),
        ("origin.name", "x *\\\n/\n#include <stdlib.h>"),
        ("scales.noisy", {"low": 1.0, "high": 1.0}),
        ("judged.scores", {"bce": 1}),
        ("judged.scores.bce", True),
        ("judged.n", 10**4000),
        ("recipe.optimizer", "magic"),
        ("recipe.epochs", None),
        ("spec.output", "other"),
        ("budget", "3600"),
    ],
)
def test_what_readers_would_stumble_over_is_refused(tmp_path: Path, where: str, value: object):
    """Wrong types, missing scores, texts that control a terminal, endless numbers, in a file's own description."""
    content = copy.deepcopy(GOOD)
    *path, last = where.split(".")
    inner = content
    for name in path:
        inner = inner[name]
    inner[last] = value
    proto = onnx.load(find_model("digits-on-garments"))
    proto.metadata_props[0].value = json.dumps(content)
    with pytest.raises(FileError, match="cannot be read"):
        parse_model(proto.SerializeToString(), "it")


@given(st.text(max_size=9))
def test_any_name_makes_a_model_that_can_be_read(name: str):
    """Letters that are no Unicode, line ends and escapes in a name become replacement characters."""
    plain = to_plain(Origin(name=name + "\udcff\n\x1b"))
    assert from_plain(Origin, plain).name.endswith("\ufffd\ufffd\ufffd")
    assert plain["name"].isprintable()
