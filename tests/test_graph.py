import onnx
import pytest

from smidgen.model.graph import make_graph
from smidgen.network.spec import PlainSpec, PyramidSpec, Spec, default_spec

SPECS = [
    PlainSpec(),
    default_spec(),
    PyramidSpec(channels=3, width=3, hidden=5, scales=3, passes=2),
    PyramidSpec(scales=1),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_plain_operators_in_an_order_that_works(spec: Spec):
    """Every operator is one of ONNX's own, and takes only what was there before it; the last gives `denoised`."""
    network = spec.network()
    graph = make_graph(network)
    known = {"noisy", "", *graph.constants, *(f"learned.{weight.name}" for weight in network.weights)}
    for node in graph.nodes:
        assert onnx.defs.has(node.op)
        assert set(node.inputs) <= known
        assert node.output not in known
        known.add(node.output)
    assert graph.nodes[-1].output == "denoised"


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_numbers_from_formulas_are_few(spec: Spec):
    """No constant has more than 16 elements: nothing learned hides there."""
    assert all(value.size <= 16 for value in make_graph(spec.network()).constants.values())
