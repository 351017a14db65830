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


def load(checkpoint: Path, threads: int, name: str) -> PeerModel:
    """Compile the exported graph; the plugin does its own fusion."""
    return _Compiled(checkpoint / MODEL_FILE, threads)


class _Compiled(PeerModel):
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
        kinds = [
            node.get_rt_info()["layerType"].astype(str)
            for node in self._model.get_runtime_model().get_ordered_ops()
        ]
        counts = Counter(kind for kind in kinds if kind not in ("Const", "Input", "Output"))
        self.facts = {"operators": dict(counts.most_common())}

    def bind(self, inputs: Inputs) -> Callable[[], Any]:
        for port in self._model.inputs:
            value = inputs[port.any_name].astype(port.element_type.to_dtype())
            self._request.set_tensor(port.any_name, self._tensor(np.ascontiguousarray(value)))
        return lambda: self._request.infer()

    def outputs(self, result: Any) -> dict[str, NDArray[Any]]:
        return {
            port.any_name: np.array(self._request.get_tensor(port.any_name).data)
            for port in self._model.outputs
        }
