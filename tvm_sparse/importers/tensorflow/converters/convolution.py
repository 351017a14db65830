"""Convolutions and pooling over images, channels last or first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    shape_of,
)

op = relax.op


def _layout(node: Node) -> str:
    layout = node.attrs.get("data_format", "NHWC")
    if layout not in ("NHWC", "NCHW"):
        raise node.error(f"data_format {layout} given; NHWC and NCHW are supported")
    return str(layout)


def _spatial(node: Node, values: Sequence[Any] | None) -> list[Any]:
    """Return the height and width entries of a four-entry attribute."""
    layout = _layout(node)
    return [values[layout.index(axis)] for axis in "HW"] if values else [1, 1]


def _padding(
    node: Node, extents: list[Any], window: list[int], strides: list[int]
) -> tuple[int, ...]:
    """Return (top, left, bottom, right) for TF's padding names.

    SAME makes ceil(extent / stride) outputs, the odd pixel going to the bottom and right.
    """
    kind = node.attrs["padding"]
    if kind == "VALID":
        return (0, 0, 0, 0)
    if kind == "EXPLICIT":
        flat, layout = node.attrs["explicit_paddings"], _layout(node)
        (top, bottom), (left, right) = (
            flat[2 * layout.index(a) : 2 * layout.index(a) + 2] for a in "HW"
        )
        return (top, left, bottom, right)
    totals = [
        # Without strides whatever the extent is, which the run may decide.
        size - 1 if stride == 1 else max((-(-extent // stride) - 1) * stride + size - extent, 0)
        for extent, size, stride in zip(extents, window, strides, strict=True)
    ]
    return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))


def _emit_conv2d(emit: Emitter, node: Node, x: Value, kernel: Value) -> tvm.ir.Expr:
    height, width, per_group, _ = shape_of(kernel)
    channels = shape_of(x)[_layout(node).index("C")]
    return _convolved(emit, node, x, as_expr(kernel), (height, width), channels // per_group)


def _emit_depthwise(emit: Emitter, node: Node, x: Value, kernel: Value) -> tvm.ir.Expr:
    height, width, channels, multiplier = shape_of(kernel)
    # A depthwise kernel is a grouped one with a single input channel per group.
    grouped = emit(op.reshape(as_expr(kernel), (height, width, 1, channels * multiplier)))
    return _convolved(emit, node, x, grouped, (height, width), channels)


def _convolved(
    emit: Emitter, node: Node, x: Value, kernel: tvm.ir.Expr, size: tuple[int, int], groups: int
) -> tvm.ir.Expr:
    layout = _layout(node)
    strides = _spatial(node, node.attrs["strides"])
    dilation = _spatial(node, node.attrs.get("dilations"))
    window = [(s - 1) * d + 1 for s, d in zip(size, dilation, strict=True)]
    extents = _spatial(node, shape_of(x))
    kernel_layout = "HWIO"
    if layout == "NCHW":
        kernel, kernel_layout = emit(op.permute_dims(kernel, [3, 2, 0, 1])), "OIHW"
    return emit(
        op.nn.conv2d(
            as_expr(x),
            kernel,
            strides=tuple(strides),
            padding=_padding(node, extents, window, strides),
            dilation=tuple(dilation),
            groups=groups,
            data_layout=layout,
            kernel_layout=kernel_layout,
        )
    )


def _pooling(relax_op: Callable[..., Any]) -> Converter:
    def emit_pooling(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
        window = _spatial(node, node.attrs["ksize"])
        strides = _spatial(node, node.attrs["strides"])
        padding = _padding(node, _spatial(node, shape_of(x)), window, strides)
        sizes = {"pool_size": tuple(window), "strides": tuple(strides), "padding": padding}
        return emit(relax_op(as_expr(x), **sizes, layout=_layout(node)))

    return Converter(emit_pooling)


CONVERTERS: dict[str, Converter] = {
    "AvgPool": _pooling(op.nn.avg_pool2d),
    "Conv2D": Converter(_emit_conv2d, note="dilated and grouped too"),
    "DepthwiseConv2dNative": Converter(_emit_depthwise),
    "MaxPool": _pooling(op.nn.max_pool2d),
}
