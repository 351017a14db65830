"""tile_tokens: what moves onto token tiles, and what the caller owns."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from relax_modules import (
    assert_computes_the_same,
    count_ops,
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
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernels.epilogue import Epilogue
from tvm_sparse.kernels.tiling import norm_vectors
from tvm_sparse.ops.pack_tokens import PackTokens
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.tiled_layer_norm import TiledLayerNorm
from tvm_sparse.ops.unpack_tokens import UnpackTokens
from tvm_sparse.passes import tile_tokens
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

op = relax.op
B, S, F, H, D = 2, 5, 24, 3, 8
TARGET = resolve_target()


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
    form = DenseFormat.choose(ProductShape(768, 768, layout), TARGET)
    rows = form.rows
    inputs, params = random_values(FEED_FORWARD)
    tiled, packed = tile(FEED_FORWARD, params)

    def expected(emit, x, bi, wi, bo, wo, gamma, beta):
        data = emit(PackTokens(layout)(x))
        first, second = ProductShape(48, F, layout), ProductShape(F, 48, layout)
        inner = PackedDense(first, Epilogue(bias=True, activation="gelu"), form)
        inner = emit(inner(data, [wi], bi))
        outer = PackedDense(second, Epilogue(bias=True, residual=True), form)
        outer = emit(outer(inner, [wo], bo, data))
        normalise = TiledLayerNorm(1e-5, norm_vectors(layout, TARGET), layout)
        norm = emit(normalise(outer, gamma, beta))
        return emit(UnpackTokens(layout)(norm))

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
    np.testing.assert_array_equal(packed["wi.packed"], form.pack([params["wi"].T], F)[0])
    np.testing.assert_allclose(
        evaluate(tiled, packed, inputs)[0], evaluate(FEED_FORWARD, params, inputs)[0], **MODEL
    )


# -- what the caller owns -------------------------------------------------------------------------


def test_inputs_are_unchanged():
    _, params = random_values(FEED_FORWARD)
    copies = {name: value.copy() for name, value in params.items()}
    text = FEED_FORWARD.script()
    tiled, packed, _ = tile_tokens.convert(FEED_FORWARD, params, TARGET)
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
    tiled, *_ = tile_tokens.convert(mod, params, TARGET)
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
        arrays = ("data", "offsets", "groups", "rows", "chunks")
        assert names == ["b", *(f"w.packed.{array}" for array in arrays)]


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
    assert count_ops(tiled, "packed_dense") == 1


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
    assert count_ops(tiled, "packed_dense") == 1


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
    assert count_ops(tiled, "tiled_layer_norm") == 1


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
    assert count_ops(tiled, "tiled_layer_norm") == (case in ("read twice", "constants"))


def test_a_norm_of_results_in_two_layouts():
    def body(emit, x, flat, w, gamma, beta):
        first = emit(op.reshape(emit(op.matmul(x, w)), (B * S, F)))
        second = emit(op.nn.relu(emit(op.matmul(flat, w))))
        added = emit(op.add(emit(op.multiply(second, second)), first))
        return op.nn.layer_norm(added, gamma, beta, axes=[-1])

    weights = {"w": (F, F), "gamma": (F,), "beta": (F,)}
    assert_computes_the_same(make_module({"x": (B, S, F), "flat": (B * S, F)}, weights, body))
