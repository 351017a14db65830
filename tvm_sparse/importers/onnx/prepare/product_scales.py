"""Scales behind products of integers, put into the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from onnx import helper

from tvm_sparse.importers.onnx.prepare.graph import Graph, op_of


def fold_scales(graph: Graph, products: Iterable[tuple[Any, str]]) -> None:
    """Put the scale behind a product into its weight, and leave out what multiplied by it.

    Dynamic quantisation writes a product of integers, a cast, and a multiplication by both scales.

    Parameters
    ----------
    graph : Graph
        Changed in place.
    products : iterable of (node, str)
        Products, and the names of their weights.
    """
    consumers, producers = graph.consumers(), graph.producers()
    for product, weight in products:
        value, passed = product.output[0], []
        while len(readers := consumers.get(value, [])) == 1 and op_of(readers[0]) == "Cast":
            passed.append(readers[0])
            value = readers[0].output[0]
        if len(readers) != 1 or op_of(readers[0]) != "Mul":
            continue
        (other,) = [name for name in readers[0].input if name != value] or [""]
        scale = _known_product(graph, other, producers)
        array = graph.arrays[weight]
        if scale is None or scale.size not in (1, array.shape[-1]) or scale.ndim > 1:
            continue
        graph.arrays[weight] = array * scale
        for node in (*passed, readers[0]):
            source = node.input[0] if op_of(node) == "Cast" else value
            _replace(graph, node, helper.make_node("Identity", [source], list(node.output)))


def _replace(graph: Graph, old: Any, new: Any) -> None:
    at = next(i for i, node in enumerate(graph.nodes) if node is old)
    new.name = old.name
    graph.nodes[at] = new


def _known_product(graph: Graph, name: str, producers: dict[str, Any]) -> np.ndarray | None:
    """Return an array, or the product of two."""
    if name in graph.arrays:
        return graph.arrays[name]
    node = producers.get(name)
    if node is None or op_of(node) != "Mul" or not all(n in graph.arrays for n in node.input):
        return None
    left, right = (graph.arrays[n] for n in node.input)
    return np.asarray(left * right)
