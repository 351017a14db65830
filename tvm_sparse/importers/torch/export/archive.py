"""A PyTorch model becomes a `.pt2` archive with its signature and reference outputs.

Needs PyTorch and transformers alone: `tvm_sparse.export_pt2` runs where TVM is not installed.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.reference_inputs import reference_inputs
from tvm_sparse.importers.torch.export.layer_norms import recorded_layer_norms
from tvm_sparse.importers.torch.export.signature import ModelInput

#: Composite operators that stay whole: they are what raising would have to find again.
_WHOLE = (
    *("adaptive_avg_pool2d.default", "batch_norm.default", "conv1d.default", "conv2d.default"),
    *("conv2d.padding", "embedding.default", "gelu.default", "group_norm.default"),
    *("hardsigmoid.default", "hardswish.default", "layer_norm.default", "linear.default"),
    *("max_pool2d.default", "rms_norm.default", "scaled_dot_product_attention.default"),
    *("silu.default", "softmax.int", "split.Tensor", "chunk.default", "matmul.default"),
)
#: As `sources.pt2_archive` reads them.
FACTS_FILE = "tvm_sparse.json"
REFERENCE_FILE = "tvm_sparse/reference.npz"
#: Switched off where a model's `forward` knows them: their outputs are not part of the result.
_SWITCHES = ("output_attentions", "output_hidden_states", "use_cache")


def run_reference(
    model: Any, inputs: list[ModelInput], seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Run a model and return its inputs, its outputs and what its layer norms gave, by name."""
    import torch

    values = reference_inputs(inputs, full_config(model), seed)
    with torch.no_grad(), recorded_layer_norms(model) as layers:
        results = _call(model, {n: _tensor(value) for n, value in values.items()})
    return values, {name: result.numpy() for name, result in results.items()}, layers


def write_archive(
    path: Path,
    model: Any,
    inputs: list[ModelInput],
    outputs: tuple[str, ...],
    reference: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
) -> None:
    """Export a model at one shape.

    Parameters
    ----------
    path : Path
        The archive; an older one is replaced.
    model : torch.nn.Module
        Of transformers, in evaluation.
    inputs : list of ModelInput
        At the shape for which it is exported.
    outputs : tuple of str
        Those that the program shall have, in order.
    reference : mapping of str to ndarray
        What it computed, by `inputs/<name>`, `outputs/<name>` and `layers/<name>`.
    facts : mapping
        Name, architecture and so on, JSON-ready, see `sources.pt2_archive.Pt2Facts`.
    """
    import torch

    values = {i.name: _tensor(np.zeros(i.shape, i.dtype)) for i in inputs}
    for name, value in values.items():
        if name == "attention_mask":  # one of padding alone would be a case of its own
            value.fill_(1)
    with torch.no_grad(), _returning(model, tuple(values), outputs):
        program = torch.export.export(model, tuple(values.values()), strict=False)
        program = program.run_decompositions(_decompositions())
    document = {**facts, "outputs": outputs, "prefix": prefix_of(model)}
    texts = {FACTS_FILE: json.dumps(document)}
    torch.export.save(program, path, extra_files=texts)
    with zipfile.ZipFile(path, "a") as archive:
        # Not among `extra`, which PyTorch takes for texts.
        root = archive.namelist()[0].partition("/")[0]
        stream = io.BytesIO()
        np.savez(stream, **reference)  # type: ignore[arg-type]
        archive.writestr(f"{root}/{REFERENCE_FILE}", stream.getvalue())


def prefix_of(model: Any) -> str:
    """Return what stands before a bare encoder's names under a head; empty under one."""
    prefix = str(getattr(model, "base_model_prefix", ""))
    return "" if not prefix or hasattr(model, prefix) else prefix


def _decompositions() -> Any:
    import torch

    table = torch.export.default_decompositions()
    for name in _WHOLE:
        packet, _, overload = name.partition(".")
        operator = getattr(getattr(torch.ops.aten, packet, None), overload, None)
        if operator is not None and operator in table:
            del table[operator]
    return table


@contextmanager
def _returning(model: Any, names: tuple[str, ...], outputs: tuple[str, ...]) -> Iterator[None]:
    """Have a model take tensors in order and return a mapping of tensors: its names stay."""
    call = model.forward

    def forward(*tensors: Any) -> dict[str, Any]:
        results = _call(model, dict(zip(names, tensors, strict=True)), call)
        return {name: results[name] for name in outputs}

    model.forward = forward
    try:
        yield
    finally:
        del model.forward  # the class's method shows again


def _call(model: Any, values: Mapping[str, Any], forward: Any = None) -> dict[str, Any]:
    import inspect

    import torch

    forward = forward or model.forward
    accepted = inspect.signature(forward).parameters
    switches = {name: False for name in _SWITCHES if name in accepted}
    results = forward(**values, return_dict=True, **switches)
    return {name: value for name, value in results.items() if isinstance(value, torch.Tensor)}


def _tensor(value: np.ndarray) -> Any:
    import torch

    tensor = torch.from_numpy(value)
    return tensor if tensor.is_floating_point() else tensor.long()
