"""The products of a function, counted by hand."""

from __future__ import annotations

import pytest
from relax_modules import make_module
from tvm import relax

from tvm_sparse.ir.flops import product_flops

pytestmark = pytest.mark.ir

op = relax.op


def attention(emit, q, k, v):
    return emit(op.nn.attention(q, k, v))


def attention_with_bias(emit, q, k, v, bias):
    return emit(op.nn.attention(q, k, v, bias=bias))


HEADS = {"q": (2, 5, 4, 8), "k": (2, 7, 4, 8), "v": (2, 7, 4, 8)}


@pytest.mark.parametrize(
    ("inputs", "weights", "body", "multiplications"),
    [
        ({"x": (6, 8)}, {"w": (8, 10)}, lambda emit, x, w: emit(op.matmul(x, w)), 6 * 8 * 10),
        # A stack of weights, one of activations, and a weight of each head.
        (
            {"x": (3, 6, 8)},
            {"w": (3, 8, 10)},
            lambda emit, x, w: emit(op.matmul(x, w)),
            3 * 6 * 8 * 10,
        ),
        (
            {"x": (3, 6, 8), "y": (3, 8, 6)},
            {},
            lambda emit, x, y: emit(op.matmul(x, y)),
            3 * 6 * 6 * 8,
        ),
        (
            {"x": (2, 8, 9, 9)},
            {"w": (16, 4, 3, 3)},
            lambda emit, x, w: emit(op.nn.conv2d(x, w, groups=2)),
            (2 * 16 * 7 * 7) * (4 * 3 * 3),
        ),
        (
            {"x": (2, 9, 9, 8)},
            {"w": (3, 3, 1, 8)},
            lambda emit, x, w: emit(
                op.nn.conv2d(x, w, groups=8, data_layout="NHWC", kernel_layout="HWIO")
            ),
            (2 * 8 * 7 * 7) * (3 * 3),
        ),
        (HEADS, {}, attention, 2 * (2 * 4 * 5 * 7 * 8)),
        ({**HEADS, "bias": (2, 4, 5, 7)}, {}, attention_with_bias, 2 * (2 * 4 * 5 * 7 * 8)),
        ({"x": (6, 8)}, {}, lambda emit, x: emit(op.add(x, x)), 0),
    ],
    ids=[
        "matrix",
        "stack",
        "activations",
        "convolution",
        "channels last",
        "attention",
        "biased attention",
        "sum",
    ],
)
def test_products_count_whatever_they_multiply(inputs, weights, body, multiplications):
    module = make_module(inputs, weights, body)
    assert product_flops(module) == 2 * multiplications


def test_every_micro_batch_counts():
    module = make_module({"x": (6, 8)}, {"w": (8, 10)}, lambda emit, x, w: emit(op.matmul(x, w)))
    module["main"] = module["main"].with_attr("micro_batches", 4)
    assert product_flops(module) == 2 * 4 * 6 * 8 * 10
