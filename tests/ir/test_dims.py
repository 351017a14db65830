"""Extents in the batch and the length: one object each, whatever way they came about."""

from __future__ import annotations

import pytest
import tvm
from relax_modules import make_module
from tvm import relax

from tvm_sparse.ir.dims import BATCH, SEQ_LEN, dim, divide, evaluate, product, with_own_dims
from tvm_sparse.ir.expressions import tensor_shape

pytestmark = pytest.mark.ir


def test_equal_extents_are_one_object():
    tokens = dim(BATCH * SEQ_LEN)
    assert dim(SEQ_LEN * BATCH) is tokens
    assert dim((SEQ_LEN + 1) * BATCH - BATCH) is tokens
    assert dim((SEQ_LEN + 31) // 32) is dim((31 + SEQ_LEN) // 32)
    assert (tokens, 64) == (product([SEQ_LEN, 1, BATCH]), 64)
    assert (tokens, 64) in {(dim(BATCH * SEQ_LEN), 64)}
    assert (tokens, 64) != (128, 64)
    assert tokens != SEQ_LEN


@pytest.mark.parametrize(
    ("value", "expected"), [(BATCH * 0 + 3, 3), (SEQ_LEN - SEQ_LEN, 0), (7, 7)]
)
def test_numbers_are_integers(value, expected):
    found = dim(value)
    assert found == expected
    assert isinstance(found, int)


def test_divide():
    assert divide(BATCH * SEQ_LEN * 64, SEQ_LEN * 16) is dim(BATCH * 4)
    for by in (SEQ_LEN * 2, 0, SEQ_LEN + BATCH):
        with pytest.raises(ValueError):
            divide(SEQ_LEN * 3 + BATCH, by)


def test_evaluate():
    assert evaluate(dim((SEQ_LEN + 31) // 32 * BATCH * 2), batch=3, seq_len=33) == 12
    assert evaluate(5, 1, 1) == 5


def test_read_from_a_file_with_our_variables():
    x = relax.Var("x", relax.TensorType((BATCH, SEQ_LEN), "float32"))
    bb = relax.BlockBuilder()
    with bb.function("main", [x], attrs={"num_input": 1}):
        with bb.dataflow():
            out = bb.emit_output(relax.op.reshape(x, (BATCH * SEQ_LEN,)))
        bb.emit_func_output(out)
    read = tvm.ir.load_json(tvm.ir.save_json(bb.get()))["main"]
    func = with_own_dims(read)
    assert tensor_shape(func.params[0]) == (BATCH, SEQ_LEN)
    assert tensor_shape(func.body.body) == (dim(BATCH * SEQ_LEN),)
    static = make_module({"x": (2, 3)}, {}, lambda emit, x: emit(relax.op.negative(x)))["main"]
    assert with_own_dims(static) is static
