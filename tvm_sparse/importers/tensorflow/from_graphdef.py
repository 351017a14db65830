"""A frozen TensorFlow GraphDef becomes a Relax module with named weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.errors import FrontendError, UnsupportedOpError
from tvm_sparse.importers.extents import Limits, is_open, settled
from tvm_sparse.importers.layer_places import find_places
from tvm_sparse.importers.raising.pipeline import raise_patterns
from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    shape_of,
)
from tvm_sparse.importers.tensorflow.converters.table import CONVERTERS
from tvm_sparse.importers.tensorflow.graphdef import FrozenGraph
from tvm_sparse.importers.tensorflow.inline_calls import inline_calls
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow
from tvm_sparse.ir.dims import dims_of
from tvm_sparse.ir.functions import with_places

_NEEDS_NUMBERS = (
    "its shapes must be numbers: give one batch and one length, --batch N --seq-len N, not ranges"
)
# Ops that the import itself answers.
_LEAVES = ("Const", "Placeholder")


def from_graphdef(frozen: FrozenGraph) -> tuple[tvm.IRModule, dict[str, np.ndarray]]:
    """Import a frozen graph.

    Parameters
    ----------
    frozen : FrozenGraph
        GraphDef, its inputs, outputs and the names of its weights. Inputs with axes that the run
        decides make an open model.

    Returns
    -------
    mod : tvm.IRModule
        One function `main(inputs..., weights...)` with the attributes `num_input` and
        `places`, one dataflow block, and a tuple of all outputs in the order of
        `frozen.outputs`.
    params : dict of str to np.ndarray
        The weights by parameter name.

    Raises
    ------
    UnsupportedOpError
        If ops without a converter lie on the way to an output; all of them are listed.
    FrontendError
        If a converter needs a static value that the graph computes from its inputs.
    """
    mod, params = import_graph(frozen)
    return raise_patterns(mod), params


def import_graph(frozen: FrozenGraph) -> tuple[tvm.IRModule, dict[str, np.ndarray]]:
    """Import a frozen graph op by op, without raising patterns (see `from_graphdef`)."""
    protos = {proto.name: proto for proto in inline_calls(frozen.graph_def)}
    dtypes = _dtype_names()
    nodes = {name: _read_node(proto, dtypes) for name, proto in protos.items()}
    outputs = [_tensor(output.tensor) for output in frozen.outputs]
    order = _reachable(nodes, [name for name, _ in outputs])
    unsupported = [
        (node.op, node.name)
        for node in order
        if node.op not in _LEAVES and node.op not in CONVERTERS
    ]
    if unsupported:
        raise UnsupportedOpError(unsupported)

    inputs = {
        i.name: relax.Var(i.name, relax.TensorType(dims_of(i), i.dtype)) for i in frozen.inputs
    }
    values: dict[tuple[str, int], Value] = {(name, 0): var for name, var in inputs.items()}
    params: dict[str, np.ndarray] = {}
    weights: dict[str, tvm.ir.Expr] = {}
    for node in order:
        if node.op == "Const":
            array = _read_tensor(protos[node.name])
            weight = frozen.weight_names.get(node.name)
            if weight is None:
                values[node.name, 0] = array
                continue
            if weight not in weights:
                params[weight] = array
                weights[weight] = relax.Var(weight, relax.TensorType(array.shape, str(array.dtype)))
            values[node.name, 0] = weights[weight]

    emitter = Emitter(_limits(frozen))
    for node in order:
        if node.op not in _LEAVES:
            _convert(emitter, node, values)
        elif (node.name, 0) not in values:
            raise node.error("a placeholder that is not among the inputs of the graph")
    results = [as_expr(values[tensor]) for tensor in outputs]
    function = emitter.function([*inputs.values(), *weights.values()], results, len(inputs))
    matrices = [name for name, value in params.items() if value.ndim > 1]
    places = find_places(matrices, frozen.architecture)
    return tvm.IRModule({"main": with_places(function, places)}), params


def _convert(emitter: Emitter, node: Node, values: dict[tuple[str, int], Value]) -> None:
    """Convert one node and store its outputs, in numpy if all that it reads is known."""
    converter = CONVERTERS[node.op]
    operands = [values[tensor] for tensor in node.inputs]
    try:
        results = _fold(converter, node, operands)
        if results is NotImplemented:
            results = converter.emit(emitter, node, *operands)
    except (FrontendError, MemoryError):
        raise
    except Exception as error:  # of TVM's operators, which have dozens of ways to refuse
        if any(map(_is_open, operands)):
            raise node.error(_NEEDS_NUMBERS) from error
        raise node.error(f"its inputs cannot be converted: {error}") from error
    for i, result in enumerate(results if isinstance(results, list) else [results]):
        known = isinstance(result, np.ndarray | np.generic)
        values[node.name, i] = np.asarray(result) if known else result
        if not known and not isinstance(result.ty.shape, relax.ShapeExpr):
            raise node.error(_NEEDS_NUMBERS)


def _fold(converter: Converter, node: Node, operands: list[Value]) -> Any:
    """Return the node's outputs if all it reads is known and folds, else NotImplemented."""
    if converter.fold is None or not all(isinstance(v, np.ndarray) for v in operands):
        return NotImplemented
    with np.errstate(all="ignore"):  # a constant may well be infinite
        results = converter.fold(node, *operands)
    if results is NotImplemented or not any(map(is_open, operands)):
        return results
    several = isinstance(results, list)
    arrays = [settled(result, node.attrs) for result in (results if several else [results])]
    return arrays if several else arrays[0]


