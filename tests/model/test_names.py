"""TensorFlow's names and PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.model.names import tensorflow_value, torch_name, torch_value, torch_weights

pytestmark = pytest.mark.unit

ALBERT_LAYER = "albert/encoder/albert_layer_groups_._0/albert_layers_._0"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "bert/encoder/layer_._11/output/dense/kernel",
            "bert.encoder.layer.11.output.dense.weight",
        ),
        ("bert/encoder/layer_._11/output/dense/bias", "bert.encoder.layer.11.output.dense.bias"),
        ("bert/embeddings/LayerNorm/gamma", "bert.embeddings.LayerNorm.weight"),
        ("bert/embeddings/LayerNorm/beta", "bert.embeddings.LayerNorm.bias"),
        ("bert/embeddings/word_embeddings/weight", "bert.embeddings.word_embeddings.weight"),
        ("e/position_embeddings/embeddings", "e.position_embeddings.weight"),
        (
            f"{ALBERT_LAYER}/ffn/kernel",
            f"{ALBERT_LAYER.replace('_._', '.').replace('/', '.')}.ffn.weight",
        ),
        (
            "mobilebert/encoder/layer_._0/ffn.1/output/dense/kernel",
            "mobilebert.encoder.layer.0.ffn.1.output.dense.weight",
        ),
        ("mlm___cls/predictions/transform/dense/kernel", "cls.predictions.transform.dense.weight"),
        ("vit/embeddings/cls_token", "vit.embeddings.cls_token"),
        ("resnet/embedder/normalization/moving_mean", "resnet.embedder.normalization.running_mean"),
        (
            "resnet/embedder/normalization/moving_variance",
            "resnet.embedder.normalization.running_var",
        ),
    ],
)
def test_names(name, wanted):
    assert torch_name(name) == torch_name(name, "BertForMaskedLM") == wanted


def test_a_bare_encoder_has_no_prefix():
    assert torch_name("bert/pooler/dense/kernel", "BertModel") == "pooler.dense.weight"


def test_the_encoder_of_t5_is_a_module():
    wanted = "encoder.block.0.layer.0.SelfAttention.q.weight"
    name = "encoder/block_._0/layer_._0/SelfAttention/q/kernel"
    assert torch_name(name, "T5EncoderModel") == wanted
    assert torch_name(f"transformer/{name}", "T5EncoderModel") == wanted
    assert torch_name("shared/shared/embeddings", "T5EncoderModel") == "shared.weight"


@pytest.mark.parametrize(
    ("name", "shape", "axes"),
    [
        ("a/kernel", (4, 9), (1, 0)),
        ("a/kernel", (2, 4, 9), (2, 1, 0)),
        ("a/kernel", (16, 8, 3, 5), (3, 2, 0, 1)),
        ("a/weight", (4, 9), (0, 1)),
        ("a/bias", (4,), (0,)),
    ],
)
def test_order_of_axes(name, shape, axes):
    value = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found = torch_value(name, value)
    np.testing.assert_array_equal(found, value.transpose(axes))
    assert found.flags.c_contiguous


def test_what_pytorch_has_under_two_names():
    bias = np.ones(3, np.float32)
    weights = torch_weights({"predictions/decoder/bias": bias}, "AlbertForMaskedLM")
    assert list(weights) == ["predictions.decoder.bias", "predictions.bias"]
    assert all(value is bias for value in weights.values())
    separable = {"key/bias": bias, "key/depthwise_kernel": np.ones((9, 3, 1), np.float32)}
    found = torch_weights(separable, "ConvBertModel")
    assert {n: v.shape for n, v in found.items()} == {"bias": (3, 1), "depthwise.weight": (3, 1, 9)}


@pytest.mark.parametrize(
    ("name", "theirs", "turned"),
    [
        ("convbert/conv/depthwise_kernel", "convbert.conv.depthwise.weight", True),
        ("funnel/attention/r_kernel", "funnel.attention.r_kernel", False),
        ("bert/pooler/dense/kernel", "bert.pooler.dense.weight", True),
    ],
)
def test_values_turn_with_their_names(name, theirs, turned):
    value = np.zeros((2, 3, 1))
    assert torch_name(name) == theirs
    assert torch_value(name, value).shape == ((1, 3, 2) if turned else (2, 3, 1))
    assert tensorflow_value(name, torch_value(name, value)).shape == value.shape
