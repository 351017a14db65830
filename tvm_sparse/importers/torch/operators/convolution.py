"""Convolutions and pooling of images, channels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Emit,
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    shape_of,
)

op = relax.op


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else list(value)
    return (values[0], values[-1])


def _around(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right)."""
    return _pair(padding) * 2


def _emit_convolution(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Sequence[int] = (1,),
    padding: Any = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
    transposed: bool = False,
    output_padding: Sequence[int] = (0,),
) -> tvm.ir.Expr:
    if transposed:
        raise node.error("a transposed convolution given, which is not imported")
    size = shape_of(weight)[2:]
    if isinstance(padding, str):
        window = [(n - 1) * d for n, d in zip(size, _pair(dilation), strict=False)]
        if padding == "same" and any(extent % 2 for extent in window):
            raise node.error("padding 'same' with an even window given, which is not imported")
        padding = [extent // 2 if padding == "same" else 0 for extent in window]
    if len(size) == 1:
        convolved = op.nn.conv1d(
            as_expr(x),
            as_expr(weight),
            strides=_pair(stride)[0],
            padding=[_pair(padding)[0]] * 2,
            dilation=_pair(dilation)[0],
            groups=groups,
        )
    elif len(size) == 2:
        convolved = op.nn.conv2d(
            as_expr(x),
            as_expr(weight),
            strides=_pair(stride),
            padding=_around(padding),
            dilation=_pair(dilation),
            groups=groups,
        )
    else:
        raise node.error(f"a convolution over {len(size)} axes given: 1 and 2 are imported")
    result = emit(convolved)
    if bias is None:
        return result
    shape = (1, -1) + (1,) * len(size)
    return emit(op.add(result, emit(op.reshape(as_expr(bias), shape))))


def _pooling(relax_op: Emit) -> Operator:
    def emit_pooling(
        emit: Emitter,
        node: AtenNode,
        x: Value,
        kernel_size: Sequence[int],
        stride: Sequence[int] = (),
        padding: Sequence[int] = (0,),
        ceil_mode: bool = False,
        **options: Any,
    ) -> tvm.ir.Expr:
        sizes: dict[str, Any] = {"strides": _pair(stride or kernel_size)}
        if "count_include_pad" in options or relax_op is op.nn.avg_pool2d:
            sizes["count_include_pad"] = options.get("count_include_pad", True)
        if _pair(options.get("dilation", (1,))) != (1, 1) or options.get("divisor_override"):
            raise node.error("dilation or a divisor of its own given, which are not imported")
        return emit(
            relax_op(
                as_expr(x),
                _pair(kernel_size),
                padding=_around(padding),
                ceil_mode=ceil_mode,
                **sizes,
            )
        )

    return Operator(emit_pooling)


def _emit_adaptive(
    emit: Emitter, node: AtenNode, x: Value, output_size: Sequence[int]
) -> tvm.ir.Expr:
    if list(output_size) == [1, 1]:
        return emit(op.mean(as_expr(x), [2, 3], keepdims=True))
    return emit(op.nn.adaptive_avg_pool2d(as_expr(x), _pair(output_size)))


_MAX = _pooling(op.nn.max_pool2d)
_CONVOLUTION = Operator(_emit_convolution)
OPERATORS: dict[str, Operator] = {
    "_adaptive_avg_pool2d.default": Operator(_emit_adaptive),
    "adaptive_avg_pool2d.default": Operator(_emit_adaptive),
    "avg_pool2d.default": _pooling(op.nn.avg_pool2d),
    "conv1d.default": _CONVOLUTION,
    "conv2d.default": _CONVOLUTION,
    "conv2d.padding": _CONVOLUTION,
    "convolution.default": _CONVOLUTION,
    "max_pool2d.default": _MAX,
    "max_pool2d_with_indices.default": Operator(
        lambda emit, node, **arguments: [_MAX.emit(emit, node, **arguments), None]
    ),
}
