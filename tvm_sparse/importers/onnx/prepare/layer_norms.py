"""Where the results of a graph's layer norms are, to say which of them differs first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tvm_sparse.importers.onnx.prepare.graph import Graph, op_of

#: Operators that normalise, and where they read the gain.
_NORMS = {
    "LayerNormalization": 1,
    "com.microsoft:SkipLayerNormalization": 2,
    "com.microsoft:EmbedLayerNormalization": 5,
}


def find_layer_norms(graph: Graph, names: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each layer norm by the name of its layer, in order.

    Parameters
    ----------
    graph : Graph
        It may have them as one operator, or written out: x * gain + bias, of two weights.
    names : mapping of str to str
        Weights' names in the module; a layer's is that of its gain without the last part.

    Returns
    -------
    dict of str to str
        With `#2` and so on behind the name at the second use of a shared layer.
    """
    producers = graph.producers()
    found: dict[str, str] = {}
    calls: Counter[str] = Counter()
    for node in graph.nodes:
        gain = ""
        op = op_of(node)
        if op in _NORMS:
            gain = node.input[_NORMS[op]]
        elif op == "Add" and any(_is_vector(graph, name) for name in node.input):
            scaled = [producers[name] for name in node.input if name in producers]
            if scaled and op_of(scaled[0]) == "Mul":
                gain = next((n for n in scaled[0].input if _is_vector(graph, n)), "")
        if gain in names:
            layer = names[gain].rpartition("/")[0]
            calls[layer] += 1
            found[layer if calls[layer] == 1 else f"{layer}#{calls[layer]}"] = node.output[0]
    return found


def _is_vector(graph: Graph, name: str) -> bool:
    return name in graph.arrays and graph.arrays[name].ndim == 1
