"""A model's graph: its nodes, what each reads and gives, and its arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

#: Domains that are ONNX's own.
_OWN = ("", "ai.onnx")


class Graph:
    """The graph of a model, changed in place by what prepares it.

    Parameters
    ----------
    model : onnx.ModelProto
        With all its weights in memory and no local functions.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.opsets = {opset.domain: int(opset.version) for opset in model.opset_import}
        self.arrays: dict[str, np.ndarray] = {}
        self.nodes: list[Any] = list(model.graph.node)
        for tensor in model.graph.initializer:
            self.arrays[tensor.name] = numpy_helper.to_array(tensor)
        for sparse in model.graph.sparse_initializer:
            self.arrays[sparse.values.name] = dense_array(sparse)
        self.inputs = [i for i in model.graph.input if i.name not in self.arrays]
        self.outputs = [output.name for output in model.graph.output]
        del model.graph.initializer[:], model.graph.sparse_initializer[:], model.graph.node[:]

    def producers(self) -> dict[str, Any]:
        """Return the node that gives each value."""
        return {name: node for node in self.nodes for name in node.output if name}

    def consumers(self) -> dict[str, list[Any]]:
        """Return the nodes that read each value."""
        found: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                found.setdefault(name, []).append(node)
        return found

    def drop_identities(self) -> None:
        """Have whoever reads a copy of a value read that; copies that are outputs stay."""
        copies: dict[str, str] = {}
        kept = []
        for node in self.nodes:
            for at, name in enumerate(node.input):
                node.input[at] = copies.get(name, name)
            if op_of(node) == "Identity" and node.output[0] not in self.outputs:
                copies[node.output[0]] = node.input[0]
            else:
                kept.append(node)
        self.nodes = kept

    def version(self, node: Any) -> int:
        """Return the version of the operators of a node's domain."""
        return self.opsets.get(node.domain, self.opsets.get("", 0) if node.domain in _OWN else 1)


def op_of(node: Any) -> str:
    """Return the operator of a node, behind its domain if that is not ONNX's own."""
    return node.op_type if node.domain in _OWN else f"{node.domain}:{node.op_type}"


def name_of(node: Any) -> str:
    """Return a node's name, that of its first output where it has none."""
    return node.name or next(filter(None, node.output), "(nothing)")


def attributes_of(node: Any) -> dict[str, Any]:
    """Return the attributes of a node that are numbers, texts or lists of them."""
    return {name: value for name, value in _attributes(node) if _is_plain(value)}


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """Return one attribute of a node, of whatever kind."""
    return next((value for key, value in _attributes(node) if key == name), default)


def _attributes(node: Any) -> Iterator[tuple[str, Any]]:
    for one in node.attribute:
        value = onnx.helper.get_attribute_value(one)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            value = [v.decode(errors="replace") if isinstance(v, bytes) else v for v in value]
        yield one.name, value


def _is_plain(value: Any) -> bool:
    flat = value if isinstance(value, list) else [value]
    return all(isinstance(one, int | float | str) for one in flat)


def dense_array(sparse: Any) -> np.ndarray:
    """Return a sparse tensor as an array with its zeros."""
    values = numpy_helper.to_array(sparse.values)
    indices = numpy_helper.to_array(sparse.indices)
    array = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 2:
        array[tuple(indices.T)] = values
    else:
        array.reshape(-1)[indices] = values
    return array
