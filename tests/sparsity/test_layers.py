"""Which layers may run sparse, by name."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.layers import LayerWeight, select_layers

pytestmark = pytest.mark.unit

ENCODER = [
    "bert/encoder/layer_._0/attention/self/query/kernel",
    "bert/encoder/layer_._11/output/dense/kernel.T",
    "distilbert/transformer/layer_._0/attention/q_lin/kernel",
    "roberta/encoder/layer_._0/intermediate/dense/kernel",
    "electra/encoder/layer_._0/output/dense/kernel",
    "albert/encoder/albert_layer_groups_._0/albert_layers_._0/ffn/kernel",
    "mobilebert/encoder/layer_._0/bottleneck/input/dense/kernel",
    "vit/encoder/layer_._0/attention/attention/query/kernel",
    "transformer/h_._0/attn/c_attn/weight",
]
NEVER = [
    "bert/embeddings/word_embeddings/weight",
    "electra/embeddings_project/kernel",
    "mobilebert/embeddings/embedding_transformation/kernel",
    "albert/encoder/embedding_hidden_mapping_in/kernel",
    "bert/pooler/dense/kernel",
    "classifier/kernel",
    "qa_outputs/kernel",
    "mlm___cls/predictions/transform/dense/kernel",
    "nsp___cls/seq_relationship/kernel",
    "lm_head/dense/kernel",
    "roberta/lm_head/dense/kernel",
    "generator_predictions/dense/kernel",
    "discriminator_predictions/dense/kernel",
    "pre_classifier/kernel",
    "vocab_transform/kernel",
    "classifier/dense/kernel",
]


def layer(name: str) -> LayerWeight:
    return LayerWeight(name, (8, 4))


def chosen(names: list[str], **patterns: tuple[str, ...]) -> list[str]:
    refusals = select_layers([layer(name) for name in names], **patterns)
    assert list(refusals) == names
    return [name for name, refusal in refusals.items() if not refusal]


@pytest.mark.parametrize("name", ENCODER)
def test_encoder_layers_are_chosen(name):
    assert chosen([name]) == [name]


@pytest.mark.parametrize("name", NEVER)
def test_embeddings_and_heads_never_are(name):
    assert chosen([name]) == []
    assert chosen([name], include=("*",)) == []
    assert "always dense" in select_layers([layer(name)])[name]


def test_other_layers_only_when_included():
    name = "resnet/stage/projection/kernel"
    assert select_layers([layer(name)]) == {name: "outside of the encoder"}
    assert chosen([name], include=("*projection*",)) == [name]


def test_include_and_exclude():
    names = ENCODER[:2]
    assert chosen(names, include=("*/query",)) == names[:1]  # without the variable's own name
    assert chosen(names, include=("*/query/kernel",)) == names[:1]
    assert chosen(names, exclude=("*attention*",)) == names[1:]
    assert chosen(names, include=("bert/encoder/*",), exclude=("*layer_._11*",)) == names[:1]
    refusals = select_layers([layer(n) for n in names], ("*query",), ("*/query",))
    assert refusals[names[0]] == "matches --exclude */query"
    assert refusals[names[1]] == "no --include pattern matches"


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_an_error(option):
    with pytest.raises(SparsityError) as caught:
        chosen(ENCODER[:1], **{option: ("*qery*",)})
    message = str(caught.value)
    assert message.startswith(
        f"--{option} '*qery*' given, which matches none of the 1 dense layers"
    )
    assert ENCODER[0] in message


def test_an_obstacle_keeps_a_layer_dense():
    shared = LayerWeight(ENCODER[0], (8, 4), obstacle="also read by take")
    assert select_layers([shared]) == {ENCODER[0]: "also read by take"}


def test_load_turns_a_stored_weight():
    stored = np.arange(12, dtype=np.float32).reshape(4, 3)
    kn = LayerWeight("w", (3, 4), "KN")
    nk = LayerWeight("w.T", (3, 4), "NK")
    np.testing.assert_array_equal(kn.load({"w": stored}), stored.T)
    np.testing.assert_array_equal(nk.load({"w.T": stored.T}), stored.T)
    assert kn.to_stored(stored.T).flags.c_contiguous
    np.testing.assert_array_equal(kn.to_stored(kn.load({"w": stored})), stored)
    assert nk.canonical_name == kn.canonical_name == "w"


def test_load_refuses_a_missing_or_foreign_array():
    with pytest.raises(SparsityError, match="no array given for weight w"):
        LayerWeight("w", (3, 4)).load({})
    with pytest.raises(SparsityError, match=r"shape \(3, 4\) given for weight w: shape \(4, 3\)"):
        LayerWeight("w", (3, 4)).load({"w": np.ones((3, 4))})
