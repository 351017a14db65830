"""ONNX Runtime: fp32 through its transformer optimiser, and dynamic INT8."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.bench.peers.checkpoint import MODEL_FILE, read_config, read_inputs
from tvm_sparse.bench.peers.engine import TOLERANCE, Inputs, PeerModel

FUSED_FILE = "fused.onnx"
#: By name of the engine: its weights have one scale, or one for each output.
INT8_FILES = {
    "onnxruntime-int8": "int8.onnx",
    "onnxruntime-int8-channel": "int8-channel.onnx",
}

# What the transformer optimiser makes of attention.
_FUSED_ATTENTION = {"Attention", "MultiHeadAttention", "QAttention"}

#: By what a session calls the type of an input.
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
# Weights that go into the file of the graph: protocol buffers end at 2 GiB.
_MOST_BYTES = 2**31 - 2**24
# What config files call the number of heads and the width, by model family.
_HEADS = ("num_attention_heads", "n_heads")
_WIDTH = ("hidden_size", "dim")


def prepare(checkpoint: Path) -> None:
    """Fuse the exported graph into a file of its own.

    `opt_level=0` keeps ONNX Runtime's general passes away until the optimiser has seen the graph
    as exported: they rewrite the patterns that attention is recognised by. Where the fused graph
    computes something else, as that of ConvNeXt does, the file holds the graph as exported.
    """
    from onnxruntime.transformers import optimizer

    config = read_config(checkpoint)
    heads, width = _number(config, _HEADS), _number(config, _WIDTH)
    fused = optimizer.optimize_model(
        str(checkpoint / MODEL_FILE),
        model_type="bert",
        num_heads=heads,
        hidden_size=width if heads else 0,
        opt_level=0,
    )
    size = sum(len(tensor.raw_data) for tensor in fused.model.graph.initializer)
    is_large = size >= _MOST_BYTES
    fused.save_model_to_file(str(checkpoint / FUSED_FILE), use_external_data_format=is_large)
    if not is_large and not _same(checkpoint):
        shutil.copyfile(checkpoint / MODEL_FILE, checkpoint / FUSED_FILE)


def _same(checkpoint: Path) -> bool:
    """Whether the fused graph gives what the exported one does, on the inputs of a checkpoint."""
    found = []
    for file in (MODEL_FILE, FUSED_FILE):
        model = _Session(checkpoint / file, threads=1)
        found.append(model.outputs(model.bind(read_inputs(checkpoint))()))
    wanted, fused = found
    return all(np.allclose(fused[n], one, atol=TOLERANCE, rtol=0) for n, one in wanted.items())


def _number(config: Mapping[str, Any], keys: Sequence[str]) -> int:
    """Return what a config says of all layers, 0 for what it leaves open or each layer has."""
    return next((n for key in keys if isinstance(n := config.get(key), int)), 0)


def load(checkpoint: Path, threads: int, name: str) -> PeerModel:
    """Load the fused graph, or the quantised one of an engine that is called after INT8."""
    return _Session(checkpoint / INT8_FILES.get(name, FUSED_FILE), threads)


class _Session(PeerModel):
    def __init__(self, path: Path, threads: int) -> None:
        import onnx
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        graph = onnx.load(str(path), load_external_data=False).graph
        counts = Counter(str(node.op_type) for node in graph.node)
        self.facts = {"operators": dict(counts.most_common())}
        if not _FUSED_ATTENTION & counts.keys():
            # The optimiser knows some graphs of attention, and says nothing of others.
            self.facts["attention"] = "not fused"
        self._binding: Any = None

    def bind(self, inputs: Inputs) -> Callable[[], Any]:
        binding = self._session.io_binding()
        for value in self._session.get_inputs():
            binding.bind_cpu_input(value.name, inputs[value.name].astype(_DTYPES[value.type]))
        for value in self._session.get_outputs():
            binding.bind_output(value.name, "cpu")
        self._binding = binding
        return lambda: self._session.run_with_iobinding(binding)

    def outputs(self, result: Any) -> dict[str, NDArray[Any]]:
        names = [value.name for value in self._session.get_outputs()]
        return dict(zip(names, self._binding.copy_outputs_to_cpu(), strict=True))
