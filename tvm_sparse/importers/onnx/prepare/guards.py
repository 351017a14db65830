"""PyTorch's exporter has where(isnan(x), 0, x) behind every softmax, which few need.

A softmax is no number where a row is minus infinity throughout. Masks often have the lowest number
in its place, with which there is always a softmax: then the guard changes nothing, and goes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from tvm_sparse.importers.onnx.prepare.graph import Graph, op_of

#: What makes no infinity of numbers that masks have; whatever is scored comes of products.
_FINITE = frozenset(
    {"Add", "Cast", "Concat", "Expand", "Gather", "GatherND", "Identity", "MatMul", "Mul", "Neg"}
    | {"Reshape", "Slice", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where"}
)


def drop_guards(graph: Graph) -> None:
    """Rewrite a graph in place: guards that never find anything are copies."""
    producers = graph.producers()
    for at, node in enumerate(graph.nodes):
        if op_of(node) != "Where":
            continue
        asked = producers.get(node.input[0])
        guarded = node.input[2]
        if asked is None or op_of(asked) != "IsNaN" or asked.input[0] != guarded:
            continue
        softmax = producers.get(guarded)
        if softmax is None or op_of(softmax) != "Softmax":
            continue
        if not _may_be_infinite(softmax.input[0], graph, producers):
            graph.nodes[at] = helper.make_node("Identity", [guarded], list(node.output), node.name)


def _may_be_infinite(value: str, graph: Graph, producers: dict[str, Any]) -> bool:
    """Whether minus infinity is among the constants that a value is computed of."""
    values, seen = [value], {value}
    while values:
        name = values.pop()
        if name in graph.arrays:
            array = graph.arrays[name]
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return True
            continue
        node = producers.get(name)
        if node is None:  # an input
            continue
        if op_of(node) not in _FINITE:
            return True
        # What is scored is finite as long as the model's weights are, and a condition is no number.
        first = {"MatMul": len(node.input), "Where": 1}.get(op_of(node), 0)
        inputs = [name for name in list(node.input)[first:] if name]
        values += [n for n in inputs if n not in seen]
        seen.update(inputs)
    return False
