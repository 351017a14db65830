"""What an operator sees: one ONNX node, the values it reads, and a place to emit Relax ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tvm

from tvm_sparse.importers.extents import is_extent
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.values import axis
from tvm_sparse.sources import onnx_file

#: `convert(emitter, node, *inputs)` returns the result, or a list of several; an input that is left
#: out is None.
Convert: TypeAlias = Callable[..., Any]
#: Emits one of Relax's operators.
RelaxOp: TypeAlias = Callable[..., tvm.ir.Expr]

#: ONNX's numbers of dtypes, by numpy's names.
DTYPES = {**onnx_file.DTYPES, 16: "bfloat16"}


def integers(node: OnnxNode, value: Any, what: str) -> list[Any]:
    """Return numbers or extents that a node is given as a tensor or an attribute.

    Raises
    ------
    FrontendError
        They depend on an input of the model.
    """
    if isinstance(value, np.ndarray):
        return [one if is_extent(one) else int(one) for one in value.reshape(-1)]
    if isinstance(value, int):
        return [value]
    if isinstance(value, list):
        return [int(one) for one in value]
    raise node.error(f"its {what} follow from values of an input, which is not imported")


def option(node: OnnxNode, name: str, tensor: Any = None) -> list[Any] | None:
    """Return numbers that are an attribute in old versions and a tensor in new ones, or neither."""
    value = node.attributes.get(name) if tensor is None else tensor
    return None if value is None else integers(node, value, name)


def number(node: OnnxNode, value: Any, what: str) -> float:
    """Return a number that a node is given as a tensor, as `integers` does."""
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise node.error(f"its {what} follows from values of an input, which is not imported")
    return float(value.reshape(-1)[0])


def axes_of(values: Sequence[int] | None, rank: int) -> list[int]:
    """Return axes counted from the front, all of them for none."""
    return list(range(rank)) if values is None else [axis(one, rank) for one in values]
