"""Read an ONNX file into a graph without local functions, constant nodes and sparse tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.importers.onnx.prepare.graph import Graph, attribute, dense_array, op_of
from tvm_sparse.importers.refusal import reason
from tvm_sparse.sources.onnx_file import OnnxFile


def read_graph(file: OnnxFile) -> Graph:
    """Return the graph of a file.

    Raises
    ------
    CheckpointError
        The file is damaged.
    FrontendError
        Its operators are of a later version than the installed package knows.
    """
    newest = onnx.defs.onnx_opset_version()
    given = max(file.opsets.get(domain, 0) for domain in ("", "ai.onnx"))
    if given > newest:
        raise FrontendError(
            f"{file.path} has opset {given}, and onnx {onnx.__version__}, which is installed, "
            f"knows up to {newest}: export the model with opset_version={newest} or less, or "
            "install a newer onnx and onnxruntime"
        )
    try:
        model = onnx.load(str(file.path))
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except (DecodeError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise CheckpointError(f"{file.path} cannot be read: {reason(error)}") from None
    graph = Graph(model)
    graph.nodes = [node for node in graph.nodes if not _is_constant(graph, node)]
    return graph


def _is_constant(graph: Graph, node: Any) -> bool:
    """Take the array of a constant node; return whether it is one."""
    if op_of(node) != "Constant":
        return False
    graph.arrays[node.output[0]] = constant_array(node)
    return True


def constant_array(node: Any) -> np.ndarray:
    """Return what a constant node gives."""
    if (tensor := attribute(node, "value")) is not None:
        return numpy_helper.to_array(tensor)
    if (sparse := attribute(node, "sparse_value")) is not None:
        return dense_array(sparse)
    for name, dtype in (("value_int", np.int64), ("value_float", np.float32)):
        for key in (name, f"{name}s"):
            if (number := attribute(node, key)) is not None:
                return np.asarray(number, dtype)
    raise FrontendError(f"node {node.name} (Constant): a constant of texts is not imported")
