import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.cli.main import main
from smidgen.model.model import Model, load
from smidgen.model.values import Handling
from smidgen.network.spec import PyramidSpec
from smidgen.scaling import denoising, levels
from smidgen.scaling.denoising import Standing, denoise_store
from smidgen.scaling.stores import find_units, open_to_write
from smidgen.scaling.workers import Here
from tests.conftest import random_weights, runtime_of

THREE = PyramidSpec(width=2, hidden=2, scales=3, kernel=3)
WEIGHTS = random_weights(THREE, np.random.default_rng(3))
VALUES = np.random.default_rng(0).integers(0, 60_000, (2, 3, 45, 38), np.uint16)


def make(path: Path, values: np.ndarray, chunks: tuple[int, ...], zarr_format: int = 3, **more: Any) -> Path:
    array = zarr.create_array(
        path, shape=values.shape, chunks=chunks, dtype=values.dtype, zarr_format=zarr_format, **more
    )
    array[...] = values
    return path


def read(path: Path, name: str = "") -> np.ndarray:
    return np.asarray(zarr.open_array(path, path=name, mode="r")[...])


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return load(tiny_model)


@settings(max_examples=25)
@given(st.data())
def test_any_store_is_denoised_as_the_whole(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    """Whatever its axes, chunks, shards, version, type and blocks, a store gives what the array in memory gives."""
    axes = data.draw(st.integers(2, 4))
    shape = tuple(data.draw(st.integers(1, 3 if axis < axes - 2 else 90)) for axis in range(axes))
    shape = (*shape[:-1], max(5, shape[-1]))
    chunks = tuple(data.draw(st.integers(-(-side // 9), 40)) for side in shape)  # each is a file, so not too many
    zarr_format = data.draw(st.sampled_from([2, 3]))
    more = {}
    if zarr_format == 3 and data.draw(st.booleans()):
        more["shards"] = tuple(size * data.draw(st.integers(1, 3)) for size in chunks)
    dtype = data.draw(st.sampled_from(["u1", "u2", ">i4", "f4", "f8"]))
    values = np.random.default_rng(1).integers(0, 120, shape).astype(dtype)
    values = values / values.dtype.type(120) if values.dtype.kind == "f" else values
    folder = tmp_path_factory.mktemp("any")
    make(folder / "in.zarr", values, chunks, zarr_format, **more)
    runtime = runtime_of(THREE, WEIGHTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(denoising, "_TOGETHER", data.draw(st.sampled_from([1, 3000, 2**22])))
        side = data.draw(st.integers(1, 60))
        denoise_store(runtime, folder / "in.zarr", folder / "out.zarr", Here(), side=side)
    expected = Model(runtime).denoise(values.astype(values.dtype.newbyteorder("=")))
    found = zarr.open_array(folder / "out.zarr", mode="r")
    assert (found.dtype, found.chunks, found.shards) == (expected.dtype, chunks, more.get("shards"))
    np.testing.assert_array_equal(found[...], expected)
    shutil.rmtree(folder)


def write_ome(path: Path, zarr_format: int) -> None:
    """An image of three resolutions, the last one odd, with metadata of its own."""
    axes = [{"name": name, "type": "space"} for name in "tcyx"]
    datasets = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 2**number, 2**number]}]}
        for number in range(3)
    ]
    told: dict[str, Any] = {"multiscales": [{"axes": axes, "datasets": datasets, "name": "cells"}]}
    told |= {"omero": {"channels": [{"label": name} for name in ("a", "b", "c")]}}
    attributes = {"ome": told | {"version": "0.5"}, "mine": 7} if zarr_format == 3 else told | {"mine": 7}
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes=attributes)
    for number in range(3):
        values = VALUES[..., :: 2**number, :: 2**number]
        more = {"dimension_names": tuple("tcyx")} if zarr_format == 3 else {}
        group.create_array(str(number), shape=values.shape, chunks=(1, 2, 16, 16), dtype="u2", **more)[...] = values
        group[str(number)].attrs["level"] = number


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_ome_zarr_keeps_its_metadata_and_gets_its_resolutions_anew(tmp_path: Path, model: Model, zarr_format: int):
    """Attributes, axes and chunks are those of the input; coarser resolutions are means of the denoised one."""
    write_ome(tmp_path / "in.zarr", zarr_format)
    denoise_store(model.runtime, tmp_path / "in.zarr", tmp_path / "out.zarr", Here(), side=20)
    source, target = (zarr.open_group(tmp_path / name, mode="r") for name in ("in.zarr", "out.zarr"))
    told = target.attrs.asdict()
    assert told.pop("smidgen")["model"] == model.runtime.fingerprint
    assert told == source.attrs.asdict()
    finer = model.denoise(VALUES)
    for number in range(3):
        array, before = target[str(number)], source[str(number)]
        assert (array.chunks, array.attrs.asdict(), array.compressors) == (
            (1, 2, 16, 16),
            {"level": number},
            before.compressors,
        )
        assert getattr(array.metadata, "dimension_names", None) == getattr(before.metadata, "dimension_names", None)
        if number:
            height, width = before.shape[-2:]
            padded = np.pad(finer.astype(float), [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=np.nan)
            parts = [padded[..., row : 2 * height : 2, column : 2 * width : 2] for row in (0, 1) for column in (0, 1)]
            finer = np.rint(np.nanmean(parts, 0)).astype(np.uint16)
        np.testing.assert_array_equal(array[...], finer)


def test_arrays_are_opened_once(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch):
    """However many blocks a resolution has, a process opens its store once to make them."""
    write_ome(tmp_path / "in.zarr", 3)
    opened = []

    def count(place: Any, path: str) -> Any:
        opened.append(path)
        return open_to_write(place, path)

    monkeypatch.setattr(levels, "open_to_write", count)
    denoise_store(model.runtime, tmp_path / "in.zarr", tmp_path / "out.zarr", Here(), side=16)
    assert opened == ["0", "1", "1", "2"]


def test_how_values_are_taken_is_as_for_pictures(tmp_path: Path, model: Model):
    """Depth, range, inversion and strength are those of `smidgen denoise` for pictures, and remarks too."""
    make(tmp_path / "in.zarr", VALUES[0, 0] // 16, (16, 16))
    np.save(tmp_path / "in.npy", VALUES[0, 0] // 16)
    options = ["--depth", "8", "--range", "0", "4095", "--invert", "--strength", "0.7"]
    for name in ("zarr", "npy"):
        command = ["denoise", model.runtime.name, str(tmp_path / f"in.{name}"), "-o", str(tmp_path / f"out.{name}")]
        assert main([*command, *options]) == 0
    assert read(tmp_path / "out.zarr").dtype == np.uint8
    np.testing.assert_array_equal(read(tmp_path / "out.zarr"), np.load(tmp_path / "out.npy"))
    remarks = denoise_store(model.runtime, tmp_path / "in.zarr", tmp_path / "other.zarr", Here(), side=16)
    assert any("--range 0 4095" in remark for remark in remarks)


@pytest.mark.parametrize("names", [None, ("c", "t", "y", "x")])
def test_colours_lie_along_the_axis_c(tmp_path: Path, names: tuple[str, ...] | None):
    """A model of three channels takes them along the axis c, or the third from last, and refuses other numbers."""
    spec = PyramidSpec(width=2, hidden=2, scales=2, kernel=3, channels=3)
    runtime = runtime_of(spec, random_weights(spec, np.random.default_rng(0)))
    values = VALUES if names is None else VALUES.transpose(1, 0, 2, 3)
    make(tmp_path / "in.zarr", values, (1, 1, 16, 16), dimension_names=names)
    denoise_store(runtime, tmp_path / "in.zarr", tmp_path / "out.zarr", Here(), side=16)
    expected = Model(runtime).denoise(values, channel_axis=1 if names is None else 0)
    np.testing.assert_array_equal(read(tmp_path / "out.zarr"), expected)
    make(tmp_path / "grey.zarr", VALUES[:, 0], (1, 16, 16))
    with pytest.raises(Exception, match="3 channels, as in the model's training"):
        denoise_store(runtime, tmp_path / "grey.zarr", tmp_path / "other.zarr", Here())


def test_what_is_done_is_left_and_what_is_damaged_is_made_again(tmp_path: Path, model: Model):
    """Whole blocks are not computed again, those of zeros among them; an empty chunk and half a file are none."""
    values = np.zeros((64, 64), np.uint16)
    values[:16, :16] = 1000
    source, target = make(tmp_path / "in.zarr", values, (16, 16)), tmp_path / "out.zarr"
    seen: list[Standing] = []

    def run() -> list[int]:
        seen.clear()
        # At a strength of 0 the input comes back, so that most chunks hold what an array holds without them.
        denoise_store(model.runtime, source, target, Here(), handling=Handling(strength=0), side=32, watch=seen.append)
        return [now.done for now in seen]

    assert run() == [0, 1024, 2048, 3072, 4096]
    assert len(find_units(zarr.open_array(target))) == 16
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert run() == [4096]
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before
    (target / "c" / "3" / "3").write_bytes(b"")
    (target / "c" / "0" / "1").rename(target / "c" / "0" / "1.0123.partial")
    assert run() == [2048, 3072, 4096]
    np.testing.assert_array_equal(read(target), values)


def test_the_target_must_be_of_this_model_and_this_input(
    tmp_path: Path, model: Model, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    """Another model, input or handling, and places in the way are refused, with nothing changed."""
    source = make(tmp_path / "in.zarr", VALUES[0], (1, 16, 16))
    command = ["denoise", str(tiny_model), str(source), "-o"]
    out = str(tmp_path / "out.zarr")
    assert main([*command, out]) == 0
    make(tmp_path / "foreign.zarr", VALUES[0], (1, 16, 16))
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.zarr" / "notes.txt").write_text("mine")
    (tmp_path / "file.zarr").write_text("mine")
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text("{")
    shutil.copytree(source, tmp_path / "copy.zarr")
    shutil.copytree(source, tmp_path / "odd.zarr")
    told = json.loads((source / "zarr.json").read_text())
    (tmp_path / "odd.zarr" / "zarr.json").write_text(json.dumps(told | {"attributes": 7}))
    before = content(tmp_path)

    def refused(words: list[str], message: str) -> None:
        assert main(words) == 2
        assert message in capsys.readouterr().err
        assert content(tmp_path) == before

    refused(["denoise", "digits-on-garments-450", str(source), "-o", out], "was made by another model")
    refused(
        ["denoise", str(tiny_model), str(tmp_path / "copy.zarr"), "-o", out], "another input: it had another address"
    )
    refused([*command, out, "--strength", "0.5"], "was made otherwise")
    refused([*command, str(tmp_path / "foreign.zarr")], "was not made by Smidgen")
    refused([*command, str(tmp_path / "folder.zarr")], "holds other things, such as notes.txt")
    refused([*command, str(tmp_path / "file.zarr")], "is no folder")
    refused([*command, str(tmp_path / "damaged.zarr")], "cannot be read as Zarr")
    refused([*command, str(tmp_path / "odd.zarr")], "cannot be read as Zarr")
    refused([*command[:2], str(tmp_path / "odd.zarr"), "-o", str(tmp_path / "new.zarr")], "cannot be read as Zarr")
    about = tmp_path / "out.zarr" / "zarr.json"
    made = about.read_text()
    for change in ({"shape": [3, 45, 30]}, {"data_type": "uint8"}):
        about.write_text(json.dumps(json.loads(made) | change))
        before = content(tmp_path)
        refused([*command, out], "exists and was changed")
    about.write_text(made)
    before = content(tmp_path)
    refused([*command, str(source)], "is also the input")
    refused([*command, str(source / "c" / "x.zarr")], "lies in it")
    refused([*command, str(tmp_path / "out")], "a name in .zarr")
    refused([*command, "sftp://host/out.zarr"], "half a chunk")
    refused([*command, str(tmp_path / "new.zarr"), "--part", "5/4"], "--part K/N")
    refused([*command, str(tmp_path / "new.zarr"), "--block", "0"], "side of a block")
    refused([*command[:3], str(source), "-o", str(tmp_path / "new.zarr")], "one store a command")
    refused([*command[:2], str(tmp_path / "none.zarr"), "-o", out], "none.zarr")
    changed = source / "c" / "0" / "0" / "0"
    changed.write_bytes(changed.read_bytes())
    refused([*command, out], "another input: it had another chunks")


def test_what_cannot_be_denoised_says_where(tmp_path: Path, model: Model):
    """NaN and a damaged chunk are named with the region; what was done before stays."""
    values = np.random.default_rng(0).random((40, 40), np.float32)
    values[33, 5] = np.nan
    source, target = make(tmp_path / "in.zarr", values, (8, 8)), tmp_path / "out.zarr"
    with pytest.raises(Exception, match=r"in\.zarr at \[24:32, 0:8\]: .*not numbers"):
        denoise_store(model.runtime, source, target, Here(), side=8)
    assert len(find_units(zarr.open_array(target))) == 15
    make(tmp_path / "bad.zarr", VALUES[0, 0], (16, 16))
    chunk = tmp_path / "bad.zarr" / "c" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:9])
    with pytest.raises(Exception, match=r"bad\.zarr at \[0:45, 0:38\]: a chunk cannot be read"):
        denoise_store(model.runtime, tmp_path / "bad.zarr", tmp_path / "x.zarr", Here())
    make(tmp_path / "truth.zarr", VALUES[0, 0] > 9, (16, 16))
    with pytest.raises(Exception, match="truth values"):
        denoise_store(model.runtime, tmp_path / "truth.zarr", tmp_path / "x.zarr", Here())


def test_addresses_of_object_storage(model: Model):
    """A store in storage that fsspec knows is read and written there, and goes on there."""
    with zarr.config.set({"array.write_empty_chunks": True}):
        array = zarr.create_array("memory://here/in.zarr", shape=(45, 38), chunks=(16, 16), dtype="u2")
    array[...] = VALUES[0, 0]
    seen: list[Standing] = []
    for _ in range(2):
        seen.clear()
        denoise_store(
            model.runtime, "memory://here/in.zarr", "memory://here/out.zarr", Here(), side=16, watch=seen.append
        )
    assert len(seen) == 1
    found = zarr.open_array("memory://here/out.zarr", mode="r")
    np.testing.assert_array_equal(found[...], model.denoise(VALUES[0, 0]))
    assert json.dumps(found.attrs["smidgen"]["input"]["address"]) == '"memory://here/in.zarr"'
    assert main(["denoise", model.runtime.name, "memory://here/in.zarr", "-o", "memory://here/other.zarr"]) == 0
    np.testing.assert_array_equal(zarr.open_array("memory://here/other.zarr", mode="r")[...], found[...])


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("nowhere://bucket/in.zarr", "out.zarr", "Protocol not known: nowhere"),
        ("gs://bucket/in.zarr", "out.zarr", "Please install gcsfs"),
        ("memory://here/in.zarr", "ftp://host/out.zarr", "half a chunk could stand there"),
    ],
)
def test_addresses_that_cannot_be(
    tmp_path: Path, model: Model, capsys: pytest.CaptureFixture[str], source: str, target: str, message: str
):
    """Storage that nobody knows, whose package is missing, or that could keep half a chunk is refused by name."""
    zarr.create_array("memory://here/in.zarr", shape=(9, 9), dtype="u2", overwrite=True)[...] = 7
    out = target if "://" in target else str(tmp_path / target)
    assert main(["denoise", model.runtime.name, source, "-o", out]) == 2
    assert message in capsys.readouterr().err
