"""A program of ATen operators becomes a Relax module with named weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tvm import relax

from tvm_sparse.errors import FrontendError, UnsupportedOpError
from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.extents import Limits, is_extent
from tvm_sparse.importers.positions import Positions
from tvm_sparse.importers.torch.operators.operator import Operator
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
    program: Program,
    tensors: dict[str, np.ndarray],
    names: dict[str, str],
    inputs: list[str],
    limits: Limits | None = None,
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
    limits : Limits, optional
        Of the batch and the length of an open model.

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
    emit = Emitter(limits)
    for node in nodes:
        values |= _convert(emit, node, values)
    outputs = [as_expr(values[name]) for name in program.outputs]
    variables = [values[own] for own in program.inputs]
    return emit.function([*variables, *weights], outputs, len(variables)), params


def _convert(emit: Emitter, node: AtenNode, values: dict[str, Any]) -> dict[str, Any]:
    """Return the results of one node, in numpy if all that it reads is known."""
    operator = OPERATORS[node.op]
    arguments = {name: _value(argument, values) for name, argument in node.arguments.items()}
    try:
        result = _folded(emit, node, operator, arguments, [values[r.name] for r in _refs(node)])
        if result is NotImplemented:
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


def _folded(
    emit: Emitter,
    node: AtenNode,
    operator: Operator,
    arguments: dict[str, Any],
    tensors: list[Value],
) -> Any:
    """Return what is known of a result in numpy, NotImplemented if that is nothing.

    Of an open model it is known up to the limits, if it is computed place by place.
    """
    if operator.fold is None or not all(isinstance(t, np.ndarray | Positions) for t in tensors):
        return NotImplemented
    is_open = any(isinstance(t, Positions) for t in tensors)
    is_open |= not all(isinstance(extent, int) for extent in node.shape)
    is_open |= any(map(is_extent, _flat(node)))
    with np.errstate(all="ignore"):  # a mask may well be infinite
        if not is_open:
            return operator.fold(node, **arguments)
        if not operator.by_place(node, **arguments):
            return NotImplemented
        largest = replace(node, shape=emit.limits.largest(node.shape))
        at_limits = {name: _at_limits(emit, value) for name, value in arguments.items()}
        array = operator.fold(largest, **at_limits)
    return Positions(emit, np.broadcast_to(array, largest.shape), node.shape)


def _at_limits(emit: Emitter, value: Any) -> Any:
    if isinstance(value, list):
        return [_at_limits(emit, one) for one in value]
    if isinstance(value, Positions):
        return value.whole()
    return emit.limits.largest((value,))[0] if is_extent(value) else value


def _check(node: AtenNode, value: Value | Complex) -> None:
    """Refuse a result that is not what PyTorch says of it: it would be wrong, and silently."""
    if isinstance(value, Complex) and node.dtype == "complex64":
        return
    dtype = narrow(node.dtype)
    if (shape_of(value), narrow(dtype_of(value))) != (node.shape, dtype):
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
    return [one for one in _flat(node) if isinstance(one, Ref)]


def _flat(node: AtenNode) -> list[Any]:
    return [
        one
        for argument in node.arguments.values()
        for one in (argument if isinstance(argument, list) else [argument])
    ]


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
