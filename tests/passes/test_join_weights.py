"""join_weights: weights side by side become one weight, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from relax_modules import evaluate, make_module, random_values
from tolerances import MODEL
from tvm import relax

from tvm_sparse.errors import PassError
from tvm_sparse.ir.dense_layers import find_dense_weights
from tvm_sparse.passes import join_weights, simplify_fc_transpose

pytestmark = pytest.mark.ir

op = relax.op


def tied_head(emit, ids, table, dense, bias):
    """MobileBERT's decoder: the transposed embedding table above a further weight."""
    rows = emit(op.take(table, ids, axis=0, mode="clip"))
    wide = emit(op.concat([rows, rows], axis=-1))
    weight = emit(op.concat([emit(op.permute_dims(table)), dense], axis=0))
    return op.add(emit(op.matmul(wide, weight)), bias)


HEAD = make_module(
    {"ids": (2, 5)},
    {"head/table_w": (30, 8), "head/dense_w": (8, 30), "head/bias": (30,)},
    tied_head,
)
JOINED = "head/{table_w,dense_w}"


def test_a_tied_head_multiplies_one_weight():
    inputs, params = random_values(HEAD)
    mod, joined = join_weights.convert(HEAD, params)
    relax.analysis.well_formed(mod)
    names = [var.name for var in mod["main"].params]

    def expected(emit, ids, table, bias, joined):
        rows = emit(op.take(table, ids, axis=0, mode="clip"))
        wide = emit(op.concat([rows, rows], axis=-1))
        return op.add(emit(op.matmul(wide, emit(joined))), bias)

    weights = {"head/table_w": (30, 8), "head/bias": (30,), JOINED: (16, 30)}
    tvm.ir.assert_structural_equal(mod, make_module({"ids": (2, 5)}, weights, expected))
    # The table is still read by the embedding, the other part by nobody.
    assert names == ["ids", "head/table_w", "head/bias", JOINED]
    assert list(joined) == names[1:]
    parts = [params["head/table_w"].T, params["head/dense_w"]]
    np.testing.assert_array_equal(joined[JOINED], np.concatenate(parts))
    assert joined["head/table_w"] is params["head/table_w"]
    np.testing.assert_allclose(
        evaluate(mod, joined, inputs)[0], evaluate(HEAD, params, inputs)[0], **MODEL
    )
    # What follows sees a dense layer.
    mod, joined = simplify_fc_transpose.convert(mod, joined)
    weight = find_dense_weights(mod["main"], joined.keys())[f"{JOINED}.T"]
    assert weight.shape == (30, 16)


def test_what_is_given_is_not_changed():
    _, params = random_values(HEAD)
    text, copies = HEAD.script(), {name: value.copy() for name, value in params.items()}
    join_weights.convert(HEAD, params)
    assert HEAD.script() == text
    assert list(params) == list(copies)
    for name, value in copies.items():
        np.testing.assert_array_equal(params[name], value)


def test_activations_are_not_joined():
    def body(emit, x, w, unused):
        return op.concat([x, w], axis=0)

    mod = make_module({"x": (2, 8)}, {"w": (3, 8), "unused": (4,)}, body)
    _, params = random_values(mod)
    same, kept = join_weights.convert(mod, params)
    assert same is mod
    assert kept == params


def test_axes_and_more_than_two_parts():
    def body(emit, x, a, b, c):
        turned = emit(op.permute_dims(a, [0, 1]))
        return op.matmul(x, emit(op.concat([turned, b, emit(op.permute_dims(c))], axis=-1)))

    mod = make_module({"x": (2, 8)}, {"a": (8, 3), "b": (8, 4), "c": (5, 8)}, body)
    inputs, params = random_values(mod)
    new, joined = join_weights.convert(mod, params)
    assert {name: value.shape for name, value in joined.items()} == {"{a,b,c}": (8, 12)}
    np.testing.assert_allclose(
        evaluate(new, joined, inputs)[0], evaluate(mod, params, inputs)[0], **MODEL
    )


def test_the_same_parts_joined_in_two_ways():
    def body(emit, x, a, b):
        down, across = (emit(op.concat([a, b], axis=axis)) for axis in (0, 1))
        return relax.Tuple([emit(op.matmul(x, across)), down])

    mod = make_module({"x": (2, 4)}, {"a": (4, 4), "b": (4, 4)}, body)
    inputs, params = random_values(mod)
    new, joined = join_weights.convert(mod, params)
    assert sorted(value.shape for value in joined.values()) == [(4, 8), (8, 4)]
    for found, wanted in zip(
        evaluate(new, joined, inputs), evaluate(mod, params, inputs), strict=True
    ):
        np.testing.assert_allclose(found, wanted, **MODEL)


def test_a_module_without_main_is_refused():
    main = make_module({"x": (3,)}, {}, lambda emit, x: op.negative(x))["main"]
    with pytest.raises(PassError):
        join_weights.convert(tvm.IRModule({"other": main}), {})
