"""Which values depend on no input: they are computed once, by ONNX Runtime, and leave no trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tvm_sparse.importers.onnx.prepare.graph import Graph, op_of

#: Of a tensor they tell its shape alone, which is known.
_SHAPES = frozenset({"Shape", "Size"})
#: They give a weight in another form or a part of it: the weight stays what it is.
_VIEWS = frozenset({"Gather", "Identity", "Transpose"})
#: They give something else at every run.
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike"}
)
#: What they compute with is not among their inputs alone.
_WITH_BODIES = frozenset({"If", "Loop", "Scan"})


@dataclass
class Known:
    """What is known of a graph at one shape of its inputs.

    Attributes
    ----------
    nodes : list
        Those that depend on an input and lead to an output.
    weights : list of str
        Arrays of the file that these read as weights.
    constants : list of str
        Other arrays of the file that they read, or that are outputs.
    computed : list of str
        What they read that is known, and computed by other nodes.
    """

    nodes: list[Any] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)


def find_known(graph: Graph) -> Known:
    """Part a graph into what depends on its inputs and what does not."""
    weights, known = _weights(graph), set(graph.arrays)
    left = [node for node in graph.nodes if not _depends_on_nothing(node, known, weights)]
    wanted = set(graph.outputs)
    nodes = []
    for node in reversed(left):
        if wanted.intersection(node.output):
            wanted.update(filter(None, node.input))
            nodes.append(node)
    read = [name for node in reversed(nodes) for name in node.input] + graph.outputs
    found = Known(nodes[::-1])
    for name in dict.fromkeys(filter(None, read)):
        if name in weights:
            found.weights.append(name)
        elif name in graph.arrays:
            found.constants.append(name)
        elif name in known:
            found.computed.append(name)
    return found


def known_values(graph: Graph) -> set[str]:
    """Return all values of a graph that depend on none of its inputs."""
    weights, known = _weights(graph), set(graph.arrays)
    for node in graph.nodes:
        _depends_on_nothing(node, known, weights)
    return known


def _depends_on_nothing(node: Any, known: set[str], weights: set[str]) -> bool:
    """Note what a node gives if it is known, and return whether it is."""
    op, read = op_of(node), [name for name in node.input if name]
    is_view = op in _VIEWS and bool(read) and read[0] in weights
    is_computed = known.issuperset(read) and op not in _RANDOM | _WITH_BODIES
    is_known = op in _SHAPES or (is_computed and not is_view)
    if is_known:
        known.update(filter(None, node.output))
    return is_known


def _weights(graph: Graph) -> set[str]:
    return {name for name, array in graph.arrays.items() if _is_weight(array)}


def _is_weight(array: np.ndarray) -> bool:
    """Whether an array is no number, no index and no mask, which alone has infinities."""
    is_large = array.dtype.kind == "f" and array.size > 1
    return is_large and bool(np.isfinite(array.min()) and np.isfinite(array.max()))
