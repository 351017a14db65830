"""A checkpoint as an ONNX graph, exported through PyTorch."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from tvm_sparse.bench.peers import distilbert
from tvm_sparse.bench.peers.checkpoint import MODEL_FILE, read_inputs

# The newest opset of the TorchScript exporter, whose graphs ONNX Runtime's optimiser knows, and the
# first of the other one, for models that TorchScript cannot trace: those that make masks by `vmap`.
_OPSETS = {"TorchScript": 17, "dynamo": 18}


def prepare(checkpoint: Path) -> None:
    """Write `MODEL_FILE` with static shapes into a checkpoint directory that has none.

    Attention is exported as the plain matrix products and softmax ("eager"): that is the form
    which ONNX Runtime's transformer optimiser and OpenVINO recognise and fuse.
    """
    if (checkpoint / MODEL_FILE).exists():  # the model came as a graph
        return
    os.environ.update(USE_TORCH="1", USE_TF="0")
    import torch

    from tvm_sparse.bench.peers.torch import as_tensors, load_model

    model = distilbert.with_bert(load_model(checkpoint, attention="eager"))
    inputs = as_tensors(read_inputs(checkpoint))
    with torch.no_grad():
        names = [key for key, value in model(**inputs).items() if hasattr(value, "shape")]

    class Positional(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        """The model with positional inputs and outputs, which the exporter names."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> tuple[Any, ...]:
            outputs = self.model(**dict(zip(inputs, values, strict=True)))
            return tuple(outputs[name] for name in names)

    def export(exporter: str) -> None:
        torch.onnx.export(
            Positional(),
            tuple(inputs.values()),
            str(checkpoint / MODEL_FILE),
            input_names=list(inputs),
            output_names=names,
            opset_version=_OPSETS[exporter],
            dynamo=exporter == "dynamo",
            verbose=False,
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            export("TorchScript")
        except RuntimeError:
            export("dynamo")
