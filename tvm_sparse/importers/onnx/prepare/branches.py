"""Branches on conditions that depend on no input: the one that is taken stands for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import helper, numpy_helper

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.onnx.prepare.graph import Graph, attribute, name_of, op_of
from tvm_sparse.importers.onnx.prepare.known import known_values
from tvm_sparse.importers.onnx.prepare.read import constant_array
from tvm_sparse.importers.onnx.prepare.runtime import Feeds, run_graph


def take_branches(graph: Graph, name: str, runs: Sequence[Feeds]) -> None:
    """Rewrite a graph in place until no such branch is left.

    Parameters
    ----------
    graph : Graph
        As it is read.
    name : str
        Of the model, for messages.
    runs : sequence of mapping
        Inputs at the one shape that they have, or at several that stand for all.

    Raises
    ------
    FrontendError
        A branch is taken at some of the shapes alone.
    """
    while branches := [node for node in graph.nodes if op_of(node) == "If"]:
        known = known_values(graph)
        found = [node for node in branches if node.input[0] in known]
        if not found:
            return
        asked = [node.input[0] for node in found if node.input[0] not in graph.arrays]
        computed = [{**run_graph(graph, name, asked, feeds), **graph.arrays} for feeds in runs]
        for node in found:
            taken = {bool(values[node.input[0]]) for values in computed}
            if len(taken) > 1:
                raise FrontendError(
                    f"{name}: which branch {name_of(node)} takes depends on the batch or the "
                    "length: give one batch and one length, --batch N --seq-len N, not ranges"
                )
            _take(graph, node, taken.pop())


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
