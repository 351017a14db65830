"""Branches on conditions that depend on no input: the one that is taken stands for both."""

from __future__ import annotations

from typing import Any

from onnx import helper, numpy_helper

from tvm_sparse.importers.onnx.prepare.graph import Graph, attribute, op_of
from tvm_sparse.importers.onnx.prepare.known import known_values
from tvm_sparse.importers.onnx.prepare.read import constant_array
from tvm_sparse.importers.onnx.prepare.runtime import Feeds, run_graph


def take_branches(graph: Graph, name: str, feeds: Feeds) -> None:
    """Rewrite a graph in place, at one shape of its inputs, until no such branch is left."""
    while branches := [node for node in graph.nodes if op_of(node) == "If"]:
        known = known_values(graph)
        found = [node for node in branches if node.input[0] in known]
        if not found:
            return
        asked = [node.input[0] for node in found if node.input[0] not in graph.arrays]
        values = {**run_graph(graph, name, asked, feeds), **graph.arrays}
        for node in found:
            _take(graph, node, bool(values[node.input[0]]))


def _take(graph: Graph, node: Any, condition: bool) -> None:
    """Put the nodes of a branch in the place of the `If`, its outputs under the names of that."""
    body = attribute(node, "then_branch" if condition else "else_branch")
    names = {o.name: name for o, name in zip(body.output, node.output, strict=True)}
    inner: list[Any] = []
    for tensor in body.initializer:
        graph.arrays[tensor.name] = numpy_helper.to_array(tensor)
    for own in body.node:
        if op_of(own) == "Constant":
            graph.arrays[own.output[0]] = constant_array(own)
        else:
            inner.append(own)
    # What a branch returns may be a value from outside, or one that others in it read.
    made = [helper.make_node("Identity", [old], [new]) for old, new in names.items()]
    at = next(i for i, other in enumerate(graph.nodes) if other is node)
    graph.nodes[at : at + 1] = [*inner, *made]
