"""Our Relax operators: type inference, purity, legalisation to kernels.

`tvm_sparse.sparse_dense` is the operator a user meets in the printed module: row-major data and a
plain BSR weight. The `tvm_sparse.tiled_*` operators and `tvm_sparse.packed_dense` work on token
tiles; the pass `tile_tokens` introduces them. Importing this module registers all of them, which
loading a cached module that holds one requires.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.kernels.attention import AttentionShape, make_attention
from tvm_sparse.kernels.bsr_sparse_dense import make_bsr_sparse_dense
from tvm_sparse.kernels.epilogue import Epilogue
from tvm_sparse.kernels.layer_norm import make_layer_norm
from tvm_sparse.kernels.packed_bsr import SparseFormat
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.kernels.row_dense import make_row_dense
from tvm_sparse.kernels.tiling import TokenLayout, choose_layout, split_rows
from tvm_sparse.kernels.token_layout import (
    make_gather_tokens,
    make_pack_tokens,
    make_unpack_tokens,
)
from tvm_sparse.target import resolve_target

Expr = relax.Expr


def _call(name: str, args: Sequence[Expr | None], **attrs: Any) -> relax.Call:
    node = tvm.ir.make_node("ir.DictAttrs", **attrs)
    return relax.Call(
        tvm.ir.Op.get(f"tvm_sparse.{name}"), [arg for arg in args if arg is not None], attrs=node
    )


def _shape(expr: Expr) -> list[int]:
    return [int(dim) for dim in expr.ty.shape.values]


def _tensor(shape: Sequence[int], dtype: str = "float32") -> relax.TensorType:
    return relax.TensorType([int(dim) for dim in shape], dtype)


def _layout_attrs(layout: TokenLayout) -> dict[str, int]:
    return {
        "batch": layout.batch,
        "seq_len": layout.seq_len,
        "token_tile": layout.token_tile,
        "lanes": layout.lanes,
    }


def _layout(call: relax.Call) -> TokenLayout:
    return TokenLayout(
        *(int(call.attrs[name]) for name in ("batch", "seq_len", "token_tile", "lanes"))
    )


def _epilogue(call: relax.Call) -> Epilogue:
    return Epilogue(
        bool(call.attrs["has_bias"]),
        bool(call.attrs["has_residual"]),
        str(call.attrs["activation"]),
    )


# -- constructors ---------------------------------------------------------------------------------


def sparse_dense(
    data: Expr,
    weight_data: Expr,
    weight_indices: Expr,
    weight_indptr: Expr,
    bias: Expr | None = None,
    *,
    activation: str = "none",
) -> relax.Call:
    """Multiply row-major data by a transposed block-sparse weight.

    Parameters
    ----------
    data : Expr, (..., K) float32
    weight_data : Expr, (nnzb, bs_r, bs_c) float32
    weight_indices : Expr, (nnzb,) int32
    weight_indptr : Expr, (N / bs_r + 1,) int32
    bias : Expr, (N,) float32, optional
    activation : str
        A key of `activations.ACTIVATIONS`.

    Returns
    -------
    Call
        (..., N) float32.
    """
    return _call(
        "sparse_dense",
        [data, weight_data, weight_indices, weight_indptr, bias],
        has_bias=bias is not None,
        has_residual=False,
        activation=activation,
    )


def pack_tokens(data: Expr, layout: TokenLayout) -> relax.Call:
    """Move row-major (batch, seq_len, F) data into token tiles (tiles, F, T)."""
    return _call("pack_tokens", [data], **_layout_attrs(layout))


def unpack_tokens(data: Expr, layout: TokenLayout) -> relax.Call:
    """Move token tiles (tiles, F, T) back to row-major (batch, seq_len, F)."""
    return _call("unpack_tokens", [data], **_layout_attrs(layout))


def gather_tokens(terms: Sequence[tuple[Expr, Expr]], layout: TokenLayout) -> relax.Call:
    """Add up rows of tables, given as (ids (1 or B, S), table (rows, F)), in token tiles."""
    return _call(
        "gather_tokens", [part for term in terms for part in term], **_layout_attrs(layout)
    )


def row_dense(
    data: Expr,
    weight: Expr,
    bias: Expr | None,
    residual: Expr | None,
    *,
    units: int,
    activation: str,
    lanes: int,
) -> relax.Call:
    """Multiply a few rows (M, K) by a weight packed with `packed_dense.pack_dense`."""
    return _call(
        "row_dense",
        [data, weight, bias, residual],
        units=units,
        lanes=lanes,
        has_bias=bias is not None,
        has_residual=residual is not None,
        activation=activation,
    )


def packed_dense(
    data: Expr,
    weight: Expr,
    bias: Expr | None,
    residual: Expr | None,
    *,
    units: int,
    activation: str,
    layout: TokenLayout,
) -> relax.Call:
    """Multiply token tiles by a weight packed with `packed_dense.pack_dense`."""
    return _call(
        "packed_dense",
        [data, weight, bias, residual],
        units=units,
        has_bias=bias is not None,
        has_residual=residual is not None,
        activation=activation,
        **_layout_attrs(layout),
    )


def tiled_sparse_dense(
    data: Expr,
    weight: Sequence[Expr],
    bias: Expr | None,
    residual: Expr | None,
    *,
    rows: int,
    activation: str,
    layout: TokenLayout,
    form: SparseFormat,
    in_parallel: bool = True,
) -> relax.Call:
    """Multiply token tiles by a weight given as the five arrays of a `PackedBSR`.

    `rows` is the most rows of a block that are accumulated together, `form` how the weight was
    packed, `in_parallel` whether threads share the work.
    """
    return _call(
        "tiled_sparse_dense",
        [data, *weight, bias, residual],
        rows=rows,
        form_panels=form.panels,
        form_chunks=form.chunks,
        in_parallel=in_parallel,
        has_bias=bias is not None,
        has_residual=residual is not None,
        activation=activation,
        **_layout_attrs(layout),
    )


def tiled_attention(
    qkv: tuple[Expr, Expr, Expr],
    mask: Expr | None,
    *,
    heads: int,
    head_dim: int,
    value_dim: int,
    offsets: tuple[int, int, int],
    scale: float,
    vectors: int,
    rows: int,
    shares: int = 1,
    layout: TokenLayout,
) -> relax.Call:
    """Attend over token tiles; see `attention.AttentionShape` and `make_attention`."""
    return _call(
        "tiled_attention",
        [*qkv, mask],
        heads=heads,
        head_dim=head_dim,
        value_dim=value_dim,
        offsets=list(offsets),
        scale=scale,
        vectors=vectors,
        rows=rows,
        shares=shares,
        **_layout_attrs(layout),
    )


def tiled_layer_norm(
    data: Expr,
    gamma: Expr,
    beta: Expr,
    residual: Expr | None,
    *,
    epsilon: float,
    vectors: int,
    layout: TokenLayout,
) -> relax.Call:
    """Normalise the features of token tiles; see `layer_norm.make_layer_norm`."""
    return _call(
        "tiled_layer_norm",
        [data, gamma, beta, residual],
        epsilon=epsilon,
        vectors=vectors,
        has_residual=residual is not None,
        **_layout_attrs(layout),
    )


# -- types ----------------------------------------------------------------------------------------


def _infer_sparse_dense(call: relax.Call, _: Any) -> relax.TensorType:
    data, weight_data, _, weight_indptr = call.args[:4]
    units = (_shape(weight_indptr)[0] - 1) * _shape(weight_data)[1]
    return _tensor([*_shape(data)[:-1], units])


def _infer_pack_tokens(call: relax.Call, _: Any) -> relax.TensorType:
    return _tensor(_layout(call).shape(_shape(call.args[0])[-1]))


def _infer_unpack_tokens(call: relax.Call, _: Any) -> relax.TensorType:
    layout = _layout(call)
    return _tensor([layout.batch, layout.seq_len, _shape(call.args[0])[1]])


def _infer_gather_tokens(call: relax.Call, _: Any) -> relax.TensorType:
    return _tensor(_layout(call).shape(_shape(call.args[1])[1]))


def _infer_row_dense(call: relax.Call, _: Any) -> relax.TensorType:
    return _tensor([_shape(call.args[0])[0], int(call.attrs["units"])])


def _infer_packed_dense(call: relax.Call, _: Any) -> relax.TensorType:
    return _tensor(_layout(call).shape(int(call.attrs["units"])))


def _infer_tiled_sparse_dense(call: relax.Call, _: Any) -> relax.TensorType:
    num_groups, lanes = _shape(call.args[4])
    num_block_rows = num_groups // int(call.attrs["form_panels"]) * lanes
    return _tensor(_layout(call).shape(num_block_rows * _shape(call.args[1])[3]))


def _infer_tiled_attention(call: relax.Call, _: Any) -> relax.TensorType:
    return _tensor(_layout(call).shape(int(call.attrs["heads"]) * int(call.attrs["value_dim"])))


def _infer_tiled_layer_norm(call: relax.Call, _: Any) -> relax.TensorType:
    return _tensor(_shape(call.args[0]))


def _three(values: Iterable[Any]) -> tuple[int, int, int]:
    first, second, third = (int(value) for value in values)
    return first, second, third


# -- legalisation ---------------------------------------------------------------------------------


@functools.cache
def _kernel(make: Callable[..., tvm.tirx.PrimFunc], *args: Any) -> tvm.tirx.PrimFunc:
    """Make each kernel once a process: layers of one shape share it."""
    return make(*args)


def _emit(bb: relax.BlockBuilder, kernel: Any, name: str, call: relax.Call) -> relax.Call:
    return relax.call_tir(bb.add_func(kernel, name), list(call.args), out_ty=call.ty)


def _legalize_sparse_dense(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    """Lower the row-major operator by itself: tile, multiply, untile."""
    data, weight_data, weight_indices, weight_indptr, *bias = call.args
    *lead, depth = _shape(data)
    nnzb, bs_r, bs_c = _shape(weight_data)
    num_block_rows = _shape(weight_indptr)[0] - 1
    target = resolve_target()
    layout = choose_layout(1, int(np.prod(lead)), target, bs_r)
    form = SparseFormat(layout.token_tile)
    tokens = bb.emit(relax.op.reshape(data, (1, layout.seq_len, depth)))
    # A BSR triple is a `PackedBSR` of one lane, one panel and one chunk.
    blocks = bb.emit(relax.op.permute_dims(weight_data, [0, 2, 1]))
    stride = relax.const(bs_c * layout.token_tile, "int32")
    offsets = bb.emit(relax.op.multiply(weight_indices, stride))
    rows = np.arange(num_block_rows, dtype=np.int32)[:, None] * bs_r
    product = tiled_sparse_dense(
        bb.emit(pack_tokens(tokens, layout)),
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
    unpacked = bb.emit(unpack_tokens(bb.emit(product), layout))
    return relax.op.reshape(unpacked, call.ty.shape)


def _legalize_pack_tokens(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    features = _shape(call.args[0])[-1]
    return _emit(bb, _kernel(make_pack_tokens, _layout(call), features), "pack_tokens", call)


def _legalize_unpack_tokens(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    features = _shape(call.args[0])[1]
    return _emit(bb, _kernel(make_unpack_tokens, _layout(call), features), "unpack_tokens", call)


def _legalize_gather_tokens(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    pairs = list(zip(call.args[::2], call.args[1::2], strict=True))
    tables = tuple((_shape(table)[0], _shape(ids)[0], str(ids.ty.dtype)) for ids, table in pairs)
    kernel = _kernel(make_gather_tokens, _layout(call), _shape(pairs[0][1])[1], tables)
    return _emit(bb, kernel, "gather_tokens", call)


def _legalize_row_dense(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    units, lanes, epilogue = int(call.attrs["units"]), int(call.attrs["lanes"]), _epilogue(call)
    rows, _ = _shape(call.args[0])
    _, depth, panel = _shape(call.args[1])
    kernel = _kernel(make_row_dense, rows, units, depth, panel, lanes, epilogue)
    return _emit(bb, kernel, f"row_dense_{units}x{depth}{epilogue.suffix}", call)


def _legalize_packed_dense(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    units, epilogue = int(call.attrs["units"]), _epilogue(call)
    _, depth, rows = _shape(call.args[1])
    kernel = _kernel(make_packed_dense, _layout(call), units, depth, rows, epilogue)
    return _emit(bb, kernel, f"packed_dense_{units}x{depth}{epilogue.suffix}", call)


def _legalize_tiled_sparse_dense(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    layout, epilogue = _layout(call), _epilogue(call)
    units, depth = _shape(call)[1], _shape(call.args[0])[1]
    _, lanes, bs_c, bs_r = _shape(call.args[1])
    rows, block_shape = int(call.attrs["rows"]), (bs_r, bs_c)
    panels, chunks = (int(call.attrs[f"form_{name}"]) for name in ("panels", "chunks"))
    form = SparseFormat(layout.token_tile, lanes, panels, chunks)
    in_parallel = bool(call.attrs["in_parallel"])
    kernel = _kernel(
        make_bsr_sparse_dense, layout, units, depth, block_shape, rows, epilogue, form, in_parallel
    )
    name = f"sparse_dense_{units}x{depth}_{bs_r}x{bs_c}{epilogue.suffix}"
    return _emit(bb, kernel, name, call)


def _legalize_tiled_attention(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    mask = call.args[3] if len(call.args) > 3 else None
    shape = AttentionShape(
        heads=int(call.attrs["heads"]),
        head_dim=int(call.attrs["head_dim"]),
        value_dim=int(call.attrs["value_dim"]),
        features=_three(_shape(arg)[1] for arg in call.args[:3]),
        offsets=_three(call.attrs["offsets"]),
        scale=float(call.attrs["scale"]),
        mask_batch=_shape(mask)[0] if mask is not None else None,
    )
    tile = (int(call.attrs[name]) for name in ("vectors", "rows", "shares"))
    kernel = _kernel(make_attention, _layout(call), shape, *tile)
    return _emit(bb, kernel, f"attention_{shape.heads}x{shape.head_dim}", call)


def _legalize_tiled_layer_norm(bb: relax.BlockBuilder, call: relax.Call) -> Expr:
    features = _shape(call.args[0])[1]
    residual = bool(call.attrs["has_residual"])
    epsilon, vectors = float(call.attrs["epsilon"]), int(call.attrs["vectors"])
    kernel = _kernel(make_layer_norm, _layout(call), features, epsilon, vectors, residual)
    return _emit(bb, kernel, f"layer_norm_{features}" + "_residual" * residual, call)


def _register() -> None:
    table = {
        "sparse_dense": (_infer_sparse_dense, _legalize_sparse_dense),
        "pack_tokens": (_infer_pack_tokens, _legalize_pack_tokens),
        "unpack_tokens": (_infer_unpack_tokens, _legalize_unpack_tokens),
        "gather_tokens": (_infer_gather_tokens, _legalize_gather_tokens),
        "row_dense": (_infer_row_dense, _legalize_row_dense),
        "packed_dense": (_infer_packed_dense, _legalize_packed_dense),
        "tiled_sparse_dense": (_infer_tiled_sparse_dense, _legalize_tiled_sparse_dense),
        "tiled_attention": (_infer_tiled_attention, _legalize_tiled_attention),
        "tiled_layer_norm": (_infer_tiled_layer_norm, _legalize_tiled_layer_norm),
    }
    for name, (infer, legalize) in table.items():
        op = f"tvm_sparse.{name}"
        tvm.ir.register_op_attr(op, "FInferType", infer)
        tvm.ir.register_op_attr(op, "FLegalize", legalize)
        tvm.ir.register_op_attr(op, "FPurity", True)


_register()
