"""Convolutions of patches become products on token tiles; others stay."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import evaluate, make_module, op_names, random_values, tile
from tolerances import MODEL
from tvm import relax

from tvm_sparse.passes import patch_products
from tvm_sparse.passes.packed_weights import base_name

pytestmark = pytest.mark.ir

op = relax.op
B, C, SIZE, P, F = 2, 3, 8, 4, 24
FIRST, LAST = (B, C, SIZE, SIZE), (B, SIZE, SIZE, C)
NHWC = {"data_layout": "NHWC", "kernel_layout": "HWIO"}


def converted(inputs, weights, body):
    """Return the operators after the pass and tiling, which compute the same."""
    mod = make_module(inputs, weights, body)
    given, params = random_values(mod)
    wanted = evaluate(mod, params, given)
    changed, kept = patch_products.convert(mod, params)
    assert set(params) == {var.name for var in mod["main"].params} - set(inputs)
    tiled, packed = tile(changed, kept)
    for found, truth in zip(evaluate(tiled, packed, given), wanted, strict=True):
        np.testing.assert_allclose(found, truth, **MODEL)
    return op_names(tiled)


def test_patches_of_an_image_are_tokens():
    """As a vision transformer has them: biased, flattened, transposed, behind a class token."""

    def body(emit, x, weight, bias, cls, gamma, beta):
        patches = emit(op.nn.conv2d(x, weight, strides=P))
        patches = emit(op.add(patches, emit(op.reshape(bias, (1, F, 1, 1)))))
        tokens = emit(op.reshape(patches, (B, F, (SIZE // P) ** 2)))
        tokens = emit(op.permute_dims(tokens, [0, 2, 1]))
        first = emit(op.broadcast_to(cls, (B, 1, F)))
        return op.nn.layer_norm(emit(op.concat([first, tokens], axis=1)), gamma, beta, axes=[-1])

    weights = {"w": (F, C, P, P), "bias": (F,), "cls": (1, 1, F), "gamma": (F,), "beta": (F,)}
    names = converted({"x": FIRST}, weights, body)
    assert "nn.conv2d" not in names
    assert names.count("packed_dense") == 1
    assert names.count("permute_dims") == 1  # of the image
    assert base_name("vit/patches/weight.rows.packed") == "vit/patches/weight"


def test_channels_last_and_what_reads_the_grid():
    def last(emit, x, weight, bias):
        return op.nn.relu(emit(op.add(emit(op.nn.conv2d(x, weight, strides=P, **NHWC)), bias)))

    def first(emit, x, weight):
        return op.nn.relu(emit(op.nn.conv2d(x, weight)))

    assert "nn.conv2d" not in converted({"x": LAST}, {"w": (P, P, C, F), "bias": (F,)}, last)
    assert "nn.conv2d" not in converted({"x": FIRST}, {"w": (F, C, 1, 1)}, first)


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((F, C, 4, 4), {"strides": 2}),
        ((F, C, 4, 4), {"strides": 4, "padding": 2}),
        ((F, C, 3, 3), {"strides": 3}),
        ((3, 1, 4, 4), {"strides": 4, "groups": 3}),
        ((F, C, 2, 2), {"strides": 2, "dilation": 2}),
    ],
)
def test_windows_that_overlap_or_do_not_fit_stay(kernel, attributes):
    def body(emit, x, weight):
        return op.nn.conv2d(x, weight, **attributes)

    assert converted({"x": FIRST}, {"w": kernel}, body) == ["nn.conv2d"]
