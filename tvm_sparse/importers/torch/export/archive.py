"""A PyTorch model becomes a `.pt2` archive with its signature and reference outputs.

Needs PyTorch and transformers alone: `tvm_sparse.export_pt2` runs where TVM is not installed.
"""

from __future__ import annotations

import inspect
import io
import json
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.model_inputs import ModelInput
from tvm_sparse.importers.reference_inputs import reference_inputs
from tvm_sparse.importers.torch.export.layer_norms import recorded_layer_norms

#: Composite operators that stay whole: they are what raising would have to find again.
_WHOLE = (
    *("adaptive_avg_pool2d.default", "batch_norm.default", "conv1d.default", "conv2d.default"),
    *("conv2d.padding", "embedding.default", "gelu.default", "group_norm.default"),
    *("hardsigmoid.default", "hardswish.default", "layer_norm.default", "linear.default"),
    *("max_pool2d.default", "real.default", "rms_norm.default"),
    *("scaled_dot_product_attention.default", "silu.default", "softmax.int", "split.Tensor"),
    *("chunk.default", "matmul.default"),
)
#: As `sources.pt2_archive` reads them.
FACTS_FILE = "tvm_sparse.json"
REFERENCE_FILE = "tvm_sparse/reference.npz"
#: Switched off where a model's `forward` knows them: their outputs are not part of the result.
_SWITCHES = ("output_attentions", "output_hidden_states", "use_cache")
#: The batch and the length of the inputs that a program for any is made with: no two numbers of a
#: model are likely to be these.
_TRACED = (3, 11)


@dataclass(frozen=True)
class Reference:
    """What a model computed: inputs and outputs by name, and what its layer norms gave.

    `others` are inputs and outputs at other shapes, of a model that takes any.
    """

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    layers: dict[str, np.ndarray]
    others: tuple[tuple[dict[str, np.ndarray], dict[str, np.ndarray]], ...] = ()

    def without(self, names: Collection[str]) -> Reference:
        """Return it without some of the outputs."""

        def kept(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: value for name, value in outputs.items() if name not in names}

        others = tuple((given, kept(found)) for given, found in self.others)
        return replace(self, outputs=kept(self.outputs), others=others)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all of it by the names that an archive has for them."""
        groups = {"inputs": self.inputs, "outputs": self.outputs, "layers": self.layers}
        for number, (given, found) in enumerate(self.others):
            groups |= {f"runs/{number}/inputs": given, f"runs/{number}/outputs": found}
        return {
            f"{group}/{name}": array
            for group, part in groups.items()
            for name, array in part.items()
        }


def run_reference(
    model: Any, inputs: list[ModelInput], seed: int, shapes: Sequence[tuple[int, int]] = ()
) -> Reference:
    """Run a model on inputs as they are, or of each of some shapes, the first with its norms."""
    import torch

    def run(given: list[ModelInput]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        values = reference_inputs(given, full_config(model), seed)
        with torch.no_grad():
            results = _call(model, {n: _tensor(value) for n, value in values.items()})
        return values, {name: result.numpy() for name, result in results.items()}

    first, *rest = [[i.at(shape) for i in inputs] for shape in shapes] or [inputs]
    with recorded_layer_norms(model) as layers:
        values, results = run(first)
    return Reference(values, results, layers, tuple(map(run, rest)))


def write_archive(
    path: Path,
    model: Any,
    name: str,
    inputs: list[ModelInput],
    reference: Reference,
    gaps: Mapping[str, Any],
    micro_batch: int,
) -> None:
    """Export a model at one shape, or for all batches and lengths up to the shape of its inputs.

    Parameters
    ----------
    path : Path
        The archive; an older one is replaced.
    model : torch.nn.Module
        Of transformers, in evaluation.
    name : str
        What the model is called.
    inputs : list of ModelInput
        Of a whole batch; with `axes` where the program leaves it open.
    reference : Reference
        What it computed. The program has these outputs, in order.
    gaps : mapping
        Of its checkpoint, as `WeightGaps` has them, JSON-ready.
    micro_batch : int
        How many sequences or images the program takes.
    """
    import torch

    outputs = tuple(reference.outputs)
    is_open = any(i.axes for i in inputs)
    traced = tuple(min(n, max(most, 2)) for n, most in zip(_TRACED, inputs[0].shape, strict=False))
    program_inputs = [i.at(traced) if is_open else i.of_batch(micro_batch) for i in inputs]
    values = {i.name: _tensor(np.zeros(i.shape, i.dtype)) for i in program_inputs}
    if "attention_mask" in values:  # one of padding alone would be a case of its own
        values["attention_mask"].fill_(1)
    with torch.no_grad(), _returning(model, tuple(values), outputs):
        program = torch.export.export(
            model,
            tuple(values.values()),
            dynamic_shapes=(_ranges(inputs),) if is_open else None,
            strict=False,
        )
        program = program.run_decompositions(_decompositions())
    facts = {
        "name": name,
        "architecture": type(model).__name__,
        "config": full_config(model),
        "inputs": [i._asdict() for i in inputs],
        "outputs": outputs,
        "prefix": prefix_of(model),
        "gaps": gaps,
    }
    texts = {FACTS_FILE: json.dumps(facts)}
    torch.export.save(program, path, extra_files=texts)
    with zipfile.ZipFile(path, "a") as archive:
        # Not among `extra`, which PyTorch takes for texts.
        root = archive.namelist()[0].partition("/")[0]
        stream = io.BytesIO()
        np.savez(stream, **reference.arrays())  # type: ignore[arg-type]
        archive.writestr(f"{root}/{REFERENCE_FILE}", stream.getvalue())


def _ranges(inputs: list[ModelInput]) -> tuple[dict[int, Any], ...]:
    """Return which axes of each input are open, as PyTorch takes it: all have the same two."""
    from torch.export import Dim

    # A range of one number is none to PyTorch.
    axes = {
        at: Dim(name, min=1, max=max(most, 2))
        for at, (name, most) in enumerate(zip(inputs[0].axes, inputs[0].shape, strict=True))
    }
    return (axes,) * len(inputs)


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
