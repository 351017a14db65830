"""Why the rules of tile_tokens leave a binding alone, each reason once."""

from __future__ import annotations

import pytest
from relax_modules import heads_of, make_module, random_values
from tvm import relax

from tvm_sparse.passes import simplify_fc_transpose, tile_tokens
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

op = relax.op
B, S, F, H, D = 2, 5, 24, 3, 8
INPUTS = {"x": (B, S, F), "row": (1, F), "mask": (B, 1, S, S)}
WEIGHTS = {"w": (F, F), "v_w": (F, F), "gamma": (F,), "beta": (F,)}


def refusals(body) -> list[str]:
    """`body` takes `emit`, INPUTS and WEIGHTS; returns what rules said that are not for rows."""
    mod = make_module(INPUTS, WEIGHTS, body)
    mod, params = simplify_fc_transpose.convert(mod, random_values(mod)[1])
    _, _, refused = tile_tokens.convert(mod, params, resolve_target())
    return [f"{r.rule}: {r.reason}" for r in refused if r.rule != "RowProduct"]


def tiled(emit, x, w):
    return emit(op.nn.relu(emit(op.matmul(x, w))))


def norm_without_scale(emit, x, row, mask, w, v, gamma, beta):
    return op.nn.layer_norm(x, gamma, beta, axes=[-1], scale=False)


def norm_by_a_result(emit, x, row, mask, w, v, gamma, beta):
    return op.nn.layer_norm(x, gamma, emit(op.negative(beta)), axes=[-1])


def addition_of_rows(emit, x, row, mask, w, v, gamma, beta):
    added = emit(op.add(emit(op.exp(x)), x))
    return op.nn.layer_norm(added, gamma, beta, axes=[-1])


def attention_over_other_tokens(emit, x, row, mask, w, v, gamma, beta):
    q = heads_of(emit, x, w)
    k = emit(op.concat([heads_of(emit, x, v), q], axis=1))
    return op.nn.attention(q, k, k)


def attention_with_heads_shared_unlike(emit, x, row, mask, w, v, gamma, beta):
    q, k = heads_of(emit, x, w), heads_of(emit, row, v, heads=1)
    k = emit(op.broadcast_to(emit(op.reshape(k, (1, 1, 1, F))), (B, S, 1, F)))
    k = emit(op.reshape(emit(op.strided_slice(k, [3], [0], [D])), (B, S, 1, D)))
    return op.nn.attention(q, emit(op.repeat(k, H, axis=2)), q)


def reshape_of_tokens(emit, x, row, mask, w, v, gamma, beta):
    return op.reshape(tiled(emit, x, w), (B, S * F))


def sum_with_a_broadcast(emit, x, row, mask, w, v, gamma, beta):
    return op.multiply(tiled(emit, x, w), row)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (norm_without_scale, ["LayerNorm: it does not scale and shift"]),
        (norm_by_a_result, ["LayerNorm: gamma or beta is no weight"]),
        (addition_of_rows, ["AddBeforeNorm: an operand does not lie in token tiles"]),
        (attention_over_other_tokens, ["Attention: queries of 5 tokens, keys of 10"]),
        (
            attention_with_heads_shared_unlike,
            ["Attention: keys and values have different numbers of heads"],
        ),
        (reshape_of_tokens, ["Reshape: shape (2, 120) moves between tokens and features"]),
        (sum_with_a_broadcast, ["Elementwise: an operand of shape (1, 24) is broadcast"]),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_reasons(body, wanted):
    assert refusals(body) == wanted
