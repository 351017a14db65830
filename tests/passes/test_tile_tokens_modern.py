"""Rotary embeddings, RMS norms and gated units stay in token tiles; so do slices of products."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import (
    assert_computes_the_same,
    count_ops,
    make_module,
    op_names,
    random_values,
    tile,
)
from tvm import relax

pytestmark = pytest.mark.ir

op = relax.op
B, S, F, H, D = 2, 5, 24, 3, 8


def turned(emit, x, interleaved):
    """-x[half:], x[:half], or neighbours that have changed places."""
    size = D // 2
    if not interleaved:
        first = emit(op.strided_slice(x, [3], [0], [size]))
        second = emit(op.negative(emit(op.strided_slice(x, [3], [size], [D]))))
        return emit(op.concat([second, first], axis=3))
    shape = [*map(int, x.ty.shape.values[:3]), size]
    first = emit(op.strided_slice(x, [3], [0], [D], [2]))
    second = emit(op.negative(emit(op.strided_slice(x, [3], [1], [D], [2]))))
    parts = [emit(op.reshape(part, (*shape, 1))) for part in (second, first)]
    stack = emit(op.concat(parts, axis=4))
    return emit(op.reshape(stack, (*shape[:3], D)))


def rotated(emit, x, tables, interleaved=False):
    cos, sin = tables
    kept = emit(op.multiply(x, cos))
    return emit(op.add(kept, emit(op.multiply(turned(emit, x, interleaved), sin))))


def constant_tables():
    angles = np.arange(S)[:, None] * np.linspace(0.1, 1, D)
    return [relax.const(f(angles)[None, :, None].astype("float32")) for f in (np.cos, np.sin)]


def layer(interleaved, tables=None):
    def body(emit, *args):
        x, given, w, v, u, gamma, head, gate, up, down = (
            args if len(args) == 10 else (args[0], None, *args[1:])
        )
        angles = tables or [emit(op.cos(given)), emit(op.sin(given))]
        normed = emit(op.nn.rms_norm(x, gamma, axes=[-1], epsilon=1e-5))

        def heads(weight):
            return emit(op.reshape(emit(op.matmul(normed, weight)), (B, S, H, D)))

        q = emit(op.nn.rms_norm(heads(w), head, axes=[-1], epsilon=1e-5))
        q, k = (rotated(emit, one, angles, interleaved) for one in (q, heads(v)))
        mixed = emit(op.nn.attention(q, k, heads(u)))
        x = emit(op.add(emit(op.reshape(mixed, (B, S, F))), x))
        inner = emit(op.nn.silu(emit(op.matmul(x, gate))))
        inner = emit(op.multiply(inner, emit(op.matmul(x, up))))
        return op.add(emit(op.matmul(inner, down)), x)

    return body


WEIGHTS = {
    "w": (F, F),
    "v_w": (F, F),
    "u_w": (F, F),
    "gamma": (F,),
    "head": (D,),
    "gate_w": (F, 2 * F),
    "up_w": (F, 2 * F),
    "down_w": (2 * F, F),
}


@pytest.mark.parametrize(("interleaved", "batch"), [(False, 0), (True, 1), (False, B)])
def test_a_layer_of_a_newer_encoder_leaves_its_tiles_once(interleaved, batch):
    """The angles are constants (0), one row for all sequences, or of each."""
    inputs = {"x": (B, S, F)} | ({"angles": (batch, S, 1, D)} if batch else {})
    tables = None if batch else constant_tables()
    mod = make_module(inputs, WEIGHTS, layer(interleaved, tables))
    tiled = assert_computes_the_same(mod)
    assert op_names(tiled).count("unpack_tokens") == 1
    counts = [count_ops(tiled, n) for n in ("tiled_rms_norm", "tiled_rotation", "gated_unit")]
    assert counts == [2, 2, 1]
    # Q, K and V are one product, gate and up another.
    assert count_ops(tiled, "packed_dense") == 3
    if not batch:
        _, params = random_values(mod)
        again, _ = tile(mod, params)
        calls = [b.value for block in again["main"].body.blocks for b in block.bindings]
        turns = [c for c in calls if getattr(getattr(c, "op", None), "name", "").endswith("tion")]
        first, second = (c for c in turns if "rotation" in c.op.name)
        assert first.args[1].same_as(second.args[1])  # equal constants are one


def test_a_sparse_layer():
    mod = make_module({"x": (B, S, F)}, WEIGHTS, layer(False, constant_tables()))
    tiled = assert_computes_the_same(mod, (4, 1))
    assert count_ops(tiled, "tiled_sparse_dense") == 3
    assert count_ops(tiled, "gated_unit") == 1


def test_what_is_cut_out_of_a_product_stays_there():
    def body(emit, x, w, gamma, beta):
        product = emit(op.matmul(x, w))
        parts = [emit(op.strided_slice(product, [2], [at], [at + F])) for at in (0, F)]
        gated = emit(op.multiply(emit(op.nn.gelu(parts[0])), parts[1]))
        return op.nn.layer_norm(gated, gamma, beta, axes=[-1])

    mod = make_module({"x": (B, S, F)}, {"w": (F, 2 * F), "gamma": (F,), "beta": (F,)}, body)
    names = op_names(assert_computes_the_same(mod))
    assert "strided_slice" not in names
    assert names.count("gated_unit") == 1


def test_parts_that_something_else_reads_too():
    """A cut that leaves, a gate whose activation is read twice, halves of heads that are."""

    def body(emit, x, w, v, gate, up):
        wide = emit(op.matmul(x, w))
        cut = emit(op.strided_slice(wide, [2], [F], [2 * F]))
        activated = emit(op.nn.silu(emit(op.matmul(x, gate))))
        gated = emit(op.multiply(activated, emit(op.matmul(x, up))))
        heads = emit(op.reshape(emit(op.matmul(x, v)), (B, S, H, D)))
        first = emit(op.strided_slice(heads, [3], [0], [4]))
        second = emit(op.negative(emit(op.strided_slice(heads, [3], [4], [D]))))
        kept = emit(op.multiply(heads, tables[0]))
        partner = emit(op.concat([second, first], axis=3))
        turn = emit(op.add(kept, emit(op.multiply(partner, tables[1]))))
        return relax.Tuple([cut, gated, activated, turn, first])

    tables = constant_tables()
    weights = {"w": (F, 3 * F), "v_w": (F, F), "gate_w": (F, F), "up_w": (F, F)}
    tiled = assert_computes_the_same(make_module({"x": (B, S, F)}, weights, body))
    assert count_ops(tiled, "gated_unit") == count_ops(tiled, "tiled_rotation") == 0
