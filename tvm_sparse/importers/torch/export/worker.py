"""The process that exports a model from PyTorch; TVM is never imported here.

Its request is {spec, source, path}: it writes the archive `path`; the result is empty. Events are
lines of progress.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.left_out import find_left_out
from tvm_sparse.importers.micro_batch import micro_batch_size
from tvm_sparse.importers.reference_shapes import OPEN_AXES, check_open, reference_shapes
from tvm_sparse.importers.refusal import refusing
from tvm_sparse.importers.torch.export.archive import run_reference, write_archive
from tvm_sparse.importers.torch.export.huggingface import load_with_gaps
from tvm_sparse.importers.torch.export.quiet_torch import import_transformers
from tvm_sparse.importers.torch.export.signature import find_inputs
from tvm_sparse.processes.serve import serve
from tvm_sparse.progress import Progress
from tvm_sparse.sources.architecture import check_input
from tvm_sparse.sources.source import ModelSource


def _export(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    spec, source = ModelSpec(**request["spec"]), ModelSource(**request["source"])
    progress("starting PyTorch")
    import_transformers()
    progress(f"building the PyTorch model of {source.name} ({source.kind} weights)")
    at_ranges = " for ranges of --batch and --seq-len" if spec.is_open else ""
    with refusing(f"{source.name} ({source.architecture}) cannot be exported{at_ranges}"):
        model, gaps = load_with_gaps(source, spec.seed)
        config = full_config(model)
        inputs = find_inputs(model, config, spec.batch, spec.seq_len, spec.inputs)
        if spec.is_open:
            check_open(source.name, inputs)
            inputs = [i._replace(axes=OPEN_AXES) for i in inputs]
        check_input(source.name, config, source.task, spec.batch, spec.seq_len)
        progress("running PyTorch for the reference outputs")
        shapes = reference_shapes(spec) if spec.is_open else ()
        reference = run_reference(model, inputs, spec.seed, shapes)
        gaps = find_left_out(gaps, reference.outputs, source, type(model).__name__, "PyTorch")
        reference = reference.without(gaps.left_out)
        progress("exporting the program")
        write_archive(
            Path(request["path"]),
            model,
            source.name,
            inputs,
            reference,
            asdict(gaps),
            micro_batch_size(spec, reference.inputs, reference.outputs),
        )
    return {}


if __name__ == "__main__":
    serve(_export)
