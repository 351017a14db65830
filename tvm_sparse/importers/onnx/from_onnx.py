"""A prepared program of ONNX operators becomes a Relax module with named weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.extents import Limits, extents_array
from tvm_sparse.importers.onnx.operators.table import OPERATORS
from tvm_sparse.importers.onnx.program import OnnxNode, OnnxProgram
from tvm_sparse.importers.positions import Positions
from tvm_sparse.importers.values import (
    as_expr,
)
from tvm_sparse.ir.dims import BATCH, SEQ_LEN, Dim, dim, dims_of


def from_onnx(
    program: OnnxProgram,
    weights: Mapping[str, np.ndarray],
    known: Mapping[str, np.ndarray],
    positions: Mapping[str, np.ndarray] | None = None,
    limits: Limits | None = None,
) -> relax.Function:
    """Import a program, operator by operator.

    Parameters
    ----------
    program : OnnxProgram
        Of operators that are all in `OPERATORS`.
    weights, known : mapping of str to ndarray
        By value: what become parameters, and what is a constant of the graph.
    positions : mapping of str to ndarray, optional
        What follows from positions alone, of an open model, at its largest shape.
    limits : Limits, optional
        Of its batch and its length.

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
    shapes = {spec.name: dims_of(spec) for spec in program.signature if spec.is_open}
    shapes = {**program.shapes, **shapes}
    inputs = [
        relax.Var(name, relax.TensorType(shapes[name], dtypes[name])) for name in program.inputs
    ]
    parameters = {
        value: relax.Var(name, relax.TensorType(weights[value].shape, "float32"))
        for value, name in program.weights.items()
    }
    values: dict[str, Any] = {**known, **parameters, **{var.name: var for var in inputs}}
    emit = Emitter(limits)
    for name, extents in program.extents.items():
        vector = extents_array(map(_extent, extents), "int64")
        values[name] = vector.reshape(()) if name in program.singles else vector
    for name, array in (positions or {}).items():
        values[name] = Positions(emit, array, tuple(map(_extent, program.positions[name])))
    for node in program.nodes:
        results = _convert(emit, node, values)
        values |= {name: value for name, value in zip(node.outputs, results, strict=False) if name}
    outputs = [as_expr(values[name]) for name in program.outputs]
    return emit.function([*inputs, *parameters.values()], outputs, len(inputs))


def _extent(times: tuple[int, int, int, int]) -> Dim:
    one, batch, length, both = times
    return dim(
        tvm.tirx.IntImm("int64", one) + BATCH * batch + SEQ_LEN * length + BATCH * SEQ_LEN * both
    )


def _convert(emit: Emitter, node: OnnxNode, values: Mapping[str, Any]) -> list[Any]:
    arguments = [values[name] if name else None for name in node.inputs]
    try:
        result = OPERATORS[node.op](emit, node, *arguments)
    except (FrontendError, MemoryError):
        raise
    except Exception as error:  # of TVM's operators and numpy's, which have dozens of ways
        raise node.error(f"it cannot be imported as it is used here: {error}") from error
    return result if isinstance(result, list) else [result]
