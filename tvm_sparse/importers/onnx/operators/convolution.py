"""Convolutions and pooling, channels first."""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import (
    Convert,
    RelaxOp,
)
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    shape_of,
)

op = relax.op


def _padding(node: OnnxNode, x: Value, window: list[int], strides: list[int]) -> list[int]:
    """Return how much is added at the front of each axis, then behind each."""
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return list(node.attributes.get("pads", [0] * (2 * len(window))))
    if mode == "VALID":
        return [0] * (2 * len(window))
    extents = shape_of(x)[2:]
    total = [
        max((-(-extent // stride) - 1) * stride + size - extent, 0)
        for extent, size, stride in zip(extents, window, strides, strict=True)
    ]
    less, more = [one // 2 for one in total], [one - one // 2 for one in total]
    return less + more if mode == "SAME_UPPER" else more + less


def _convolution(
    emit: Emitter, node: OnnxNode, x: Value, weight: Value, bias: Value | None = None
) -> tvm.ir.Expr:
    size = list(shape_of(weight)[2:])
    if len(size) not in (1, 2):
        raise node.error(f"a convolution over {len(size)} axes given: 1 and 2 are imported")
    strides = node.attributes.get("strides", [1] * len(size))
    dilation = node.attributes.get("dilations", [1] * len(size))
    window = [(n - 1) * d + 1 for n, d in zip(size, dilation, strict=True)]
    options = {
        "strides": strides,
        "padding": _padding(node, x, window, strides),
        "dilation": dilation,
        "groups": node.attributes.get("group", 1),
    }
    relax_op = op.nn.conv1d if len(size) == 1 else op.nn.conv2d
    result = emit(relax_op(as_expr(x), as_expr(weight), **options))
    if bias is None:
        return result
    shape = (1, -1) + (1,) * len(size)
    return emit(op.add(result, emit(op.reshape(as_expr(bias), shape))))


def _pooling(relax_op: RelaxOp, is_mean: bool = False) -> Convert:
    def convert(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
        given = node.attributes
        size = given["kernel_shape"]
        if len(size) != 2 or set(given.get("dilations", [1])) != {1}:
            raise node.error("pooling over other than 2 axes, or dilated, which is not imported")
        strides = given.get("strides", [1] * len(size))
        options = {
            "strides": strides,
            "padding": _padding(node, x, size, strides),
            "ceil_mode": bool(given.get("ceil_mode", 0)),
        }
        if is_mean:
            options["count_include_pad"] = bool(given.get("count_include_pad", 0))
        return emit(relax_op(as_expr(x), size, **options))

    return convert


def _global_mean(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    return emit(op.mean(as_expr(x), list(range(2, len(shape_of(x)))), keepdims=True))


def _global_max(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    return emit(op.max(as_expr(x), list(range(2, len(shape_of(x)))), keepdims=True))


OPERATORS: dict[str, Convert] = {
    "AveragePool": _pooling(op.nn.avg_pool2d, is_mean=True),
    "Conv": _convolution,
    "GlobalAveragePool": _global_mean,
    "GlobalMaxPool": _global_max,
    "MaxPool": _pooling(op.nn.max_pool2d),
}
