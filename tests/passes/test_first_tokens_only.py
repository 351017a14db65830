"""Classifiers compute the first tokens alone behind their last attention."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import (
    assert_computes_the_same,
    calls_of,
    count_ops,
    evaluate,
    heads_of,
    make_encoder,
    make_module,
    random_values,
)
from tolerances import MODEL
from tvm import relax

from tvm_sparse.ir.dims import BATCH, SEQ_LEN
from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.passes import first_tokens_only

pytestmark = pytest.mark.ir

op = relax.op


@pytest.mark.parametrize("block_shape", [None, (4, 1)])
@pytest.mark.parametrize("sizes", [{"batch": 3, "seq_len": 21}, {}], ids=["static", "open"])
def test_what_a_classifier_reads_is_the_same(sizes, block_shape):
    sizes = sizes or {"batch": BATCH, "seq_len": SEQ_LEN}
    mod = make_encoder(classifies=True, width=32, heads=4, **sizes)
    narrow = first_tokens_only.convert(mod)
    products = [tensor_shape(call)[:2] for call in calls_of(narrow, "matmul")]
    whole, one = (sizes["batch"], sizes["seq_len"]), (sizes["batch"], 1)
    # Of two layers: all six of the first, keys and values of the second.
    assert (products.count(whole), products.count(one)) == (8, 4)
    tiled = assert_computes_the_same(
        mod, block_shape, shapes=[(1, 1), (2, 7), (18, 20)], exclude=("pooler",)
    )
    assert count_ops(tiled, "tiled_attention") == count_ops(tiled, "first_token_attention") == 1
    assert count_ops(tiled, "nn.attention_bias") == 0
    if sizes["batch"] is BATCH:
        # The pooler takes as few rows as before, with vectors over its outputs.
        assert count_ops(tiled, "row_dense") >= 1


def test_what_is_read_of_all_tokens_stays():
    mod = make_encoder(num_layers=1)
    assert first_tokens_only.convert(mod) is mod


WIDTH, TOKENS = 24, 6
INPUTS = {"x": (2, TOKENS, WIDTH), "mask": (2, 1, TOKENS, TOKENS)}


def of_mixed_tokens(emit, x, mask, w):
    """A mean over tokens, then a first one."""
    mean = emit(op.mean(x, axis=[1], keepdims=True))
    return emit(op.matmul(emit(op.subtract(x, mean)), w))


def of_keys(emit, x, mask, w):
    """Queries that are keys too."""
    heads = heads_of(emit, x, w)
    context = emit(op.nn.attention(heads, heads, heads))
    return emit(op.reshape(context, (2, TOKENS, WIDTH)))


def of_a_mask_for_each_query(emit, x, mask, w):
    """A mask that is another for each query."""
    q, k, v = (heads_of(emit, x, w) for _ in range(3))
    context = emit(op.nn.attention(q, k, v, bias=mask))
    return emit(op.reshape(context, (2, TOKENS, WIDTH)))


@pytest.mark.parametrize(
    ("body", "name", "tokens"),
    [
        (of_mixed_tokens, "matmul", 1),
        (of_mixed_tokens, "mean", 1),
        (of_keys, "matmul", TOKENS),
        (of_keys, "nn.attention", 1),
        (of_a_mask_for_each_query, "nn.attention_bias", TOKENS),
    ],
)
def test_no_further_than_tokens_go_by_themselves(body, name, tokens):
    def first(emit, *values):
        hidden = body(emit, *values)
        return emit(op.strided_slice(hidden, axes=[1], begin=[0], end=[1]))

    mod = make_module(INPUTS, {"w": (WIDTH, WIDTH)}, first)
    narrow = first_tokens_only.convert(mod)
    assert tensor_shape(calls_of(narrow, name)[0])[1] == tokens
    assert tensor_shape(calls_of(narrow, "strided_slice")[0])[1] == 1
    inputs, params = random_values(mod)
    (found,), (wanted,) = (evaluate(one, params, inputs) for one in (narrow, mod))
    np.testing.assert_allclose(found, wanted, **MODEL)
