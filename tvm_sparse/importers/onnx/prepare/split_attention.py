"""ONNX Runtime's fused attention has query, key and value in one weight: they become three again.

Layer selection and pruning know them one by one, under the names that they had before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from tvm_sparse.importers.onnx.prepare.graph import Graph, attribute, op_of
from tvm_sparse.importers.onnx.prepare.names import layer_behind

_OWN = "com.microsoft"
_PARTS = ("query", "key", "value")
#: Attributes that MultiHeadAttention has too.
_KEPT = ("num_heads", "scale", "mask_filter_value", "unidirectional")


def split_attention(graph: Graph) -> None:
    """Rewrite a graph in place: three products and MultiHeadAttention for each Attention."""
    consumers = graph.consumers()
    before, graph.nodes = graph.nodes, []
    count = 0
    for node in before:
        if op_of(node) == f"{_OWN}:Attention" and _splits(graph, node):
            path = layer_behind(node.output[0], consumers) or f"layer.{count}.attention"
            graph.nodes += _split(graph, node, path)
            count += 1
        else:
            graph.nodes.append(node)


def _splits(graph: Graph, node: Any) -> bool:
    """Whether it has weights that are known, and no cache of keys."""
    has_cache = len(node.input) > 4 and node.input[4]
    return node.input[1] in graph.arrays and not has_cache


def _split(graph: Graph, node: Any, path: str) -> list[Any]:
    weight = graph.arrays[node.input[1]]
    bias = graph.arrays.get(node.input[2]) if len(node.input) > 2 else None
    sizes = attribute(node, "qkv_hidden_sizes") or [weight.shape[-1] // 3] * 3
    ends = np.cumsum(sizes)[:-1]
    biases = [None] * 3 if bias is None else np.split(bias, ends)
    nodes, values = [], []
    for part, own, shift in zip(_PARTS, np.split(weight, ends, axis=-1), biases, strict=True):
        name = f"{path}.self.{part}"
        graph.arrays[f"{name}.weight"] = np.ascontiguousarray(own)
        product = f"{node.output[0]}_{part}"
        nodes.append(helper.make_node("MatMul", [node.input[0], f"{name}.weight"], [product]))
        if shift is not None:
            graph.arrays[f"{name}.bias"] = shift
            total = f"{product}_biased"
            nodes.append(helper.make_node("Add", [product, f"{name}.bias"], [total]))
            product = total
        values.append(product)
    given = [*node.input, "", "", "", "", ""]
    inputs = [*values, "", given[3], given[5]]
    while not inputs[-1]:
        inputs.pop()
    new = helper.make_node("MultiHeadAttention", inputs, [node.output[0]], node.name, domain=_OWN)
    new.attribute.extend(a for a in node.attribute if a.name in _KEPT)
    return [*nodes, new]
