"""Which layers may run sparse, by what they are for."""

from __future__ import annotations

import pytest

from tvm_sparse.errors import SparsityError
from tvm_sparse.model.layer import Layer
from tvm_sparse.sparsity.layers import select_layers

pytestmark = pytest.mark.unit

QUERY = Layer("bert/encoder/layer_._0/attention/self/query/kernel", (8, 4), role="query", block=0)
OUTPUT = Layer(
    "bert/encoder/layer_._11/output/dense/kernel.T",
    (8, 4),
    role="output",
    block=11,
    torch_name="encoder.layer.11.output.dense.weight",
)


def chosen(*layers: Layer, **patterns: tuple[str, ...]) -> list[Layer]:
    refusals = select_layers(layers, **patterns)
    assert list(refusals) == [layer.name for layer in layers]
    return [layer for layer in layers if not refusals[layer.name]]


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        ("embedding", "embedding: always dense"),
        ("head", "head: always dense"),
        ("pooler", "head (pooler): always dense"),
    ],
)
def test_embeddings_and_heads_never_are(role, reason):
    layer = Layer("some/kernel", (8, 4), role=role, block=0)
    assert select_layers([layer], include=("*",)) == {"some/kernel": reason}


def test_layers_outside_of_the_encoder_only_when_included():
    layer = Layer("resnet/stage/projection/kernel", (8, 4))
    assert select_layers([layer]) == {layer.name: "outside of the encoder"}
    assert chosen(layer, include=("*projection*",)) == [layer]


def test_include_and_exclude():
    layers = (QUERY, OUTPUT)
    assert chosen(*layers) == [QUERY, OUTPUT]
    assert chosen(*layers, include=("*/query",)) == [QUERY]  # without the variable's own name
    assert chosen(*layers, include=("*/query/kernel",)) == [QUERY]
    assert chosen(*layers, exclude=("*attention*",)) == [OUTPUT]
    assert chosen(*layers, include=("bert/encoder/*",), exclude=("*layer_._11*",)) == [QUERY]
    assert chosen(*layers, include=("query",)) == [QUERY]  # its role
    assert chosen(*layers, include=("encoder.layer.11.*",)) == [OUTPUT]
    refusals = select_layers(layers, ("*query",), ("*/query",))
    assert refusals[QUERY.name] == "matches --exclude */query"
    assert refusals[OUTPUT.name] == "no --include pattern matches"


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_an_error(option):
    with pytest.raises(SparsityError) as caught:
        chosen(QUERY, **{option: ("*qery*",)})
    message = str(caught.value)
    assert message.startswith(
        f"--{option} '*qery*' given (did you mean query?), which matches none of the 1 dense layers"
    )
    assert QUERY.name in message


def test_an_obstacle_keeps_a_layer_dense():
    shared = Layer(QUERY.name, (8, 4), obstacle="also read by take", block=0)
    assert select_layers([shared]) == {QUERY.name: "also read by take"}


def test_other_kinds_stay_dense():
    convolution = Layer("resnet/stages_._0/kernel", (8, 4), block=0, kind="convolution")
    assert select_layers([convolution], include=("*",)) == {
        convolution.name: "convolution: only dense layers run sparse"
    }
