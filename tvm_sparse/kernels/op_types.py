"""Type inference of our Relax operators."""

from __future__ import annotations

from typing import Any

from tvm import relax

from tvm_sparse.kernels.op_attrs import layout_of, shape_of, tensor_type


def _sparse_dense(call: relax.Call, _: Any) -> relax.TensorType:
    data, weight_data, _, weight_indptr = call.args[:4]
    units = (shape_of(weight_indptr)[0] - 1) * shape_of(weight_data)[1]
    return tensor_type([*shape_of(data)[:-1], units])


def _pack_tokens(call: relax.Call, _: Any) -> relax.TensorType:
    return tensor_type(layout_of(call).shape(shape_of(call.args[0])[-1]))


def _unpack_tokens(call: relax.Call, _: Any) -> relax.TensorType:
    layout = layout_of(call)
    return tensor_type([layout.batch, layout.seq_len, shape_of(call.args[0])[1]])


def _gather_tokens(call: relax.Call, _: Any) -> relax.TensorType:
    return tensor_type(layout_of(call).shape(shape_of(call.args[1])[1]))


def _row_dense(call: relax.Call, _: Any) -> relax.TensorType:
    return tensor_type([shape_of(call.args[0])[0], int(call.attrs["units"])])


def _packed_dense(call: relax.Call, _: Any) -> relax.TensorType:
    return tensor_type(layout_of(call).shape(int(call.attrs["units"])))


def _tiled_sparse_dense(call: relax.Call, _: Any) -> relax.TensorType:
    num_groups, lanes = shape_of(call.args[4])
    num_block_rows = num_groups // int(call.attrs["form_panels"]) * lanes
    return tensor_type(layout_of(call).shape(num_block_rows * shape_of(call.args[1])[3]))


def _tiled_attention(call: relax.Call, _: Any) -> relax.TensorType:
    return tensor_type(
        layout_of(call).shape(int(call.attrs["heads"]) * int(call.attrs["value_dim"]))
    )


def _tiled_layer_norm(call: relax.Call, _: Any) -> relax.TensorType:
    return tensor_type(shape_of(call.args[0]))


#: Inference by operator.
TYPES = {
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
