"""Embeddings: which sums of looked-up rows become one kernel, and that it computes the same."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import assert_computes_the_same, count_ops, make_module
from tvm import relax
from tvm.ir import assert_structural_equal

from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernels.epilogue import Epilogue
from tvm_sparse.kernels.tiling import norm_vectors
from tvm_sparse.ops.gather_tokens import GatherTokens
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.tiled_layer_norm import TiledLayerNorm
from tvm_sparse.ops.unpack_tokens import UnpackTokens
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

op = relax.op
B, S, F = 2, 5, 24
WEIGHTS = {
    "word": (9, F),
    "place": (7, F),
    "kind": (2, F),
    "gamma": (F,),
    "beta": (F,),
    "w": (F, F),
}


def take(emit, table, ids, mode="clip"):
    return emit(op.take(table, ids, axis=0, mode=mode))


def finish(emit, x, gamma, beta, w):
    normal = emit(op.nn.layer_norm(x, gamma, beta, axes=[-1], epsilon=1e-12))
    return op.matmul(normal, w)


def module(embed):
    def body(emit, word_ids, kind_ids, word, place, kind, gamma, beta, w):
        x = embed(emit, word_ids, kind_ids, word, place, kind)
        return finish(emit, x, gamma, beta, w)

    return make_module({"word_ids": (B, S), "kind_ids": (B, S)}, WEIGHTS, body)


def positions():
    return relax.const(np.arange(S, dtype=np.int32)[None], "int32")


def three_tables(emit, word_ids, kind_ids, word, place, kind):
    rows = emit(op.add(take(emit, word, word_ids), take(emit, place, positions())))
    return emit(op.add(rows, take(emit, kind, kind_ids)))


def test_three_tables_are_one_kernel():
    target = resolve_target()
    layout = choose_layout(B, S, target)
    shape = ProductShape(F, F, layout)
    form = DenseFormat.choose(shape, target)

    def expected(emit, word_ids, kind_ids, word, place, kind, gamma, beta, w):
        terms = [(word_ids, word), (positions(), place), (kind_ids, kind)]
        rows = emit(GatherTokens(layout)(terms))
        normalise = TiledLayerNorm(1e-12, norm_vectors(layout, target), layout)
        normal = emit(normalise(rows, gamma, beta))
        product = emit(PackedDense(shape, Epilogue(), form)(normal, [w]))
        return emit(UnpackTokens(layout)(product))

    packed = (-(-F // form.rows), F, form.rows)
    shapes = {name: size for name, size in WEIGHTS.items() if name != "w"} | {"w.packed": packed}
    wanted = make_module({"word_ids": (B, S), "kind_ids": (B, S)}, shapes, expected)
    assert_structural_equal(assert_computes_the_same(module(three_tables)), wanted)


def test_one_table_is_enough():
    tiled = assert_computes_the_same(
        module(lambda emit, ids, kinds, word, place, kind: take(emit, word, ids))
    )
    assert count_ops(tiled, "gather_tokens") == 1
    assert count_ops(tiled, "take") == 0


def test_a_table_that_is_read_elsewhere_too():
    """The language model's head multiplies by the word embeddings."""

    def body(emit, word_ids, kind_ids, word, place, kind, gamma, beta, w):
        x = three_tables(emit, word_ids, kind_ids, word, place, kind)
        hidden = emit(finish(emit, x, gamma, beta, w))
        return op.matmul(hidden, emit(op.permute_dims(word)))

    inputs = {"word_ids": (B, S), "kind_ids": (B, S)}
    tiled = assert_computes_the_same(make_module(inputs, WEIGHTS, body))
    assert count_ops(tiled, "gather_tokens") == 1


def other_mode(emit, word_ids, kind_ids, word, place, kind):
    return take(emit, word, word_ids, mode="fast")


def read_twice(emit, word_ids, kind_ids, word, place, kind):
    rows = take(emit, word, word_ids)
    return emit(op.add(rows, emit(op.multiply(rows, rows))))


def not_a_table(emit, word_ids, kind_ids, word, place, kind):
    vector = emit(op.reshape(emit(op.strided_slice(place, [0], [0], [1])), (F,)))
    return emit(op.add(take(emit, word, word_ids), vector))


@pytest.mark.parametrize("embed", [other_mode, read_twice, not_a_table])
def test_what_the_kernel_cannot_do_stays(embed):
    tiled = assert_computes_the_same(module(embed))
    assert count_ops(tiled, "gather_tokens") == 0
    assert count_ops(tiled, "take") == 1


def test_a_pooler_multiplies_rows():
    def body(emit, x, w, b):
        first = emit(op.reshape(emit(op.strided_slice(x, [1], [0], [1])), (B, 48)))
        return op.tanh(emit(op.add(emit(op.matmul(first, w)), b)))

    tiled = assert_computes_the_same(
        make_module({"x": (B, S, 48)}, {"w": (48, 32), "b": (32,)}, body)
    )
    assert count_ops(tiled, "row_dense") == 1
    assert count_ops(tiled, "pack_tokens") == 0


def test_a_weight_of_rows_and_tiles_is_packed_for_both():
    def body(emit, x, w):
        hidden = emit(op.nn.gelu(emit(op.matmul(x, w))))
        first = emit(op.reshape(emit(op.strided_slice(hidden, [1], [0], [1])), (B, 48)))
        return relax.Tuple([hidden, emit(op.matmul(first, w))])

    tiled = assert_computes_the_same(make_module({"x": (B, S, 48)}, {"w": (48, 48)}, body))
    assert count_ops(tiled, "row_dense") == count_ops(tiled, "packed_dense") == 1
