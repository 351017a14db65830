"""Attention of any length: what is added to scores by distance is a table, for all lengths one."""

from __future__ import annotations

import numpy as np
import pytest
from open_builds import Arrays
from relax_modules import (
    MOST_TOKENS,
    assert_computes_the_same,
    calls_of,
    heads_of,
    make_module,
    op_names,
    random_values,
    tile,
)
from tvm import relax

from tvm_sparse.ir.dims import BATCH, SEQ_LEN
from tvm_sparse.ops.tiled_attention import TiledAttention
from tvm_sparse.passes.distance_bias import by_distance, packed_table, window
from tvm_sparse.passes.tile_tokens import MIXES_TOKENS

pytestmark = pytest.mark.ir

op = relax.op
F, H, BUCKETS = 24, 3, 16
INPUTS = {"x": (BATCH, SEQ_LEN, F), "mask_ids": (BATCH, SEQ_LEN)}
WEIGHTS = {"w": (F, F), "k_w": (F, F), "relative": (BUCKETS, H)}
SHAPES = [(1, 1), (3, 7), (2, 33), (1, MOST_TOKENS)]
LOWEST = float(np.finfo(np.float32).min)
_POSITION = np.arange(MOST_TOKENS)
#: How far a key is behind its query.
AHEAD = _POSITION - _POSITION[:, None]


def front(emit, array: np.ndarray, axes: int = 2):
    """The part of a constant of all lengths that a run has."""
    last = list(range(array.ndim - axes, array.ndim))
    bounds = {"begin": [0] * axes, "end": [SEQ_LEN] * axes}
    return emit(op.strided_slice(relax.const(array), axes=last, assume_inbound=True, **bounds))


def attend(emit, x, w, k_w, bias):
    query, key = heads_of(emit, x, w), heads_of(emit, x, k_w)
    attended = emit(op.nn.attention(query, key, key, bias=bias))
    return op.matmul(emit(op.reshape(attended, (BATCH, SEQ_LEN, F))), w)


def padding(emit, mask):
    kept = emit(op.not_equal(mask, relax.const(0, "int32")))
    return emit(op.reshape(kept, (BATCH, 1, 1, SEQ_LEN)))


def relative_positions(emit, x, mask, w, k_w, relative):
    buckets = np.clip(AHEAD + BUCKETS // 2, 0, BUCKETS - 1).astype(np.int32)
    rows = emit(op.take(relative, front(emit, buckets), 0, mode="clip"))
    turned = emit(op.expand_dims(emit(op.permute_dims(rows, [2, 0, 1])), 0))
    hidden = op.where(padding(emit, mask), relax.const(0.0), relax.const(LOWEST))
    return attend(emit, x, w, k_w, emit(op.add(turned, emit(hidden))))


def a_window(emit, x, mask, w, k_w, relative):
    near = front(emit, (np.abs(AHEAD) > 4)[None, None])
    hidden = op.where(padding(emit, mask), relax.const(0.0), relax.const(LOWEST))
    bias = emit(op.where(near, relax.const(LOWEST), emit(hidden)))
    return attend(emit, x, w, k_w, bias)


def causal(emit, x, mask, w, k_w, relative):
    before = front(emit, (AHEAD <= 0)[None, None])
    kept = emit(op.logical_and(before, padding(emit, mask)))
    bias = emit(op.where(kept, relax.const(0.0), relax.const(LOWEST)))
    query, key = heads_of(emit, x, w), heads_of(emit, x, k_w)
    attended = emit(op.nn.attention(query, key, key, bias=bias))
    seeing = emit(op.max(emit(op.astype(kept, "float32")), 3, keepdims=True))
    attended = emit(op.multiply(attended, emit(op.permute_dims(seeing, [0, 2, 1, 3]))))
    return op.matmul(emit(op.reshape(attended, (BATCH, SEQ_LEN, F))), w)


@pytest.mark.parametrize(
    ("body", "bounds"),
    [(relative_positions, (-1, -1)), (a_window, (4, 4)), (causal, (-1, 0))],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_one_kernel_for_all_lengths(body, bounds) -> None:
    mod = make_module(INPUTS, WEIGHTS, lambda *args: relax.Tuple([args[0](body(*args))]))
    tiled = assert_computes_the_same(mod, shapes=SHAPES)
    (call,) = calls_of(tiled, "tiled_attention")
    attention = TiledAttention.of(call)
    assert attention.window == bounds
    assert attention.reach == MOST_TOKENS
    assert not tiled["main"].attrs[MIXES_TOKENS]
    assert "max" not in op_names(tiled)


def by_place(emit, x, mask, w, k_w, relative):
    """What depends on where the query is, and not on its distance alone."""
    bias = front(emit, np.outer(_POSITION, _POSITION).astype(np.float32)[None, None])
    return attend(emit, x, w, k_w, bias)


def test_what_is_no_function_of_distance_stays_in_rows() -> None:
    mod = make_module(INPUTS, WEIGHTS, lambda *args: relax.Tuple([args[0](by_place(*args))]))
    tiled, _ = tile(mod, random_values(mod)[1])
    assert "nn.attention_bias" in op_names(tiled)
    assert tiled["main"].attrs[MIXES_TOKENS] == "nn.attention_bias"


def test_tables_of_distances() -> None:
    bias = np.arange(3)[:, None, None] * (AHEAD == 1).astype(np.float32)
    table = by_distance([bias[None], np.zeros((1, 1, 1, 1), np.float32)])
    assert table is not None
    assert table.shape == (3, 2 * MOST_TOKENS - 1)
    # A key behind the query is at a negative distance.
    assert np.argwhere(table).tolist() == [[1, MOST_TOKENS - 2], [2, MOST_TOKENS - 2]]
    assert packed_table(table, 64, 16)[2, 63] == 2
    hidden = np.where(AHEAD > 2, LOWEST, 0).astype(np.float32)[None, None]
    found: Arrays = {"table": by_distance([hidden])}
    assert window(found["table"], 0.05) == (-1, 2)
    assert window(by_distance([0 * hidden]), 0.05) == (-1, -1)
    assert by_distance([np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)]) is None
