"""Floats of 16 and 64 bits become those of 32, in which builds compute."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from tvm_sparse.importers.onnx.prepare.graph import Graph, op_of

_OTHERS = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def widen(graph: Graph) -> bool:
    """Rewrite a graph in place, and return whether a weight or an input was of other floats."""
    found = False
    for name, array in graph.arrays.items():
        if array.dtype != np.float32 and (array.dtype.kind == "f" or "float" in str(array.dtype)):
            found = found or array.size > 1
            graph.arrays[name] = array.astype(np.float32)
    for value in (*graph.inputs, *graph.model.graph.output):
        kind = value.type.tensor_type
        if kind.elem_type in _OTHERS:
            kind.elem_type = TensorProto.FLOAT
            found = True
    for node in graph.nodes:
        for given in node.attribute:
            if op_of(node) == "Cast" and given.name == "to" and given.i in _OTHERS:
                given.i = TensorProto.FLOAT
            elif given.HasField("t") and given.t.data_type in _OTHERS:
                given.t.CopyFrom(_widened(given.t))
    # What it says of values in between may be true no longer.
    del graph.model.graph.value_info[:]
    return found


def _widened(tensor: Any) -> Any:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
