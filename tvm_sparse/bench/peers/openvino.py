"""OpenVINO's CPU plugin in fp32, tuned for latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.bench.peers.checkpoint import MODEL_FILE
from tvm_sparse.bench.peers.engine import Inputs, PeerModel

#: Kinds of nodes that compute nothing, and those that multiply.
_OUTSIDE = ("Const", "Input", "Output")
_PRODUCTS = ("FullyConnected", "MatMul")


def load(checkpoint: Path, threads: int, name: str) -> PeerModel:
    """Compile the exported graph; the plugin does its own fusion."""
    return Compiled(checkpoint / MODEL_FILE, threads)


class Compiled(PeerModel):
    """A graph file, compiled for a number of threads."""

    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        core = openvino.Core()
        self._tensor = openvino.Tensor
        self._model = core.compile_model(
            core.read_model(path),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                # It takes bfloat16 on CPUs that have it unless told otherwise.
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        self._request = self._model.create_infer_request()
        nodes = [node.get_rt_info() for node in self._model.get_runtime_model().get_ordered_ops()]
        kinds = Counter(node["layerType"].astype(str) for node in nodes)
        operators = {kind: n for kind, n in kinds.most_common() if kind not in _OUTSIDE}
        products = Counter(
            f"{node['primitiveType'].astype(str)} {node['runtimePrecision'].astype(str)}"
            for node in nodes
            if node["layerType"].astype(str) in _PRODUCTS
        )
        counted = (f"{number} {kernel}" for kernel, number in products.most_common())
        self.facts = {"operators": operators, "products": ", ".join(counted)}

    def bind(self, inputs: Inputs) -> Callable[[], Any]:
        """Put inputs in place and return a call that only runs the model."""
        for port in self._model.inputs:
            value = inputs[port.any_name].astype(port.element_type.to_dtype())
            self._request.set_tensor(port.any_name, self._tensor(np.ascontiguousarray(value)))
        return lambda: self._request.infer()

    def outputs(self, result: Any) -> dict[str, NDArray[Any]]:
        """Return what a bound call left, by output name."""
        return {
            port.any_name: np.array(self._request.get_tensor(port.any_name).data)
            for port in self._model.outputs
        }
