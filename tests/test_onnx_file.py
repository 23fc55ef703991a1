import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from smidgen.model.file import build_onnx
from smidgen.model.onnx_file import Value, read_onnx
from smidgen.network.spec import PlainSpec, PyramidSpec, Spec
from tests.conftest import random_weights


@pytest.mark.parametrize("spec", [PlainSpec(), PyramidSpec(width=3, hidden=5, passes=2, scales=3)], ids=str)
def test_reads_what_onnx_reads(spec: Spec, generator: np.random.Generator):
    """Nodes, attributes, tensors, inputs and metadata are those that the onnx package finds."""
    proto = build_onnx(spec.network(), random_weights(spec, generator))
    entry = proto.metadata_props.add()
    entry.key, entry.value = "a", "ü"
    file = read_onnx(proto.SerializeToString())
    assert (file.opset, file.metadata) == (17, {"a": "ü"})
    assert file.inputs == (Value("noisy", 1, ("N", 1, "H", "W")),)
    assert file.outputs == (Value("denoised", 1, ("N", 1, "H", "W")),)
    assert len(file.nodes) == len(proto.graph.node)
    for found, expected in zip(file.nodes, proto.graph.node, strict=True):
        assert (found.op, found.inputs, (found.output,)) == (
            expected.op_type,
            tuple(expected.input),
            tuple(expected.output),
        )
        values = {attribute.name: helper.get_attribute_value(attribute) for attribute in expected.attribute}
        assert found.attributes.keys() == values.keys()
        for name, value in values.items():
            if isinstance(value, onnx.TensorProto):
                np.testing.assert_array_equal(found.attributes[name], numpy_helper.to_array(value))
            else:
                assert found.attributes[name] == (value.decode() if isinstance(value, bytes) else value)
    assert file.tensors.keys() == {tensor.name for tensor in proto.graph.initializer}
    for tensor in proto.graph.initializer:
        np.testing.assert_array_equal(file.tensors[tensor.name], numpy_helper.to_array(tensor))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_file(content: bytes):
    """Whatever the bytes, the only error is ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        read_onnx(content)


@pytest.mark.parametrize("values", [[2**70], [-5, 7], []], ids=str)
def test_numbers_in_every_encoding(values: list[int]):
    """Whole numbers, negative ones and packed ones too, are read as they were written; endless ones are refused."""
    if values and values[0] > 2**63:
        with pytest.raises(ValueError, match="endless"):
            read_onnx(b"\x08" + b"\xff" * 12)
        return
    tensor = helper.make_tensor("t", onnx.TensorProto.INT64, [len(values)], values)
    graph = helper.make_graph([], "g", [], [], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    np.testing.assert_array_equal(read_onnx(model.SerializeToString()).tensors["t"], values)


def part(number: int, content: bytes) -> bytes:
    """A part of up to 127 bytes, as protocol buffers encode it."""
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize(
    "more",
    [
        bytes([4 << 3 | 5]) + b"Conv",  # another encoding, which onnx leaves out
        bytes([4 << 3 | 1]) + b"Conv    ",
        part(4, b"Conv"),  # twice
        part(5, part(1, b"x") + part(1, b"pads") + b"\xa0\x01\x03"),
        part(5, part(1, b"pads") + bytes([1 << 3 | 5]) + b"bias" + b"\xa0\x01\x03"),
        part(5, part(1, b"pads") + part(4, b"x") + b"\x18\x01" + b"\xa0\x01\x02"),  # a text and a number
    ],
)
def test_nothing_that_other_readers_would_read_otherwise(more: bytes):
    """Parts in another encoding, parts that come twice and values next to values are refused."""
    node = part(1, b"a") + part(2, b"b") + part(4, b"Relu")
    graph, opset = part(1, node), part(8, b"\x10\x11")
    assert read_onnx(part(7, graph) + opset).nodes[0].op == "Relu"
    with pytest.raises(ValueError, match=r"not have|several values"):
        read_onnx(part(7, part(1, node + more)) + opset)


def test_a_tensor_with_values_in_two_places():
    """One of them would be shown here, the other one computed with."""
    tensor = b"\x08\x01" + b"\x10\x01" + part(4, bytes(4)) + part(9, bytes(4)) + part(8, b"t")
    with pytest.raises(ValueError, match="twice"):
        read_onnx(part(7, part(5, tensor)) + part(8, b"\x10\x11"))
