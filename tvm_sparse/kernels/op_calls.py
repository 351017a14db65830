"""Calls of our Relax operators, as the passes write them."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax

from tvm_sparse.kernels.op_attrs import layout_attrs, op_call
from tvm_sparse.kernels.packed_bsr import SparseFormat
from tvm_sparse.kernels.tiling import TokenLayout

Expr = relax.Expr


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
    return op_call(
        "sparse_dense",
        [data, weight_data, weight_indices, weight_indptr, bias],
        has_bias=bias is not None,
        has_residual=False,
        activation=activation,
    )


def pack_tokens(data: Expr, layout: TokenLayout) -> relax.Call:
    """Move row-major (batch, seq_len, F) data into token tiles (tiles, F, T)."""
    return op_call("pack_tokens", [data], **layout_attrs(layout))


def unpack_tokens(data: Expr, layout: TokenLayout) -> relax.Call:
    """Move token tiles (tiles, F, T) back to row-major (batch, seq_len, F)."""
    return op_call("unpack_tokens", [data], **layout_attrs(layout))


def gather_tokens(terms: Sequence[tuple[Expr, Expr]], layout: TokenLayout) -> relax.Call:
    """Add up rows of tables, given as (ids (1 or B, S), table (rows, F)), in token tiles."""
    return op_call(
        "gather_tokens", [part for term in terms for part in term], **layout_attrs(layout)
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
    return op_call(
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
    return op_call(
        "packed_dense",
        [data, weight, bias, residual],
        units=units,
        has_bias=bias is not None,
        has_residual=residual is not None,
        activation=activation,
        **layout_attrs(layout),
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
    return op_call(
        "tiled_sparse_dense",
        [data, *weight, bias, residual],
        rows=rows,
        form_panels=form.panels,
        form_chunks=form.chunks,
        form_lookahead=form.lookahead,
        in_parallel=in_parallel,
        has_bias=bias is not None,
        has_residual=residual is not None,
        activation=activation,
        **layout_attrs(layout),
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
    return op_call(
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
        **layout_attrs(layout),
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
    return op_call(
        "tiled_layer_norm",
        [data, gamma, beta, residual],
        epsilon=epsilon,
        vectors=vectors,
        has_residual=residual is not None,
        **layout_attrs(layout),
    )
