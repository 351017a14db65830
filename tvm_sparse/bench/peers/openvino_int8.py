"""OpenVINO's CPU plugin in INT8, as NNCF quantises a graph after training."""

from __future__ import annotations

from pathlib import Path

from tvm_sparse.bench.peers.checkpoint import MODEL_FILE, read_inputs
from tvm_sparse.bench.peers.engine import PeerModel
from tvm_sparse.bench.peers.openvino import Compiled

QUANTISED_FILE = "openvino-int8.xml"


def prepare(checkpoint: Path) -> None:
    """Quantise the exported graph, weights and activations.

    Ranges of activations are those of the inputs that are measured: nothing fits them better.
    """
    import nncf
    import openvino

    model = openvino.Core().read_model(checkpoint / MODEL_FILE)
    quantised = nncf.quantize(
        model,
        nncf.Dataset([read_inputs(checkpoint)], dict),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=1,
    )
    openvino.save_model(quantised, checkpoint / QUANTISED_FILE, compress_to_fp16=False)


def load(checkpoint: Path, threads: int, name: str) -> PeerModel:
    """Compile the quantised graph."""
    return Compiled(checkpoint / QUANTISED_FILE, threads)
