"""Roles and encoder layers, told from the names of TensorFlow's variables."""

from __future__ import annotations

import pytest

from tvm_sparse.importers.layer_places import find_places
from tvm_sparse.model.layer import Place

pytestmark = pytest.mark.unit

BERT = {
    "attention/self/query": "query",
    "attention/self/key": "key",
    "attention/self/value": "value",
    "attention/output/dense": "attention_output",
    "intermediate/dense": "intermediate",
    "output/dense": "output",
}
#: First encoder layer of each family, and the roles of its dense layers.
BLOCKS = {
    "bert/encoder/layer_._0": BERT,
    "roberta/encoder/layer_._0": BERT,
    "electra/encoder/layer_._0": BERT,
    "vit/encoder/layer_._0": {
        "attention/attention/query": "query",
        "attention/attention/key": "key",
        "attention/attention/value": "value",
        "attention/output/dense": "attention_output",
        "intermediate/dense": "intermediate",
        "output/dense": "output",
    },
    "distilbert/transformer/layer_._0": {
        "attention/q_lin": "query",
        "attention/k_lin": "key",
        "attention/v_lin": "value",
        "attention/out_lin": "attention_output",
        "ffn/lin1": "intermediate",
        "ffn/lin2": "output",
    },
    "albert/encoder/albert_layer_groups_._0/albert_layers_._0": {
        "attention/query": "query",
        "attention/key": "key",
        "attention/value": "value",
        "attention/dense": "attention_output",
        "ffn": "intermediate",
        "ffn_output": "output",
    },
    "mobilebert/encoder/layer_._0": {
        **BERT,
        "output/bottleneck/dense": "other",
        "bottleneck/input/dense": "other",
        "bottleneck/attention/dense": "other",
        "ffn.2/intermediate/dense": "intermediate",
        "ffn.2/output/dense": "output",
    },
    "mpnet/encoder/layer_._0": {
        "attention/attn/q": "query",
        "attention/attn/k": "key",
        "attention/attn/v": "value",
        "attention/attn/o": "attention_output",
    },
    "transformer/h_._0": {"attn/c_attn": "other"},
    # As PyTorch's classes have them.
    "deberta/encoder/layer_._0": {
        "attention/self/query_proj": "query",
        "attention/output/dense": "attention_output",
    },
    "model/layers_._0": {
        "attn/Wqkv": "other",
        "attn/Wo": "attention_output",
        "mlp/Wi": "intermediate",
        "mlp/Wo": "output",
        "self_attn/k_proj": "key",
        "mlp/down_proj": "output",
    },
    "encoder/block_._0": {
        "layer_._0/SelfAttention/v": "value",
        "layer_._1/DenseReluDense/wi_0": "intermediate",
        "layer_._1/DenseReluDense/wo": "output",
    },
}
OUTSIDE = {
    "bert/embeddings/word_embeddings/weight": "embedding",
    "electra/embeddings_project/kernel": "embedding",
    "mobilebert/embeddings/embedding_transformation/kernel": "embedding",
    "albert/encoder/embedding_hidden_mapping_in/kernel": "embedding",
    "bert/pooler/dense/kernel": "pooler",
    "albert/pooler/kernel": "pooler",
    "classifier/kernel": "head",
    "classifier/dense/kernel": "head",
    "qa_outputs/kernel": "head",
    "mlm___cls/predictions/transform/dense/kernel": "head",
    "nsp___cls/seq_relationship/kernel": "head",
    "lm_head/dense/kernel": "head",
    "roberta/lm_head/dense/kernel": "head",
    "generator_predictions/dense/kernel": "head",
    "discriminator_predictions/dense/kernel": "head",
    "pre_classifier/kernel": "head",
    "vocab_transform/kernel": "head",
    "resnet/stage/projection/kernel": "other",
}


@pytest.mark.parametrize("block", BLOCKS)
def test_every_layer_of_a_block_has_its_role(block):
    places = find_places(f"{block}/{path}/kernel" for path in BLOCKS[block])
    found = [(place.role, place.block) for place in places.values()]
    assert found == [(role, 0) for role in BLOCKS[block].values()]


def test_what_is_in_no_block():
    places = find_places(OUTSIDE).values()
    assert [(place.role, place.block) for place in places] == [(r, None) for r in OUTSIDE.values()]


def test_names_of_pytorch():
    name = "bert/encoder/layer_._0/output/dense/kernel"
    places = find_places([name], "BertModel")
    assert places == {name: Place("output", 0, "encoder.layer.0.output.dense.weight")}


def test_blocks_are_numbered_in_the_order_of_the_model():
    names = [f"bert/encoder/layer_._{i}/output/dense/kernel" for i in (10, 2, 0)]
    assert [place.block for place in find_places(names).values()] == [2, 1, 0]
    # Groups of layers count as their layers do.
    stem = "albert/encoder/albert_layer_groups_._{}/albert_layers_._{}/ffn/kernel"
    names = [stem.format(group, layer) for group in (0, 1) for layer in (0, 1)]
    assert [place.block for place in find_places(names).values()] == [0, 1, 2, 3]
