"""Convolutions along tokens stay in token tiles, as each framework writes them."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import evaluate, make_module, op_names, random_values, tile
from tolerances import MODEL
from tvm import relax

from tvm_sparse.passes import patch_products

pytestmark = pytest.mark.ir

op = relax.op
B, S, F, H, K = 2, 7, 24, 3, 5
SIDE = K // 2
CHANNELS_LAST = {"data_layout": "NHWC", "kernel_layout": "HWIO"}


def separable_channels_first(emit, x, deep, wide, bias):
    """As PyTorch has it: features in front of tokens, a bias of two axes."""
    turned = emit(op.permute_dims(x, [0, 2, 1]))
    deep = emit(op.nn.conv1d(turned, deep, padding=SIDE, groups=F))
    wide = emit(op.nn.conv1d(deep, wide))
    return emit(op.permute_dims(emit(op.add(wide, bias)), [0, 2, 1]))


def separable_channels_last(emit, x, deep, wide, bias):
    """As TensorFlow has it: images of height 1."""
    image = emit(op.reshape(x, (B, 1, S, F)))
    deep = emit(op.reshape(deep, (1, K, 1, F)))
    wide = emit(op.reshape(wide, (1, 1, F, F)))
    padding = (0, SIDE, 0, SIDE)
    image = emit(op.nn.conv2d(image, deep, padding=padding, groups=F, **CHANNELS_LAST))
    image = emit(op.add(emit(op.nn.conv2d(image, wide, **CHANNELS_LAST)), bias))
    return emit(op.reshape(image, (B, S, F)))


def unfolded_by_indices(emit, x, side=SIDE):
    """As PyTorch's `unfold` comes: padded, and gathered."""
    turned = emit(op.permute_dims(x, [0, 2, 1]))
    padded = emit(op.nn.pad(turned, [0, 0, 0, 0, side, K - 1 - side]))
    places = np.add.outer(np.arange(K), np.arange(S)).astype("int32").reshape(-1)
    taken = emit(op.take(padded, relax.const(places), axis=2, mode="clip"))
    rows = emit(op.reshape(taken, (B, F * K, S)))
    return emit(op.reshape(emit(op.permute_dims(rows, [0, 2, 1])), (B * S * H, F // H, K)))


def unfolded_by_slices(emit, x):
    padded = emit(op.nn.pad(x, [0, 0, SIDE, SIDE, 0, 0]))
    parts = [emit(op.strided_slice(padded, [1], [n], [n + S])) for n in range(K)]
    stack = emit(op.concat([emit(op.reshape(part, (B, S, F, 1))) for part in parts], axis=3))
    return emit(op.reshape(stack, (B * S * H, F // H, K)))


def weights_by_axis(emit, logits):
    return emit(op.nn.softmax(emit(op.reshape(logits, (B * S * H, K, 1))), axis=1))


def weights_turned(emit, logits):
    shifted = emit(op.add(emit(op.reshape(logits, (B * S * H, K, 1))), relax.const(1e-9)))
    normed = emit(op.nn.softmax(emit(op.permute_dims(shifted, [0, 2, 1])), axis=2))
    return emit(op.permute_dims(normed, [0, 2, 1]))


def dynamic(unfold, weigh):
    def body(emit, x, *weights):
        query, by_token, sums = weights
        product = emit(op.matmul(x, query))
        weights = weigh(emit, emit(op.matmul(product, by_token)))
        total = emit(op.matmul(unfold(emit, product), weights))
        heads = emit(op.reshape(total, (B, S, H, F // H)))
        both = emit(op.concat([emit(op.reshape(product, (B, S, H, F // H))), heads], axis=2))
        return emit(op.matmul(emit(op.reshape(both, (B, S, 2 * F))), sums))

    return body


def converted(weights, body):
    mod = make_module({"x": (B, S, F)}, weights, body)
    inputs, params = random_values(mod)
    wanted = evaluate(mod, params, inputs)
    tiled, packed = tile(*patch_products.convert(mod, params))
    for found, truth in zip(evaluate(tiled, packed, inputs), wanted, strict=True):
        np.testing.assert_allclose(found, truth, **MODEL)
    return [name for name in op_names(tiled) if name != "reshape"]


@pytest.mark.parametrize(
    ("body", "deep", "wide", "bias"),
    [
        (separable_channels_first, (F, 1, K), (F, F, 1), (F, 1)),
        (separable_channels_last, (K, F, 1), (1, F, F), (F,)),
    ],
)
def test_separable_convolutions(body, deep, wide, bias):
    def whole(emit, x, query, deep, wide, bias, out):
        product = emit(op.matmul(x, query))
        return emit(op.matmul(body(emit, product, deep, wide, bias), out))

    weights = {"query_w": (F, F), "deep": deep, "wide": wide, "bias": bias, "out_w": (F, F)}
    names = converted(weights, whole)
    assert names == [
        *("pack_tokens", "packed_dense", "token_window", "packed_dense", "packed_dense"),
        "unpack_tokens",
    ]


WEIGHTS = {"query_w": (F, F), "by_token_w": (F, H * K), "sums_w": (2 * F, F)}


@pytest.mark.parametrize("unfold", [unfolded_by_indices, unfolded_by_slices])
@pytest.mark.parametrize("weigh", [weights_by_axis, weights_turned])
def test_dynamic_convolutions(unfold, weigh):
    names = converted(WEIGHTS, dynamic(unfold, weigh))
    assert names == [
        *("pack_tokens", "packed_dense", "packed_dense", "token_window", "concat", "packed_dense"),
        "unpack_tokens",
    ]


def test_windows_to_one_side_and_others():
    """Places decide: a window that looks back alone is one, one that leaves tokens out is none."""

    def back(emit, x):
        return unfolded_by_indices(emit, x, side=K - 1)

    def every_other(emit, x):
        padded = emit(op.nn.pad(x, [0, 0, K - 1, K - 1, 0, 0]))
        parts = [emit(op.strided_slice(padded, [1], [2 * n], [2 * n + S])) for n in range(K)]
        stack = emit(op.concat([emit(op.reshape(part, (B, S, F, 1))) for part in parts], axis=3))
        return emit(op.reshape(stack, (B * S * H, F // H, K)))

    assert "token_window" in converted(WEIGHTS, dynamic(back, weights_by_axis))
    assert "token_window" not in converted(WEIGHTS, dynamic(every_other, weights_by_axis))
