"""The process that exports a model from PyTorch; TVM is never imported here.

Its request is {spec, source, path}: it writes the archive `path`; the result is empty. Events are
lines of progress.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tvm_sparse.config import ModelSpec
from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.left_out import find_left_out
from tvm_sparse.importers.micro_batch import micro_batch_size
from tvm_sparse.importers.reference_shapes import OPEN_AXES, check_open, reference_shapes
from tvm_sparse.importers.refusal import reason, refusing
from tvm_sparse.importers.torch.export.archive import run_reference, write_archive
from tvm_sparse.importers.torch.export.model_class import find_class
from tvm_sparse.importers.torch.export.pickled import as_safetensors
from tvm_sparse.importers.torch.export.quiet_torch import import_transformers
from tvm_sparse.importers.torch.export.signature import find_inputs
from tvm_sparse.importers.torch.export.weights import assign_random, assign_weights
from tvm_sparse.model.facts import WeightGaps
from tvm_sparse.processes.serve import serve
from tvm_sparse.progress import Progress
from tvm_sparse.sources.architecture import check_input
from tvm_sparse.sources.checkpoint import find_weights
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.sources.weights import read_weights
from tvm_sparse.tasks.registry import TASKS


def _export(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    spec, source = ModelSpec(**request["spec"]), ModelSource(**request["source"])
    progress("starting PyTorch")
    import_transformers()
    progress(f"building the PyTorch model of {source.name} ({source.kind} weights)")
    at_ranges = " for ranges of --batch and --seq-len" if spec.is_open else ""
    with refusing(f"{source.name} ({source.architecture}) cannot be exported{at_ranges}"):
        model = _build(source)
        gaps = _load(model, source, spec.seed)
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


def _build(source: ModelSource) -> Any:
    """Return the model of a source's config, with weights that mean nothing yet."""
    transformers = import_transformers()
    model_type, auto_class = source.config["model_type"], TASKS[source.task].auto_class
    try:
        model_class = find_class(transformers, source.architecture, model_type, auto_class)
        facts = {name: value for name, value in source.config.items() if name != "model_type"}
        config = transformers.AutoConfig.for_model(model_type, **facts)
        config.torch_dtype = None  # weights are computed with in float32, however they are stored
    except Exception as error:  # values of a wrong type surface as many classes
        raise FrontendError(f"config.json of {source.name} is refused: {reason(error)}") from error
    try:
        return model_class(config).eval().float()
    except Exception as error:
        raise FrontendError(
            f"{model_class.__name__} cannot be built from this config.json: {reason(error)}"
        ) from error


def _load(model: Any, source: ModelSource, seed: int) -> WeightGaps:
    if source.kind == "random":
        assign_random(model, seed, source.element_sparsity)
        return WeightGaps()
    assert source.directory is not None  # a checkpoint has one
    directory = Path(source.directory)
    files = find_weights(directory)
    if files is None:
        raise CheckpointError(f"the weights in {directory} vanished: start again")
    with ExitStack() as stack:
        if files.format == "bin":
            files = stack.enter_context(as_safetensors(files, directory))
        return assign_weights(model, read_weights(files, source.config))


if __name__ == "__main__":
    serve(_export)
