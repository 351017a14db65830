"""A program of ATen operators becomes a Relax module with named weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from tvm_sparse.errors import FrontendError, UnsupportedOpError
from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.table import OPERATORS
from tvm_sparse.importers.torch.program import AtenNode, Program, Ref
from tvm_sparse.importers.values import (
    Complex,
    Value,
    as_expr,
    dtype_of,
    narrow,
    shape_of,
)


def from_aten(
    program: Program, tensors: dict[str, np.ndarray], names: dict[str, str], inputs: list[str]
) -> tuple[relax.Function, dict[str, np.ndarray]]:
    """Import a program, operator by operator.

    Parameters
    ----------
    program : Program
        As `read_program` returns it.
    tensors : dict of str to ndarray
        Parameters, buffers and constants by PyTorch's names.
    names : dict of str to str
        What the parameters are called in the module.
    inputs : list of str
        What the inputs are called.

    Returns
    -------
    function : relax.Function
        `main(inputs..., weights...)` of one dataflow block, not raised yet.
    params : dict of str to ndarray
        The weights that it reads, by the names it has for them.

    Raises
    ------
    UnsupportedOpError
        With all operators that none of `OPERATORS` covers.
    FrontendError
        An operator is used in a way that is not imported, or a weight is not of float32.
    """
    nodes = _needed(program)
    unknown = [(node.op, node.name) for node in nodes if node.op not in OPERATORS]
    if unknown:
        raise UnsupportedOpError(unknown, "ATen")
    values: dict[str, Any] = {}
    for own, name in zip(program.inputs, inputs, strict=True):
        dtype = narrow(program.dtypes[own])
        values[own] = relax.Var(name, relax.TensorType(program.shapes[own], dtype))
    for own, name in program.tensors.items():
        values[own] = _found(tensors, name)
    read = {ref.name for node in nodes for ref in _refs(node)} | set(program.outputs)
    params: dict[str, np.ndarray] = {}
    weights: list[relax.Var] = []
    for own, name in program.parameters.items():
        array = _found(tensors, name)
        if array.dtype != np.float32:
            raise FrontendError(
                f"weight {name} is of {array.dtype}: export the model in float32 (`model.float()`)"
            )
        if own in read:
            params[names[name]] = array
            values[own] = relax.Var(names[name], relax.TensorType(array.shape, "float32"))
            weights.append(values[own])
    emit = Emitter()
    for node in nodes:
        values |= _convert(emit, node, values)
    outputs = [as_expr(values[name]) for name in program.outputs]
    variables = [values[own] for own in program.inputs]
    return emit.function([*variables, *weights], outputs, len(variables)), params


def _convert(emit: Emitter, node: AtenNode, values: dict[str, Any]) -> dict[str, Any]:
    """Return the results of one node, in numpy if all that it reads is known."""
    operator = OPERATORS[node.op]
    arguments = {name: _value(argument, values) for name, argument in node.arguments.items()}
    known = all(isinstance(values[ref.name], np.ndarray) for ref in _refs(node))
    try:
        if known and operator.fold is not None:
            with np.errstate(all="ignore"):  # a mask may well be infinite
                result = operator.fold(node, **arguments)
        else:
            result = operator.emit(emit, node, **arguments)
    except (FrontendError, MemoryError):
        raise
    except Exception as error:  # of TVM's operators and numpy's, which have dozens of ways
        raise node.error(f"it cannot be imported as it is used here: {error}") from error
    results = [
        np.asarray(one) if isinstance(one, np.generic) else one
        for one in (result if isinstance(result, list) else [result])
    ]
    _check(node, results[0])
    return dict(zip(node.outputs, results, strict=False))


def _check(node: AtenNode, value: Value | Complex) -> None:
    """Refuse a result that is not what PyTorch says of it: it would be wrong, and silently."""
    if isinstance(value, Complex) and node.dtype == "complex64":
        return
    dtype = node.dtype if isinstance(value, np.ndarray) else narrow(node.dtype)
    if (shape_of(value), dtype_of(value)) != (node.shape, dtype):
        raise node.error(
            f"it gives {dtype_of(value)}{shape_of(value)}, in PyTorch {node.dtype}{node.shape}: "
            "it is not imported as it is used here"
        )


def _value(argument: Any, values: dict[str, Any]) -> Any:
    if isinstance(argument, Ref):
        return values[argument.name]
    if isinstance(argument, list):
        return [_value(one, values) for one in argument]
    return argument


def _refs(node: AtenNode) -> list[Ref]:
    flat = [
        one
        for argument in node.arguments.values()
        for one in (argument if isinstance(argument, list) else [argument])
    ]
    return [one for one in flat if isinstance(one, Ref)]


def _needed(program: Program) -> list[AtenNode]:
    """Return the nodes that lead to an output."""
    wanted = set(program.outputs)
    kept = []
    for node in reversed(program.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(ref.name for ref in _refs(node))
            kept.append(node)
    return kept[::-1]


def _found(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in tensors:
        raise FrontendError(f"the archive has no tensor {name}, which its program reads")
    return tensors[name]
