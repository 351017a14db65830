"""tile_tokens: projections stacked where they are alike, attention tiled where the kernel can."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from relax_modules import (
    assert_computes_the_same,
    calls_of,
    count_ops,
    evaluate,
    heads_of,
    make_module,
    op_names,
    random_values,
    tile,
)
from tolerances import MODEL
from tvm import relax
from tvm.ir import assert_structural_equal

from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.importers.raising.pipeline import raise_patterns
from tvm_sparse.ir.functions import with_main
from tvm_sparse.kernels.epilogue import Epilogue
from tvm_sparse.kernels.tiling import attention_tile
from tvm_sparse.ops.pack_tokens import PackTokens
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.tiled_attention import TiledAttention
from tvm_sparse.ops.unpack_tokens import UnpackTokens
from tvm_sparse.passes.packed_weights import STACKS
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

op = relax.op
B, S, F, H, D = 2, 5, 24, 3, 8
TARGET = resolve_target()


def attention(emit, x, mask, wq, bq, wk, bk, wv, bv):
    q, k, v = (
        heads_of(emit, x, wq, bq),
        heads_of(emit, x, wk, bk),
        heads_of(emit, x, wv, bv),
    )
    context = emit(op.nn.attention(q, k, v, bias=mask, scale=0.25))
    return op.reshape(context, (B, S, F))


PROJECTIONS = {
    f"{kind}_{which}": (F, F) if kind == "w" else (F,)
    for which in ("query", "key", "value")
    for kind in ("w", "b")
}


def attention_module(mask_shape: tuple[int, ...], body=attention) -> tvm.IRModule:
    names = [f"self/{n.split('_')[1]}/{n.split('_')[0]}" for n in PROJECTIONS]
    weights = dict(zip(names, PROJECTIONS.values(), strict=True))
    return make_module({"x": (B, S, F), "mask": mask_shape}, weights, body)


def test_query_key_and_value_become_one_product():
    layout = choose_layout(B, S, TARGET)
    form = DenseFormat.choose(ProductShape(768, 768, layout), TARGET)
    rows = form.rows
    before = attention_module((B, 1, 1, S))
    inputs, params = random_values(before)
    tiled, packed = tile(before, params)

    def expected(emit, x, mask, b, w):
        data = emit(PackTokens(layout)(x))
        multiply = PackedDense(ProductShape(3 * F, F, layout), Epilogue(bias=True), form)
        product = emit(multiply(data, [w], b))
        flat = emit(op.reshape(mask, (B, S)))
        attend = TiledAttention(
            heads=H,
            head_dim=D,
            value_dim=D,
            offsets=(0, F, 2 * F),
            scale=0.25,
            tile=attention_tile(layout, TARGET),
            layout=layout,
        )
        context = emit(attend(product, product, product, flat))
        return emit(UnpackTokens(layout)(context))

    shapes = {
        "self/{query,key,value}/b.stacked": (3 * F,),
        "self/{query,key,value}/w.packed": (-(-3 * F // rows), F, rows),
    }
    inputs_shapes = {"x": (B, S, F), "mask": (B, 1, 1, S)}
    wanted = make_module(inputs_shapes, shapes, expected)
    stacks = {"self/{query,key,value}/w": [f"self/{n}/w" for n in ("query", "key", "value")]}
    wanted = with_main(wanted, wanted["main"].with_attr(STACKS, stacks))
    assert_structural_equal(tiled, wanted)
    assert list(packed) == list(shapes)
    stacked = [params[f"self/{which}/b"] for which in ("query", "key", "value")]
    np.testing.assert_array_equal(next(iter(packed.values())), np.concatenate(stacked))
    np.testing.assert_allclose(
        evaluate(tiled, packed, inputs)[0], evaluate(before, params, inputs)[0], **MODEL
    )


# -- stacks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("exclude", [(), ("*query*",), ("*query*", "*key*")])
def test_sparse_and_dense_projections_are_stacked_apart(exclude):
    tiled = assert_computes_the_same(attention_module((B, 1, 1, S)), (4, 1), exclude=exclude)
    assert count_ops(tiled, "tiled_sparse_dense") == 1
    assert count_ops(tiled, "packed_dense") == bool(exclude)
    assert count_ops(tiled, "tiled_attention") == 1


def test_only_like_projections_are_stacked():
    """Another bias, another activation, another data: each alone makes a product of its own."""

    def without_bias(emit, x, mask, wq, bq, wk, bk, wv, bv):
        q, k, v = (
            heads_of(emit, x, wq, bq),
            heads_of(emit, x, wk),
            heads_of(emit, x, wv, bv),
        )
        unused = emit(op.add(emit(op.reshape(bk, (1, 1, F))), x))
        context = emit(op.nn.attention(q, k, v, bias=mask))
        return relax.Tuple([emit(op.reshape(context, (B, S, F))), unused])

    def with_tanh(emit, x, mask, wq, bq, wk, bk, wv, bv):
        q, v = heads_of(emit, x, wq, bq), heads_of(emit, x, wv, bv)
        k = emit(op.tanh(emit(op.add(emit(op.matmul(x, wk)), bk))))
        k = emit(op.reshape(k, (B, S, H, D)))
        return op.reshape(emit(op.nn.attention(q, k, v, bias=mask)), (B, S, F))

    def other_data(emit, x, mask, wq, bq, wk, bk, wv, bv):
        y = emit(op.negative(x))
        q, k, v = (
            heads_of(emit, x, wq, bq),
            heads_of(emit, y, wk, bk),
            heads_of(emit, x, wv, bv),
        )
        return op.reshape(emit(op.nn.attention(q, k, v, bias=mask)), (B, S, F))

    for body in (without_bias, with_tanh, other_data):
        tiled = assert_computes_the_same(attention_module((B, 1, 1, S), body))
        assert count_ops(tiled, "packed_dense") == 2, body.__name__
        assert count_ops(tiled, "tiled_attention") == 1


def test_a_projection_that_somebody_else_reads():
    def body(emit, x, mask, wq, bq, wk, bk, wv, bv):
        q, k, v = (
            heads_of(emit, x, wq, bq),
            heads_of(emit, x, wk, bk),
            heads_of(emit, x, wv, bv),
        )
        context = emit(op.nn.attention(q, k, v, bias=mask))
        return relax.Tuple([emit(op.reshape(context, (B, S, F))), k])

    tiled = assert_computes_the_same(attention_module((B, 1, 1, S), body))
    assert count_ops(tiled, "tiled_attention") == 1


def test_one_projection_as_query_and_key():
    def body(emit, x, mask, wq, bq, wk, bk, wv, bv):
        shared, v = heads_of(emit, x, wq, bq), heads_of(emit, x, wv, bv)
        more = heads_of(emit, x, wk, bk)
        context = emit(op.nn.attention(shared, shared, v, bias=mask))
        return relax.Tuple([emit(op.reshape(context, (B, S, F))), more])

    tiled = assert_computes_the_same(attention_module((B, 1, 1, S), body))
    assert count_ops(tiled, "tiled_attention") == 1


def test_one_weight_as_query_and_key():
    def body(emit, x, w, wv):
        q, k, v = heads_of(emit, x, w), heads_of(emit, x, w), heads_of(emit, x, wv)
        return op.nn.attention(q, k, v)

    for block_shape in (None, (2, 2)):
        assert_computes_the_same(
            make_module({"x": (B, S, F)}, {"w": (F, F), "wv": (F, F)}, body), block_shape
        )


# -- attention ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask_shape",
    [(B, 1, 1, S), (1, 1, 1, S), (B, 1, S, S), (1, H, 1, S), (B, H, S, S), (1, H, S, S)],
)
def test_masks(mask_shape):
    tiled = assert_computes_the_same(attention_module(mask_shape))
    assert count_ops(tiled, "tiled_attention") == 1


def test_layers_share_a_bias_that_is_made_once():
    def body(emit, x, mask, table, wq, bq, wk, bk, wv, bv):
        bias = emit(op.broadcast_to(emit(op.add(table, table)), (B, H, S, S)))
        bias = emit(op.add(bias, mask))
        for _ in range(2):
            heads = (heads_of(emit, x, w, b) for w, b in ((wq, bq), (wk, bk), (wv, bv)))
            x = emit(op.reshape(emit(op.nn.attention(*heads, bias=bias)), (B, S, F)))
        return x

    inputs = {"x": (B, S, F), "mask": (B, 1, 1, S), "table": (1, H, S, S)}
    tiled = assert_computes_the_same(make_module(inputs, PROJECTIONS, body))
    assert count_ops(tiled, "tiled_attention") == 2
    assert count_ops(tiled, "nn.pad") == 1


def test_a_weight_as_bias_is_turned_at_compile_time():
    def body(emit, x, bias, wq, wk, wv):
        heads = (heads_of(emit, x, w) for w in (wq, wk, wv))
        return op.nn.attention(*heads, bias=bias)

    weights = {"bias": (1, H, S, S), "wq": (F, F), "wk": (F, F), "wv": (F, F)}
    tiled = assert_computes_the_same(make_module({"x": (B, S, F)}, weights, body))
    assert not {"permute_dims", "nn.pad"} & set(op_names(tiled))


LONG = 70
APART = np.arange(LONG)[:, None] - np.arange(LONG)


def window_of_where(emit, mask):
    wide = emit(op.broadcast_to(mask, (B, 1, LONG, LONG)))
    near = relax.const(np.abs(APART)[None, None] > 9)
    return emit(op.where(near, relax.const(np.float32(-3e38)), wide))


def window_of_booleans(emit, mask):
    kept = emit(op.greater(emit(op.reshape(mask, (B, 1, LONG))), relax.const(-1.0)))
    near = emit(op.logical_and(relax.const((APART <= 5)[None] & (APART >= 0)), kept))
    near = emit(op.reshape(near, (B, 1, LONG, LONG)))
    return emit(op.where(near, relax.const(0.0), relax.const(np.float32(-3e38))))


@pytest.mark.parametrize(
    ("make_bias", "causal", "window"),
    [
        (window_of_where, None, (9, 9)),
        (window_of_booleans, None, (5, 0)),
        (lambda emit, mask: mask, "TopLeft", (-1, 0)),
        (lambda emit, mask: mask, None, (-1, -1)),
    ],
)
def test_windows(make_bias, causal, window):
    def body(emit, x, mask, wq, wk, wv):
        mask = emit(
            op.multiply(
                emit(op.astype(emit(op.less(mask, relax.const(-1.0))), "float32")),
                relax.const(np.float32(-3e38)),
            )
        )
        heads = [heads_of(emit, x, w) for w in (wq, wk, wv)]
        bias = make_bias(emit, mask)
        return op.nn.attention(*heads, bias=bias, causal_mask=causal)

    inputs = {"x": (B, LONG, F), "mask": (B, 1, 1, LONG)}
    weights = {"wq": (F, F), "wk": (F, F), "wv": (F, F)}
    tiled = assert_computes_the_same(make_module(inputs, weights, body))
    (call,) = calls_of(tiled, "tiled_attention")
    assert TiledAttention.of(call).window == window


def test_heads_that_share_keys_and_values():
    def body(emit, x, wq, wk, wv):
        q = heads_of(emit, x, wq, heads=6)
        k, v = heads_of(emit, x, wk, heads=2), heads_of(emit, x, wv, heads=2)
        shared = [emit(op.repeat(operand, 3, axis=2)) for operand in (k, v)]
        return op.nn.attention(q, *shared)

    weights = {"wq": (F, 48), "wk": (F, 16), "wv": (F, 16)}
    tiled = assert_computes_the_same(make_module({"x": (B, S, F)}, weights, body))
    assert count_ops(tiled, "tiled_attention") == 1
    assert count_ops(tiled, "repeat") == 0


def test_attention_without_mask_and_default_scale():
    def body(emit, x, wq, wk, wv):
        q, k, v = heads_of(emit, x, wq), heads_of(emit, x, wk), heads_of(emit, x, wv)
        return op.nn.attention(q, k, v)

    tiled = assert_computes_the_same(
        make_module({"x": (B, S, F)}, {"wq": (F, F), "wk": (F, F), "wv": (F, F)}, body)
    )
    assert count_ops(tiled, "tiled_attention") == 1


@pytest.mark.parametrize("by_repeat", [True, False])
def test_heads_repeated_for_each_are_shared(by_repeat):
    def body(emit, x, wq, wk, wv):
        def repeated(w):
            heads = emit(op.permute_dims(heads_of(emit, x, w, heads=2), [0, 2, 1, 3]))
            if by_repeat:
                whole = emit(op.repeat(heads, 3, axis=1))
            else:
                grown = emit(op.reshape(heads, (B, 2, 1, S, 8)))
                wide = emit(op.broadcast_to(grown, (B, 2, 3, S, 8)))
                whole = emit(op.reshape(wide, (B, 6, S, 8)))
            return emit(op.permute_dims(whole, [0, 2, 1, 3]))

        return op.nn.attention(heads_of(emit, x, wq, heads=6), repeated(wk), repeated(wv))

    weights = {"wq": (F, 48), "wk": (F, 16), "wv": (F, 16)}
    mod = raise_patterns(make_module({"x": (B, S, F)}, weights, body))
    assert count_ops(mod, "repeat") == 2
    assert count_ops(mod, "broadcast_to") == count_ops(mod, "permute_dims") == 0
    tiled = assert_computes_the_same(mod)
    assert count_ops(tiled, "tiled_attention") == 1
    assert count_ops(tiled, "repeat") == 0


def test_attention_over_inputs_and_over_another_sequence():
    """Heads of rows are brought into tiles; with keys of another length the operator stays."""

    def plain(emit, q, k):
        return op.nn.attention(q, k, k)

    def cross(emit, x, y, wq, wk):
        q = emit(op.reshape(emit(op.matmul(x, wq)), (B, S, H, D)))
        k = emit(op.reshape(emit(op.matmul(y, wk)), (B, 9, H, D)))
        return op.nn.attention(q, k, k)

    rows = make_module({"q": (B, S, H, D), "k": (B, S, H, D)}, {}, plain)
    other = make_module({"x": (B, S, F), "y": (B, 9, F)}, {"wq": (F, F), "wk": (F, F)}, cross)
    for mod, count in ((rows, 1), (other, 0)):
        assert count_ops(assert_computes_the_same(mod), "tiled_attention") == count


def test_queries_that_see_no_key_are_zeroed_in_tiles():
    def body(emit, x, seen, wq, wk, wv):
        heads = [heads_of(emit, x, w) for w in (wq, wk, wv)]
        attended = emit(op.nn.attention(*heads))
        attended = emit(op.multiply(attended, seen))
        return op.matmul(emit(op.reshape(attended, (B, S, F))), wq)

    inputs = {"x": (B, S, F), "seen": (B, S, 1, 1)}
    weights = {"wq": (F, F), "wk": (F, F), "wv": (F, F)}
    tiled = assert_computes_the_same(make_module(inputs, weights, body))
    assert count_ops(tiled, "unpack_tokens") == 1
