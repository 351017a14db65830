"""tile_tokens: what moves onto token tiles, what stays, and that both compute the same."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from relax_modules import (
    assert_computes_the_same,
    evaluate,
    make_module,
    op_names,
    random_values,
    tile,
)
from tolerances import MODEL
from tvm import relax
from tvm.ir import assert_structural_equal

from tvm_sparse.errors import PassError
from tvm_sparse.kernels import relax_ops
from tvm_sparse.kernels.packed_dense import pack_dense
from tvm_sparse.kernels.tiling import choose_layout, dense_rows
from tvm_sparse.passes import tile_tokens
from tvm_sparse.passes.dense_chains import op_name
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

op = relax.op
B, S, F, H, D = 2, 5, 24, 3, 8
TARGET = resolve_target()


def tiled_op_count(mod: tvm.IRModule, name: str) -> int:
    return op_names(mod).count(name)


# -- Before and Expected --------------------------------------------------------------------------


def feed_forward(emit, x, wi, bi, wo, bo, gamma, beta):
    inner = emit(op.nn.gelu(emit(op.add(emit(op.matmul(x, wi)), bi))))
    outer = emit(op.add(emit(op.matmul(inner, wo)), bo))
    return op.nn.layer_norm(emit(op.add(outer, x)), gamma, beta, axes=[-1], epsilon=1e-5)


FEED_FORWARD = make_module(
    {"x": (B, S, F)},
    {"wi": (F, 48), "bi": (48,), "wo": (48, F), "bo": (F,), "gamma": (F,), "beta": (F,)},
    feed_forward,
)


def test_a_feed_forward_block_becomes_three_kernels():
    layout = choose_layout(B, S, TARGET)
    rows = dense_rows(layout, TARGET)
    inputs, params = random_values(FEED_FORWARD)
    tiled, packed = tile(FEED_FORWARD, params)

    def expected(emit, x, bi, wi, bo, wo, gamma, beta):
        data = emit(relax_ops.pack_tokens(x, layout))
        inner = emit(
            relax_ops.packed_dense(data, wi, bi, None, units=48, activation="gelu", layout=layout)
        )
        outer = emit(
            relax_ops.packed_dense(inner, wo, bo, data, units=F, activation="none", layout=layout)
        )
        norm = emit(
            relax_ops.tiled_layer_norm(outer, gamma, beta, None, epsilon=1e-5, layout=layout)
        )
        return emit(relax_ops.unpack_tokens(norm, layout))

    shapes = {
        "bi": (48,),
        "wi.packed": (-(-48 // rows), F, rows),
        "bo": (F,),
        "wo.packed": (-(-F // rows), 48, rows),
        "gamma": (F,),
        "beta": (F,),
    }
    assert_structural_equal(tiled, make_module({"x": (B, S, F)}, shapes, expected))
    assert list(packed) == list(shapes)
    np.testing.assert_array_equal(packed["wi.packed"], pack_dense(params["wi"].T, rows))
    np.testing.assert_allclose(
        evaluate(tiled, packed, inputs)[0], evaluate(FEED_FORWARD, params, inputs)[0], **MODEL
    )


def heads_of(emit, x, w, b=None):
    product = emit(op.matmul(x, w))
    if b is not None:
        product = emit(op.add(product, b))
    return emit(op.reshape(product, (B, S, H, D)))


def attention(emit, x, mask, wq, bq, wk, bk, wv, bv):
    q, k, v = heads_of(emit, x, wq, bq), heads_of(emit, x, wk, bk), heads_of(emit, x, wv, bv)
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
    rows = dense_rows(layout, TARGET)
    before = attention_module((B, 1, 1, S))
    inputs, params = random_values(before)
    tiled, packed = tile(before, params)

    def expected(emit, x, mask, b, w):
        data = emit(relax_ops.pack_tokens(x, layout))
        product = emit(
            relax_ops.packed_dense(data, w, b, None, units=3 * F, activation="none", layout=layout)
        )
        flat = emit(op.reshape(mask, (B, S)))
        context = emit(
            relax_ops.tiled_attention(
                (product, product, product),
                flat,
                heads=H,
                head_dim=D,
                value_dim=D,
                offsets=(0, F, 2 * F),
                scale=0.25,
                rows=attention_rows(tiled),
                layout=layout,
            )
        )
        return emit(relax_ops.unpack_tokens(context, layout))

    shapes = {
        "self/{query,key,value}/b.stacked": (3 * F,),
        "self/{query,key,value}/w.packed": (-(-3 * F // rows), F, rows),
    }
    inputs_shapes = {"x": (B, S, F), "mask": (B, 1, 1, S)}
    assert_structural_equal(tiled, make_module(inputs_shapes, shapes, expected))
    assert list(packed) == list(shapes)
    stacked = [params[f"self/{which}/b"] for which in ("query", "key", "value")]
    np.testing.assert_array_equal(next(iter(packed.values())), np.concatenate(stacked))
    np.testing.assert_allclose(
        evaluate(tiled, packed, inputs)[0], evaluate(before, params, inputs)[0], **MODEL
    )


def attention_rows(mod: tvm.IRModule) -> int:
    """How many rows the kernel accumulates is a matter of tuning."""
    (block,) = mod["main"].body.blocks
    (call,) = (b.value for b in block.bindings if op_name(b.value) == "tvm_sparse.tiled_attention")
    return int(call.attrs["rows"])


# -- what the caller owns -------------------------------------------------------------------------


def test_inputs_are_unchanged():
    _, params = random_values(FEED_FORWARD)
    copies = {name: value.copy() for name, value in params.items()}
    text = FEED_FORWARD.script()
    tiled, packed = tile_tokens.convert(FEED_FORWARD, params, TARGET)
    assert tiled is not FEED_FORWARD
    assert packed is not params
    assert FEED_FORWARD.script() == text
    assert list(params) == list(copies)
    for name, value in copies.items():
        np.testing.assert_array_equal(params[name], value)


def test_other_functions_and_attributes_are_kept():
    _, params = random_values(FEED_FORWARD)
    other = make_module({"x": (3,)}, {}, lambda emit, x: op.negative(x))["main"]
    mod = tvm.IRModule({"main": FEED_FORWARD["main"], "other": other}, attrs={"mark": "kept"})
    tiled, _ = tile_tokens.convert(mod, params, TARGET)
    assert_structural_equal(tiled["other"], other)
    assert tiled.attrs["mark"] == "kept"


def test_a_module_without_main_is_refused():
    other = make_module({"x": (3,)}, {}, lambda emit, x: op.negative(x))["main"]
    with pytest.raises(PassError, match="a Relax function 'main' is needed"):
        tile_tokens.convert(tvm.IRModule({"other": other}), {}, TARGET)


def test_a_weight_nobody_reads_is_not_bound():
    mod = make_module(
        {"x": (B, S, F)}, {"w": (F, F), "unused": (F, F)}, lambda emit, x, w, u: op.matmul(x, w)
    )
    _, params = random_values(mod)
    _, packed = tile(mod, params)
    assert list(packed) == ["w.packed"]


def test_inputs_nobody_reads_stay_in_the_signature():
    mod = make_module(
        {"x": (B, S, F), "token_type_ids": (B, S)},
        {"w": (F, F)},
        lambda emit, x, ids, w: op.matmul(x, w),
    )
    tiled = assert_computes_the_same(mod)
    assert [var.name for var in tiled["main"].params] == ["x", "token_type_ids", "w.packed"]


# -- shared weights -------------------------------------------------------------------------------


@pytest.mark.parametrize("block_shape", [None, (4, 1)])
def test_a_weight_of_two_layers_is_packed_once(block_shape):
    def body(emit, x, w, b):
        for _ in range(2):
            x = emit(op.nn.gelu(emit(op.add(emit(op.matmul(x, w)), b))))
        return x

    mod = make_module({"x": (B, S, F)}, {"w": (F, F), "b": (F,)}, body)
    tiled = assert_computes_the_same(mod, block_shape)
    names = [var.name for var in tiled["main"].params][1:]
    if block_shape is None:
        assert names == ["b", "w.packed"]
    else:
        assert names == ["b", "w.data", "w.indices", "w.indptr"]


@pytest.mark.parametrize("block_shape", [None, (1, 1), (4, 1), (8, 1)], ids=str)
def test_a_weight_of_layers_on_few_and_many_tokens(block_shape):
    """The packing fits one of the two layouts; the other layer must still be right."""

    def body(emit, x, w):
        every = emit(op.matmul(x, w))
        first = emit(op.strided_slice(x, axes=[1], begin=[0], end=[1]))
        return relax.Tuple([every, emit(op.matmul(first, w))])

    # An odd number of blocks a row: packed in pairs for one of them, one by one for the other.
    mod = make_module({"x": (1, 128, F - 1)}, {"w": (F - 1, F)}, body)
    assert_computes_the_same(mod, block_shape)


def test_a_tied_embedding_is_read_both_ways():
    def body(emit, ids, table, w):
        x = emit(op.take(table, ids, axis=0, mode="clip"))
        hidden = emit(op.matmul(x, w))
        return op.matmul(hidden, emit(op.permute_dims(table)))

    tiled = assert_computes_the_same(
        make_module({"input_ids": (B, S)}, {"table_w": (16, F), "w": (F, F)}, body)
    )
    assert [v.name for v in tiled["main"].params][1:] == ["table_w", "w.packed", "table_w.packed"]


# -- stacks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("exclude", [(), ("*query*",), ("*query*", "*key*")])
def test_sparse_and_dense_projections_are_stacked_apart(exclude):
    tiled = assert_computes_the_same(attention_module((B, 1, 1, S)), (4, 1), exclude=exclude)
    assert tiled_op_count(tiled, "tiled_sparse_dense") == 1
    assert tiled_op_count(tiled, "packed_dense") == bool(exclude)
    assert tiled_op_count(tiled, "tiled_attention") == 1


def test_only_like_projections_are_stacked():
    """Another bias, another activation, another data: each alone makes a product of its own."""

    def without_bias(emit, x, mask, wq, bq, wk, bk, wv, bv):
        q, k, v = heads_of(emit, x, wq, bq), heads_of(emit, x, wk), heads_of(emit, x, wv, bv)
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
        q, k, v = heads_of(emit, x, wq, bq), heads_of(emit, y, wk, bk), heads_of(emit, x, wv, bv)
        return op.reshape(emit(op.nn.attention(q, k, v, bias=mask)), (B, S, F))

    for body in (without_bias, with_tanh, other_data):
        tiled = assert_computes_the_same(attention_module((B, 1, 1, S), body))
        assert tiled_op_count(tiled, "packed_dense") == 2, body.__name__
        assert tiled_op_count(tiled, "tiled_attention") == 1


def test_a_projection_that_somebody_else_reads():
    def body(emit, x, mask, wq, bq, wk, bk, wv, bv):
        q, k, v = heads_of(emit, x, wq, bq), heads_of(emit, x, wk, bk), heads_of(emit, x, wv, bv)
        context = emit(op.nn.attention(q, k, v, bias=mask))
        return relax.Tuple([emit(op.reshape(context, (B, S, F))), k])

    tiled = assert_computes_the_same(attention_module((B, 1, 1, S), body))
    assert tiled_op_count(tiled, "tiled_attention") == 1


def test_one_projection_as_query_and_key():
    def body(emit, x, mask, wq, bq, wk, bk, wv, bv):
        shared, v = heads_of(emit, x, wq, bq), heads_of(emit, x, wv, bv)
        more = heads_of(emit, x, wk, bk)
        context = emit(op.nn.attention(shared, shared, v, bias=mask))
        return relax.Tuple([emit(op.reshape(context, (B, S, F))), more])

    tiled = assert_computes_the_same(attention_module((B, 1, 1, S), body))
    assert tiled_op_count(tiled, "tiled_attention") == 1


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
    ("mask_shape", "tiled_attention"),
    [
        ((B, 1, 1, S), True),
        ((1, 1, 1, S), True),
        ((B, 1, S, S), False),
        ((1, H, 1, S), False),
        ((B, H, S, S), False),
    ],
)
def test_masks(mask_shape, tiled_attention):
    tiled = assert_computes_the_same(attention_module(mask_shape))
    assert tiled_op_count(tiled, "tiled_attention") == tiled_attention


def test_a_causal_mask_is_left_alone():
    def body(emit, x, mask, wq, bq, wk, bk, wv, bv):
        q, k, v = heads_of(emit, x, wq, bq), heads_of(emit, x, wk, bk), heads_of(emit, x, wv, bv)
        return op.nn.attention(q, k, v, bias=mask, causal_mask="TopLeft")

    tiled = assert_computes_the_same(attention_module((B, 1, 1, S), body))
    assert tiled_op_count(tiled, "tiled_attention") == 0


def test_attention_without_mask_and_default_scale():
    def body(emit, x, wq, wk, wv):
        q, k, v = heads_of(emit, x, wq), heads_of(emit, x, wk), heads_of(emit, x, wv)
        return op.nn.attention(q, k, v)

    tiled = assert_computes_the_same(
        make_module({"x": (B, S, F)}, {"wq": (F, F), "wk": (F, F), "wv": (F, F)}, body)
    )
    assert tiled_op_count(tiled, "tiled_attention") == 1


def test_attention_over_inputs_and_over_another_sequence():
    """Nothing tiled to start from, and keys of another length: the generic operator stays."""

    def plain(emit, q, k):
        return op.nn.attention(q, k, k)

    def cross(emit, x, y, wq, wk):
        q = emit(op.reshape(emit(op.matmul(x, wq)), (B, S, H, D)))
        k = emit(op.reshape(emit(op.matmul(y, wk)), (B, 9, H, D)))
        return op.nn.attention(q, k, k)

    for mod in (
        make_module({"q": (B, S, H, D), "k": (B, S, H, D)}, {}, plain),
        make_module({"x": (B, S, F), "y": (B, 9, F)}, {"wq": (F, F), "wk": (F, F)}, cross),
    ):
        assert tiled_op_count(assert_computes_the_same(mod), "tiled_attention") == 0


# -- residuals and norms --------------------------------------------------------------------------


def test_two_products_feed_one_addition():
    def body(emit, x, y, w1, b1, w2, b2):
        first = emit(op.add(emit(op.matmul(x, w1)), b1))
        second = emit(op.add(emit(op.matmul(y, w2)), b2))
        return op.add(first, second)

    tiled = assert_computes_the_same(
        make_module(
            {"x": (B, S, F), "y": (B, S, F)},
            {"w1": (F, F), "b1": (F,), "w2": (F, F), "b2": (F,)},
            body,
        )
    )
    assert "add" not in op_names(tiled)


def test_a_product_used_twice_is_computed_once():
    def body(emit, x, w, b):
        product = emit(op.add(emit(op.matmul(x, w)), b))
        twice = emit(op.add(product, product))
        return relax.Tuple([emit(op.nn.gelu(product)), emit(op.nn.relu(twice)), product])

    tiled = assert_computes_the_same(make_module({"x": (B, S, F)}, {"w": (F, F), "b": (F,)}, body))
    assert tiled_op_count(tiled, "packed_dense") == 1


def test_an_output_inside_a_chain_ends_it():
    def body(emit, x, w, b):
        product = emit(op.matmul(x, w))
        biased = emit(op.add(product, b))
        return relax.Tuple([product, biased, emit(op.nn.gelu(biased)), product])

    assert_computes_the_same(make_module({"x": (B, S, F)}, {"w": (F, F), "b": (F,)}, body))


def test_a_reader_inside_a_tuple_counts():
    def body(emit, x, w, b):
        product = emit(op.matmul(x, w))
        return relax.Tuple([emit(op.add(product, b)), emit(op.concat([product, x], axis=-1))])

    assert_computes_the_same(make_module({"x": (B, S, F)}, {"w": (F, F), "b": (F,)}, body))


def test_only_weights_are_biases_and_weights():
    def body(emit, x, vector, matrix, w):
        product = emit(op.matmul(x, emit(op.permute_dims(matrix))))
        return op.matmul(emit(op.add(product, vector)), w)

    inputs = {"x": (B, S, F), "vector": (F,), "matrix": (F, F)}
    tiled = assert_computes_the_same(make_module(inputs, {"w": (F, F)}, body))
    assert tiled_op_count(tiled, "packed_dense") == 1


def test_a_residual_in_another_shape_of_the_same_tokens():
    def body(emit, x, other, w):
        first = emit(op.reshape(emit(op.matmul(x, w)), (B * S, F)))
        return op.add(emit(op.matmul(first, w)), emit(op.nn.gelu(other)))

    assert_computes_the_same(
        make_module({"x": (B, S, F), "other": (B * S, F)}, {"w": (F, F)}, body)
    )


def two_results(emit, x, w1, w2):
    """Two tiled results that no product can add."""
    first = emit(op.nn.gelu(emit(op.matmul(x, w1))))
    second = emit(op.multiply(first, emit(op.nn.relu(emit(op.matmul(first, w2))))))
    return first, second


def test_an_addition_moves_into_the_layer_norm_that_alone_reads_it():
    def body(emit, x, w1, w2, gamma, beta):
        added = emit(op.add(*two_results(emit, x, w1, w2)))
        return op.nn.layer_norm(added, gamma, beta, axes=[-1])

    weights = {"w1": (F, F), "w2": (F, F), "gamma": (F,), "beta": (F,)}
    tiled = assert_computes_the_same(make_module({"x": (B, S, F)}, weights, body))
    assert "add" not in op_names(tiled)
    assert tiled_op_count(tiled, "tiled_layer_norm") == 1


@pytest.mark.parametrize("case", ["axis", "axes", "constants", "no scale", "read twice"])
def test_layer_norms_of_another_kind(case):
    """After an addition that would have moved into our kernel."""

    def body(emit, x, w1, w2, gamma, beta):
        added = emit(op.add(*two_results(emit, x, w1, w2)))
        if case == "axis":
            return op.nn.layer_norm(added, gamma, beta, axes=[1])
        if case == "axes":
            return op.nn.layer_norm(added, gamma, beta, axes=[1, 2])
        if case == "constants":
            ones = relax.const(np.linspace(1, 2, F, dtype=np.float32))
            return op.nn.layer_norm(added, ones, beta, axes=[-1])
        if case == "no scale":
            return op.nn.layer_norm(added, gamma, beta, axes=[-1], scale=False)
        norm = emit(op.nn.layer_norm(added, gamma, beta, axes=[-1]))
        return op.add(norm, added)

    extent = {"axis": (S,), "axes": (S, F)}.get(case, (F,))
    weights = {"w1": (F, F), "w2": (F, F), "gamma": extent, "beta": extent}
    tiled = assert_computes_the_same(make_module({"x": (B, S, F)}, weights, body))
    assert tiled_op_count(tiled, "tiled_layer_norm") == (case == "read twice")


def test_a_norm_of_results_in_two_layouts():
    def body(emit, x, flat, w, gamma, beta):
        first = emit(op.reshape(emit(op.matmul(x, w)), (B * S, F)))
        second = emit(op.nn.relu(emit(op.matmul(flat, w))))
        added = emit(op.add(emit(op.multiply(second, second)), first))
        return op.nn.layer_norm(added, gamma, beta, axes=[-1])

    weights = {"w": (F, F), "gamma": (F,), "beta": (F,)}
    assert_computes_the_same(make_module({"x": (B, S, F), "flat": (B * S, F)}, weights, body))


# -- heads, broadcasts, ranks ---------------------------------------------------------------------


def test_what_works_on_single_heads_sees_single_heads():
    def dense(emit, x, w, small, gamma, beta):
        return op.matmul(heads_of(emit, x, w), small)

    def norm(emit, x, w, small, gamma, beta):
        return op.nn.layer_norm(heads_of(emit, x, w), gamma, beta, axes=[-1])

    def softmax(emit, x, w, small, gamma, beta):
        return op.nn.softmax(heads_of(emit, x, w), axis=-1)

    weights = {"w": (F, F), "small_w": (D, D), "gamma": (D,), "beta": (D,)}
    for body in (dense, norm, softmax):
        assert_computes_the_same(make_module({"x": (B, S, F)}, weights, body))


def test_elementwise_operations_on_heads_stay_tiled():
    def body(emit, x, w1, w2):
        product = emit(op.multiply(heads_of(emit, x, w1), heads_of(emit, x, w2)))
        half = relax.const(np.full((1, 1, 1, 1), 0.5, np.float32))
        return op.reshape(emit(op.multiply(product, half)), (B, S, F))

    tiled = assert_computes_the_same(
        make_module({"x": (B, S, F)}, {"w1": (F, F), "w2": (F, F)}, body)
    )
    assert tiled_op_count(tiled, "unpack_tokens") == 1


@pytest.mark.parametrize(
    ("shape", "stays_tiled"),
    [
        ((), True),
        ((1,), True),
        ((1, 1, 1), True),
        ((F,), True),
        ((B, S, F), True),
        ((1, 1, F), False),
        ((B, 1, F), False),
        ((B, S, 1), False),
        ((S, 1), False),
        ((2, B, S, F), False),
    ],
)
def test_broadcast_operands(shape, stays_tiled):
    def body(emit, x, other, w):
        product = emit(op.nn.gelu(emit(op.matmul(x, w))))
        left = emit(op.subtract(other, emit(op.multiply(product, other))))
        return left if len(shape) > 3 else op.nn.relu(left)

    mod = make_module({"x": (B, S, F), "other": shape}, {"w": (F, F)}, body)
    tiled = assert_computes_the_same(mod)
    # Tiled, the last thing that is done is to leave the tiles.
    assert (op_names(tiled)[-1] == "unpack_tokens") == stays_tiled


def test_a_sum_larger_than_its_tiled_operand():
    def body(emit, x, other, w):
        return op.add(emit(op.nn.gelu(emit(op.matmul(x, w)))), other)

    assert_computes_the_same(make_module({"x": (1, S, F), "other": (B, S, F)}, {"w": (F, F)}, body))


@pytest.mark.parametrize("lead", [(), (9,), (2, 3), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("block_shape", [None, (3, 2)], ids=str)
def test_data_of_any_rank(lead, block_shape):
    def body(emit, x, w, b):
        return op.nn.relu(emit(op.add(emit(op.matmul(x, w)), b)))

    tiled = assert_computes_the_same(
        make_module({"x": (*lead, F)}, {"w": (F, 9), "b": (9,)}, body), block_shape
    )
    kernel = "tiled_sparse_dense" if block_shape else "packed_dense"
    assert tiled_op_count(tiled, kernel) == 1


def test_outputs_that_are_no_results():
    mod = make_module(
        {"x": (B, S, F)},
        {"w": (F, F), "b": (F,)},
        lambda emit, x, w, b: relax.Tuple([x, b, emit(op.matmul(x, w)), x]),
    )
    assert_computes_the_same(mod)


def test_a_sparse_product_with_an_epilogue_of_its_own():
    """Written by hand, not by `bsr_dense`: its bias and activation must not be lost."""
    data = np.zeros((2, 4, 1), np.float32)
    data[:] = np.linspace(-1, 1, 8).reshape(2, 4, 1)
    params = {
        "w.data": data,
        "w.indices": np.array([1, 0], np.int32),
        "w.indptr": np.array([0, 1, 2], np.int32),
        "b": np.arange(8, dtype=np.float32),
    }
    x = relax.Var("x", relax.TensorType((3, 2), "float32"))
    triple = [
        relax.Var(name, relax.TensorType(value.shape, str(value.dtype)))
        for name, value in params.items()
    ]
    bb = relax.BlockBuilder()
    with bb.function("main", [x, *triple], attrs={"num_input": 1}):
        with bb.dataflow():
            out = bb.emit_output(relax_ops.sparse_dense(x, *triple, activation="tanh"))
        bb.emit_func_output(out)
    rows = np.array([[1, 2], [3, 4], [-1, 0]], np.float32)
    tiled, packed = tile_tokens.convert(bb.get(), params, TARGET, 4)
    weight = np.zeros((8, 2), np.float32)
    weight[:4, 1], weight[4:, 0] = data[0, :, 0], data[1, :, 0]
    (found,) = evaluate(tiled, packed, {"x": rows})
    np.testing.assert_allclose(found, np.tanh(rows @ weight.T + params["b"]), **MODEL)


# -- anything -------------------------------------------------------------------------------------

STEPS = ("dense", "other dense", "add", "multiply", "gelu", "relu", "norm", "heads", "flat", "cut")


@settings(max_examples=12)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), min_size=3, max_size=9))
def test_any_small_graph(steps):
    """Random graphs over one set of tokens; every value is an output or feeds one."""

    def body(emit, x, w, v, b, gamma, beta):
        values, read = [x], {0}

        def any_of(pick: int) -> relax.Var:
            read.add(pick % len(values))
            return values[pick % len(values)]

        for kind, pick in steps:
            a = any_of(pick)
            if kind in ("dense", "other dense"):
                new = op.matmul(a, w if kind == "dense" else v)
                if pick % 3:
                    new = op.add(emit(new), b)
            elif kind in ("add", "multiply"):
                new = getattr(op, kind)(a, any_of(pick // 2))
            elif kind in ("gelu", "relu"):
                new = getattr(op.nn, kind)(a)
            elif kind == "norm":
                new = op.nn.layer_norm(a, gamma, beta, axes=[-1])
            elif kind == "heads":
                split = emit(op.reshape(a, (B, S, H, D)))
                context = emit(op.nn.attention(split, split, split))
                new = op.reshape(context, (B, S, F))
            elif kind == "flat":
                new = op.reshape(emit(op.nn.relu(emit(op.reshape(a, (B * S, F))))), (B, S, F))
            else:
                both = emit(op.concat([a, any_of(pick // 2)], axis=1))
                new = op.strided_slice(both, axes=[1], begin=[1], end=[S + 1])
            values.append(emit(new))
        outputs = [value for index, value in enumerate(values) if index not in read]
        return relax.Tuple(outputs or [values[-1]])

    weights = {"w": (F, F), "v_w": (F, F), "b": (F,), "gamma": (F,), "beta": (F,)}
    mod = make_module({"x": (B, S, F)}, weights, body)
    products = any(kind in ("dense", "other dense") for kind, _ in steps)
    assert_computes_the_same(mod, (4, 2) if products and len(steps) % 2 else None)
