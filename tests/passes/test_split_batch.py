"""split_batch: the same values as the whole batch at once, and nothing computed twice."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from relax_modules import count_ops, evaluate, make_encoder, make_module, random_values
from tolerances import MODEL
from tvm import relax
from tvm.ir import assert_structural_equal

from tvm_sparse.ir.dense_layers import find_dense_weights
from tvm_sparse.ir.functions import main_function
from tvm_sparse.passes import split_batch

pytestmark = pytest.mark.ir

op = relax.op


def with_count(mod: tvm.IRModule, count: int) -> tvm.IRModule:
    return tvm.IRModule({"main": mod["main"].with_attr("micro_batches", count)})


def test_two_micro_batches():
    def body(emit, x, w):
        return relax.Tuple([emit(op.matmul(x, w))])

    def expected(emit, x, w):
        parts = [emit(op.strided_slice(x, [0], [start], [start + 2])) for start in (0, 2)]
        first = emit(op.matmul(parts[0], w))
        # The second slice is emitted behind the first product.
        second = emit(op.matmul(parts[1], w))
        return relax.Tuple([emit(op.concat([first, second], 0))])

    before = with_count(make_module({"x": (2, 3)}, {"w": (3, 5)}, body), 2)
    after = split_batch.convert(before)
    assert [tuple(map(int, v.ty.shape.values)) for v in after["main"].params] == [(4, 3), (3, 5)]
    assert count_ops(after, "matmul") == 2
    wanted = make_module({"x": (4, 3)}, {"w": (3, 5)}, expected)
    inputs, params = random_values(wanted)
    for found, right in zip(
        evaluate(after, params, inputs), evaluate(wanted, params, inputs), strict=True
    ):
        np.testing.assert_array_equal(found, right)


def test_what_the_inputs_do_not_touch_is_computed_once():
    def body(emit, x, w):
        halved = emit(op.multiply(w, relax.const(0.5, "float32")))
        return relax.Tuple([emit(op.add(x, halved))])

    mod = with_count(make_module({"x": (1, 4)}, {"w": (1, 4)}, body), 3)
    after = split_batch.convert(mod)
    assert count_ops(after, "multiply") == 1
    assert count_ops(after, "add") == 3


def test_an_encoder_gives_what_it_gave():
    whole, part = make_encoder(batch=4), with_count(make_encoder(batch=2), 2)
    inputs, params = random_values(whole)
    for found, wanted in zip(
        evaluate(split_batch.convert(part), params, inputs),
        evaluate(whole, params, inputs),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, **MODEL)


def test_without_the_attribute_nothing_changes():
    mod = make_encoder()
    assert split_batch.convert(mod) is mod
    before = with_count(mod, 2)
    copy = tvm.IRModule(dict(before.functions_items()))
    split_batch.convert(before)
    assert_structural_equal(before, copy)


def test_flops_are_those_of_the_batch():
    whole, part = make_encoder(batch=4), with_count(make_encoder(batch=2), 2)
    names = [var.name for var in whole["main"].params[2:]]
    for mod in (whole, part):
        found = find_dense_weights(main_function(mod), names)
        assert found["pooler/kernel_w"].layer.flops == 2 * 4 * 24 * 24
