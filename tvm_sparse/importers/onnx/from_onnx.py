"""A prepared program of ONNX operators becomes a Relax module with named weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm import relax

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.table import OPERATORS
from tvm_sparse.importers.onnx.program import OnnxNode, OnnxProgram
from tvm_sparse.importers.values import (
    as_expr,
)


def from_onnx(
    program: OnnxProgram, weights: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray]
) -> relax.Function:
    """Import a program, operator by operator.

    Parameters
    ----------
    program : OnnxProgram
        Of operators that are all in `OPERATORS`.
    weights, known : mapping of str to ndarray
        By value: what become parameters, and what is a constant of the graph.

    Returns
    -------
    relax.Function
        `main(inputs..., weights...)` of one dataflow block, not raised yet.

    Raises
    ------
    FrontendError
        An operator is used in a way that is not imported.
    """
    dtypes = {spec.name: spec.dtype for spec in program.signature}
    inputs = [
        relax.Var(name, relax.TensorType(program.shapes[name], dtypes[name]))
        for name in program.inputs
    ]
    parameters = {
        value: relax.Var(name, relax.TensorType(weights[value].shape, "float32"))
        for value, name in program.weights.items()
    }
    values: dict[str, Any] = {**known, **parameters, **{var.name: var for var in inputs}}
    emit = Emitter()
    for node in program.nodes:
        results = _convert(emit, node, values)
        values |= {name: value for name, value in zip(node.outputs, results, strict=False) if name}
    outputs = [as_expr(values[name]) for name in program.outputs]
    return emit.function([*inputs, *parameters.values()], outputs, len(inputs))


def _convert(emit: Emitter, node: OnnxNode, values: Mapping[str, Any]) -> list[Any]:
    arguments = [values[name] if name else None for name in node.inputs]
    try:
        result = OPERATORS[node.op](emit, node, *arguments)
    except (FrontendError, MemoryError):
        raise
    except Exception as error:  # of TVM's operators and numpy's, which have dozens of ways
        raise node.error(f"it cannot be imported as it is used here: {error}") from error
    return result if isinstance(result, list) else [result]
