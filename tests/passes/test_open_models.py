"""Models of any batch and length: tiles by a map, rows where there are no tokens."""

from __future__ import annotations

import re

import pytest
from relax_modules import (
    MOST_TOKENS,
    assert_computes_the_same,
    heads_of,
    make_module,
    make_open_encoder,
    op_names,
    random_values,
    tile,
)
from tvm import relax

from tvm_sparse.formats.token_layout import choose_open_layout
from tvm_sparse.ir.dims import BATCH, SEQ_LEN, TILES
from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.passes import bsr_dense, simplify_fc_transpose
from tvm_sparse.passes.pipeline import LOWER, lower
from tvm_sparse.passes.tile_tokens import MIXES_TOKENS, TOKEN_TILE
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

op = relax.op
F, H = 24, 3
INPUTS = {"x": (BATCH, SEQ_LEN, F), "mask": (BATCH, 1, SEQ_LEN, SEQ_LEN)}
WEIGHTS = {"w": (F, F), "v_w": (F, F), "two_w": (F, 2), "gamma": (F,), "beta": (F,)}


def test_an_encoder_lies_in_tiles_from_end_to_end() -> None:
    mod = make_open_encoder(num_layers=1)
    tiled, _ = tile(mod, random_values(mod)[1])
    names = op_names(tiled)
    for name in ("pack_tokens", "nn.layer_norm", "nn.attention", "strided_slice"):
        assert name not in names
    for name in ("gather_tokens", "first_tokens", "unpack_tokens"):
        assert names.count(name) == 1
    main = tiled["main"]
    tile_map = main.params[2]
    assert (tile_map.name, str(tile_map.ty.dtype)) == ("tile_map", "int32")
    assert tensor_shape(tile_map) == (TILES, 4)
    assert int(main.attrs["num_input"]) == 3
    assert main.attrs[TOKEN_TILE] == choose_open_layout(resolve_target()).token_tile
    assert not main.attrs[MIXES_TOKENS]


def test_layer_norms_add_the_residuals_so_that_products_share_kernels() -> None:
    mod = make_open_encoder(num_layers=2)
    lowered = lower(mod, random_values(mod)[1], resolve_target())
    added = [call.kernel for call in lowered.calls if "residual" in call.kernel]
    assert added == [f"layer_norm_{F}_residual"] * 4


def rows_and_tokens(emit, x, mask, w, v_w, two_w, gamma, beta):
    """Tokens, the first of each sequence, and a mean of them, by few and by many outputs."""
    hidden = emit(op.nn.gelu(emit(op.matmul(x, w))))
    scores = emit(op.matmul(hidden, two_w))
    first = emit(op.strided_slice(hidden, axes=[1], begin=[0], end=[1]))
    first = emit(op.reshape(first, (BATCH, F)))
    labels = emit(op.matmul(emit(op.tanh(emit(op.matmul(first, v_w)))), two_w))
    mean = emit(op.matmul(emit(op.mean(hidden, axis=[1])), v_w))
    rows = emit(op.nn.layer_norm(mean, gamma, beta, axes=[-1], epsilon=1e-5))
    tokens = emit(op.reshape(hidden, (BATCH * SEQ_LEN, F)))
    again = emit(op.reshape(emit(op.matmul(tokens, v_w)), (BATCH, SEQ_LEN, F)))
    return relax.Tuple([scores, labels, rows, again])


def test_products_of_tokens_and_of_rows() -> None:
    mod = make_module(INPUTS, WEIGHTS, rows_and_tokens)
    tiled = assert_computes_the_same(mod, shapes=[(1, 1), (3, 7), (2, MOST_TOKENS)])
    assert tiled["main"].attrs[MIXES_TOKENS] == "mean"


def mean(emit, x, mask, w, v_w, *_):
    return op.mean(emit(op.matmul(x, w)), axis=[1])


def softmax_over_tokens(emit, x, mask, w, v_w, *_):
    return op.nn.softmax(emit(op.matmul(x, w)), axis=1)


def last_token(emit, x, mask, w, v_w, *_):
    return op.strided_slice(emit(op.matmul(x, w)), axes=[1], begin=[-1], end=[SEQ_LEN])


def square_mask(emit, x, mask, w, v_w, *_):
    query, key = heads_of(emit, x, w), heads_of(emit, x, v_w)
    return op.nn.attention(query, key, key, bias=mask)


def heads_in_front(emit, x, mask, w, v_w, *_):
    return op.reshape(emit(op.matmul(x, w)), (BATCH, SEQ_LEN * H, F // H))


def tokens_turned(emit, x, mask, w, v_w, *_):
    turned = emit(op.permute_dims(x, [0, 2, 1]))
    return op.matmul(turned, emit(op.matmul(x, w)))


def features_alone(emit, x, mask, w, v_w, *_):
    rows = emit(op.nn.softmax(emit(op.exp(emit(op.matmul(x, w)))), axis=-1))
    return op.sum(emit(op.multiply(rows, x)), axis=[2])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (mean, "mean"),
        (softmax_over_tokens, "nn.softmax"),
        (last_token, "strided_slice"),
        (square_mask, "nn.attention_bias"),
        (heads_in_front, "reshape"),
        (tokens_turned, "matmul"),
        (features_alone, ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_mixes_the_tokens_of_rows_is_named(body, named: str) -> None:
    mod = make_module(INPUTS, WEIGHTS, body)
    tiled, _ = tile(mod, random_values(mod)[1])
    assert tiled["main"].attrs[MIXES_TOKENS] == named


def test_layers_of_rows_stay_dense() -> None:
    mod = make_module(INPUTS, WEIGHTS, rows_and_tokens)
    mod, params = simplify_fc_transpose.convert(mod, random_values(mod)[1])
    _, _, decisions = bsr_dense.convert(mod, params, (2, 1), 0.0, include=("*",))
    assert {found.weight: found.action for found in decisions} == {
        "w": "sparse",
        "two_w": "dense",
        "v_w": "dense",
    }
    reason = "a build of any length multiplies it with few rows"
    assert all(reason in found.reason for found in decisions if found.action == "dense")


def test_each_shape_of_a_run_is_made_once() -> None:
    mod = make_open_encoder(num_layers=2)
    lowered = lower(mod, random_values(mod)[1], resolve_target())
    with tvm_target(resolve_target()):
        text = LOWER(lowered.mod)["main"].script(show_meta=False)
    made = re.findall(r'"vm.builtin.make_shape", shape_heap, ([\d, ]+)', text)
    assert len(made) == len(set(made)) > 3
