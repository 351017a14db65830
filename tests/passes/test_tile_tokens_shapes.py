"""tile_tokens on heads, broadcasts, data of any rank, and random graphs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relax_modules import (
    assert_computes_the_same,
    count_ops,
    evaluate,
    heads_of,
    make_module,
    op_names,
)
from tolerances import MODEL
from tvm import relax

from tvm_sparse.ops.sparse_dense import SparseDense
from tvm_sparse.passes import tile_tokens
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

op = relax.op
B, S, F, H, D = 2, 5, 24, 3, 8
TARGET = resolve_target()


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
    assert count_ops(tiled, "unpack_tokens") == 1


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
    assert count_ops(tiled, kernel) == 1


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
            out = bb.emit_output(SparseDense("tanh")(x, *triple))
        bb.emit_func_output(out)
    rows = np.array([[1, 2], [3, 4], [-1, 0]], np.float32)
    tiled, packed, _ = tile_tokens.convert(bb.get(), params, TARGET, 4)
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
