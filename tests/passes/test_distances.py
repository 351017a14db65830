"""Disentangled attention: features of distances are read by the kernel, nothing is gathered."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import (
    assert_computes_the_same,
    calls_of,
    count_ops,
    evaluate,
    heads_of,
    make_module,
    random_values,
    tile,
)
from tolerances import MODEL
from tvm import relax

from tvm_sparse.importers.raising.pipeline import raise_patterns
from tvm_sparse.ops.tiled_attention import TiledAttention
from tvm_sparse.passes import fold_weights

pytestmark = pytest.mark.ir

op = relax.op
B, S, F, H, D, PLACES = 2, 21, 24, 3, 8, 16
APART = np.arange(S)[:, None] - np.arange(S)
INDEX = np.clip(APART + PLACES // 2, 0, PLACES - 1).astype(np.int32)
ANYWHERE = np.random.default_rng(0).integers(0, PLACES, (S, S)).astype(np.int32)
WEIGHTS = {"wq": (F, F), "wk": (F, F), "wv": (F, F), "pos": (H, D, PLACES), "back": (H, D, PLACES)}


def scores(emit, heads, weight, index, turned):
    """(B, H, S, S): of queries or keys with features of distances."""
    rows = emit(op.permute_dims(heads, [0, 2, 1, 3]))
    whole = np.broadcast_to(index.T if turned else index, (B, H, S, S)).copy()
    found = emit(op.gather_elements(emit(op.matmul(rows, weight)), relax.const(whole), 3))
    found = emit(op.permute_dims(found, [0, 1, 3, 2])) if turned else found
    return emit(op.divide(found, relax.const(4.0)))


@pytest.mark.parametrize(
    ("index", "turned", "wanted"),
    [
        (INDEX, (False, True), (True, True)),
        (INDEX, (False,), (True, False)),
        (INDEX, (True,), (False, True)),
        (ANYWHERE, (False,), (False, False)),
    ],
)
def test_pairs_as_far_apart_share_features(index, turned, wanted):
    def body(emit, x, wq, wk, wv, pos, back):
        q, k, v = (heads_of(emit, x, w) for w in (wq, wk, wv))
        terms = [
            scores(emit, k if side else q, back if side else pos, index, side) for side in turned
        ]
        bias = terms[0] if len(terms) == 1 else emit(op.add(*terms))
        return op.nn.attention(q, k, v, bias=bias, scale=0.2)

    tiled = assert_computes_the_same(make_module({"x": (B, S, F)}, WEIGHTS, body))
    (call,) = calls_of(tiled, "tiled_attention")
    attend = TiledAttention.of(call)
    assert (attend.to_position, attend.from_position) == wanted
    assert count_ops(tiled, "gather_elements") == (len(turned) if index is ANYWHERE else 0)


@pytest.mark.parametrize("batch", [1, 2])
def test_attention_of_merged_heads_is_raised(batch):
    """As DeBERTa writes it: batch and heads are one axis, and a mask replaces scores."""
    B = batch

    def body(emit, x, mask, wq, wk, wv, pos, back):
        def merged(w):
            heads = emit(op.permute_dims(heads_of(emit, x, w), [0, 2, 1, 3]))
            return emit(op.reshape(heads, (B * H, S, D)))

        q, k, v = map(merged, (wq, wk, wv))
        turned = emit(op.divide(emit(op.permute_dims(k, [0, 2, 1])), relax.const(5.0)))
        places = np.broadcast_to(INDEX, (B * H, S, S)).copy()
        repeated = pos if B == 1 else emit(op.tile(pos, [B, 1, 1]))
        all_places = emit(op.matmul(q, repeated))
        gathered = emit(op.gather_elements(all_places, relax.const(places), 2))
        total = emit(op.add(emit(op.matmul(q, turned)), gathered))
        total = emit(op.reshape(total, (B, H, S, S)))
        hidden = emit(op.less(mask, relax.const(0.0)))
        total = emit(op.where(hidden, relax.const(np.float32(-3.4e38)), total))
        weights = emit(op.reshape(emit(op.nn.softmax(total, 3)), (B * H, S, S)))
        context = emit(op.reshape(emit(op.matmul(weights, v)), (B, H, S, D)))
        return op.reshape(emit(op.permute_dims(context, [0, 2, 1, 3])), (B, S, F))

    mod = make_module({"x": (B, S, F), "mask": (B, 1, S, S)}, WEIGHTS, body)
    raised = raise_patterns(mod)
    assert count_ops(raised, "nn.attention_bias") == 1
    assert count_ops(raised, "nn.softmax") == 0
    inputs, params = random_values(mod)
    inputs["mask"][..., 0] = 1  # each query sees a key
    wanted = evaluate(mod, params, inputs)[0]
    params = {
        name: params[name] for name in (v.name for v in raised["main"].params) if name in params
    }
    np.testing.assert_allclose(evaluate(raised, params, inputs)[0], wanted, **MODEL)
    (call,) = calls_of(tile(raised, params)[0], "tiled_attention")
    assert TiledAttention.of(call).to_position == (B == 1)


def test_products_of_weights_are_computed_once():
    def body(emit, x, table, gamma, beta, w, b):
        normal = emit(op.nn.layer_norm(table, gamma, beta, axes=[-1]))
        places = emit(op.add(emit(op.matmul(normal, emit(op.permute_dims(w)))), b))
        heads = emit(op.permute_dims(emit(op.reshape(places, (5, H, D))), [1, 2, 0]))
        return op.matmul(
            emit(op.matmul(x, emit(op.permute_dims(w)))), emit(op.reshape(heads, (F, 5)))
        )

    weights = {"table": (5, F), "gamma": (F,), "beta": (F,), "a/w": (F, F), "b": (F,)}
    mod = make_module({"x": (B, S, F)}, weights, body)
    inputs, params = random_values(mod)
    folded, values = fold_weights.convert(mod, params)
    relax.analysis.well_formed(folded)
    assert list(values) == ["a/w", "a/w.folded"]
    assert count_ops(folded, "matmul") == 2
    np.testing.assert_allclose(
        evaluate(folded, values, inputs)[0], evaluate(mod, params, inputs)[0], **MODEL
    )
    again, same = fold_weights.convert(folded, values)
    assert again.same_as(folded)
    assert list(same) == list(values)