def _is_open(value: Value) -> bool:
    """Return whether the run decides about the extents that a value holds or has."""
    return is_open(value) or not all(isinstance(extent, int) for extent in shape_of(value))


def _limits(frozen: FrozenGraph) -> Limits:
    """Return the largest batch and length that the inputs of an open model have."""
    most = {
        axis: extent
        for spec in frozen.inputs
        for axis, extent in zip(spec.axes, spec.shape, strict=False)
    }
    return Limits(most.get("batch", 1), most.get("seq_len", 1))


def _reachable(nodes: dict[str, Node], outputs: list[str]) -> list[Node]:
    """Return the nodes that the outputs need, operands first.

    Asserts and other nodes that only control edges lead to fall away here.
    """
    order: list[Node] = []
    done: set[str] = set()
    stack = [(name, False) for name in reversed(outputs)]
    while stack:
        name, ready = stack.pop()
        if ready:
            order.append(nodes[name])
        elif name not in done:
            done.add(name)
            if name not in nodes:
                raise FrontendError(f"the graph has no node {name}, which another node reads")
            stack.append((name, True))
            stack += [(source, False) for source, _ in reversed(nodes[name].inputs)]
    return order


def _tensor(reference: str) -> tuple[str, int]:
    name, _, index = reference.partition(":")
    return name, int(index or 0)


def _read_node(proto: Any, dtypes: dict[int, str]) -> Node:
    inputs = tuple(_tensor(i) for i in proto.input if not i.startswith("^"))
    attrs = {} if proto.op in _LEAVES else {k: _attr(v, dtypes) for k, v in proto.attr.items()}
    return Node(proto.name, proto.op, inputs, attrs)


def _attr(value: Any, dtypes: dict[int, str]) -> Any:
    kind = value.WhichOneof("value")
    if kind == "s":
        return value.s.decode(errors="replace")
    if kind == "type":
        return dtypes.get(value.type, "unknown")
    if kind == "shape":
        return tuple(dim.size for dim in value.shape.dim)
    if kind == "list":
        if value.list.s:
            return [text.decode(errors="replace") for text in value.list.s]
        return [*value.list.i, *value.list.f, *value.list.b]
    return getattr(value, kind) if kind in ("i", "f", "b") else None


def _dtype_names() -> dict[int, str]:
    """Return numpy's names of TF's dtype numbers."""
    tf = import_tensorflow()
    known = ["bool", "float16", "float32", "float64"]
    known += [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
    return {tf.dtypes.as_dtype(name).as_datatype_enum: name for name in known}


def _read_tensor(proto: Any) -> np.ndarray:
    array: np.ndarray = import_tensorflow().make_ndarray(proto.attr["value"].tensor)
    return array
