"""Legalisation of our Relax operators: which kernel each becomes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.kernels import op_calls
from tvm_sparse.kernels.attention import AttentionShape, make_attention
from tvm_sparse.kernels.bsr_sparse_dense import make_bsr_sparse_dense
from tvm_sparse.kernels.layer_norm import make_layer_norm
from tvm_sparse.kernels.op_attrs import epilogue_of, layout_of, shape_of
from tvm_sparse.kernels.packed_bsr import SparseFormat
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.kernels.row_dense import make_row_dense
from tvm_sparse.kernels.tiling import choose_layout, split_rows
from tvm_sparse.kernels.token_layout import (
    make_gather_tokens,
    make_pack_tokens,
    make_unpack_tokens,
)
from tvm_sparse.target import resolve_target

Expr = relax.Expr


@functools.cache
def _kernel(make: Callable[..., tvm.tirx.PrimFunc], *args: Any) -> tvm.tirx.PrimFunc:
    """Make each kernel once a process: layers of one shape share it."""
    return make(*args)


def _emit(bb: relax.BlockBuilder, kernel: Any, name: str, call: relax.Call) -> relax.Call:
    return relax.call_tir(bb.add_func(kernel, name), list(call.args), out_ty=call.ty)


def _sparse_dense(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    """Lower the row-major operator by itself: tile, multiply, untile."""
    data, weight_data, weight_indices, weight_indptr, *bias = call.args
    *lead, depth = shape_of(data)
    nnzb, bs_r, bs_c = shape_of(weight_data)
    num_block_rows = shape_of(weight_indptr)[0] - 1
    target = resolve_target()
    layout = choose_layout(1, int(np.prod(lead)), target, bs_r)
    form = SparseFormat(layout.token_tile)
    tokens = bb.emit(relax.op.reshape(data, (1, layout.seq_len, depth)))
    # A BSR triple is a `PackedBSR` of one lane, one panel and one chunk.
    blocks = bb.emit(relax.op.permute_dims(weight_data, [0, 2, 1]))
    stride = relax.const(bs_c * layout.token_tile, "int32")
    offsets = bb.emit(relax.op.multiply(weight_indices, stride))
    rows = np.arange(num_block_rows, dtype=np.int32)[:, None] * bs_r
    product = op_calls.tiled_sparse_dense(
        bb.emit(op_calls.pack_tokens(tokens, layout)),
        (
            bb.emit(relax.op.reshape(blocks, (nnzb, 1, bs_c, bs_r))),
            bb.emit(relax.op.reshape(offsets, (nnzb, 1))),
            weight_indptr,
            relax.const(rows, "int32"),
            relax.const(
                np.array([[0, num_block_rows * bs_r, 0, num_block_rows]], np.int32), "int32"
            ),
        ),
        bias[0] if bias else None,
        None,
        rows=split_rows(layout, target),
        activation=str(call.attrs["activation"]),
        layout=layout,
        form=form,
    )
    unpacked = bb.emit(op_calls.unpack_tokens(bb.emit(product), layout))
    return relax.op.reshape(unpacked, call.ty.shape)


def _pack_tokens(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    features = shape_of(call.args[0])[-1]
    return _emit(bb, _kernel(make_pack_tokens, layout_of(call), features), "pack_tokens", call)


def _unpack_tokens(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    features = shape_of(call.args[0])[1]
    return _emit(bb, _kernel(make_unpack_tokens, layout_of(call), features), "unpack_tokens", call)


def _gather_tokens(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    pairs = list(zip(call.args[::2], call.args[1::2], strict=True))
    tables = tuple(
        (shape_of(table)[0], shape_of(ids)[0], str(ids.ty.dtype)) for ids, table in pairs
    )
    kernel = _kernel(make_gather_tokens, layout_of(call), shape_of(pairs[0][1])[1], tables)
    return _emit(bb, kernel, "gather_tokens", call)


def _row_dense(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    units, lanes, epilogue = int(call.attrs["units"]), int(call.attrs["lanes"]), epilogue_of(call)
    rows, _ = shape_of(call.args[0])
    _, depth, panel = shape_of(call.args[1])
    kernel = _kernel(make_row_dense, rows, units, depth, panel, lanes, epilogue)
    return _emit(bb, kernel, f"row_dense_{units}x{depth}{epilogue.suffix}", call)


def _packed_dense(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    units, epilogue = int(call.attrs["units"]), epilogue_of(call)
    _, depth, rows = shape_of(call.args[1])
    kernel = _kernel(make_packed_dense, layout_of(call), units, depth, rows, epilogue)
    return _emit(bb, kernel, f"packed_dense_{units}x{depth}{epilogue.suffix}", call)


def _tiled_sparse_dense(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    layout, epilogue = layout_of(call), epilogue_of(call)
    units, depth = shape_of(call)[1], shape_of(call.args[0])[1]
    _, lanes, bs_c, bs_r = shape_of(call.args[1])
    rows, block_shape = int(call.attrs["rows"]), (bs_r, bs_c)
    parts = (int(call.attrs[f"form_{name}"]) for name in ("panels", "chunks", "lookahead"))
    form = SparseFormat(layout.token_tile, lanes, *parts)
    in_parallel = bool(call.attrs["in_parallel"])
    kernel = _kernel(
        make_bsr_sparse_dense, layout, units, depth, block_shape, rows, epilogue, form, in_parallel
    )
    name = f"sparse_dense_{units}x{depth}_{bs_r}x{bs_c}{epilogue.suffix}"
    return _emit(bb, kernel, name, call)


def _tiled_attention(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    mask = call.args[3] if len(call.args) > 3 else None
    shape = AttentionShape(
        heads=int(call.attrs["heads"]),
        head_dim=int(call.attrs["head_dim"]),
        value_dim=int(call.attrs["value_dim"]),
        features=_three(shape_of(arg)[1] for arg in call.args[:3]),
        offsets=_three(call.attrs["offsets"]),
        scale=float(call.attrs["scale"]),
        mask_batch=shape_of(mask)[0] if mask is not None else None,
    )
    tile = (int(call.attrs[name]) for name in ("vectors", "rows", "shares"))
    kernel = _kernel(make_attention, layout_of(call), shape, *tile)
    return _emit(bb, kernel, f"attention_{shape.heads}x{shape.head_dim}", call)


def _tiled_layer_norm(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    features = shape_of(call.args[0])[1]
    residual = bool(call.attrs["has_residual"])
    epsilon, vectors = float(call.attrs["epsilon"]), int(call.attrs["vectors"])
    kernel = _kernel(make_layer_norm, layout_of(call), features, epsilon, vectors, residual)
    return _emit(bb, kernel, f"layer_norm_{features}" + "_residual" * residual, call)


def _three(values: Iterable[Any]) -> tuple[int, int, int]:
    first, second, third = (int(value) for value in values)
    return first, second, third


#: Legalisation by operator.
KERNELS = {
    "sparse_dense": _sparse_dense,
    "pack_tokens": _pack_tokens,
    "unpack_tokens": _unpack_tokens,
    "gather_tokens": _gather_tokens,
    "row_dense": _row_dense,
    "packed_dense": _packed_dense,
    "tiled_sparse_dense": _tiled_sparse_dense,
    "tiled_attention": _tiled_attention,
    "tiled_layer_norm": _tiled_layer_norm,
}
