"""The process that exports a model from PyTorch; TVM is never imported here.

Its request is {spec, source, path}: it writes the archive `path`; the result is empty. Events are
lines of progress.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.config import ModelSpec
from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.refusal import reason, refusing
from tvm_sparse.importers.torch.export.archive import run_reference, write_archive
from tvm_sparse.importers.torch.export.model_class import find_class
from tvm_sparse.importers.torch.export.pickled import as_safetensors
from tvm_sparse.importers.torch.export.quiet_torch import import_transformers
from tvm_sparse.importers.torch.export.signature import ModelInput, find_inputs
from tvm_sparse.importers.torch.export.weights import Gaps, assign_random, assign_weights
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
    with refusing(f"{source.name} ({source.architecture}) cannot be exported"):
        model = _build(source)
        gaps = _load(model, source, spec.seed)
        config = full_config(model)
        inputs = find_inputs(model, config, spec.batch, spec.seq_len, spec.inputs)
        check_input(source.name, config, source.task, spec.batch, spec.seq_len)
        progress("running PyTorch for the reference outputs")
        values, results, layers = run_reference(model, inputs, spec.seed)
        weight_gaps = _gaps(gaps, results, source, type(model).__name__)
        results = {n: v for n, v in results.items() if n not in weight_gaps.left_out}
        progress("exporting the program")
        groups = {"inputs": values, "outputs": results, "layers": layers}
        write_archive(
            Path(request["path"]),
            model,
            _micro_batch_inputs(inputs, results, spec),
            tuple(results),
            {f"{group}/{n}": array for group, part in groups.items() for n, array in part.items()},
            {
                "name": source.name,
                "architecture": type(model).__name__,
                "config": config,
                "inputs": [i._asdict() for i in inputs],
                "gaps": asdict(weight_gaps),
            },
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


def _load(model: Any, source: ModelSource, seed: int) -> Gaps:
    if source.kind == "random":
        assign_random(model, seed, source.element_sparsity)
        return Gaps()
    assert source.directory is not None  # a checkpoint has one
    directory = Path(source.directory)
    files = find_weights(directory)
    if files is None:
        raise CheckpointError(f"the weights in {directory} vanished: start again")
    with ExitStack() as stack:
        if files.format == "bin":
            files = stack.enter_context(as_safetensors(files, directory))
        return assign_weights(model, read_weights(files, source.config))


def _gaps(
    gaps: Gaps, results: dict[str, np.ndarray], source: ModelSource, class_name: str
) -> WeightGaps:
    """Say which outputs need weights that the checkpoint lacks: those are NaN, and show it.

    Raises
    ------
    CheckpointError
        All of them do.
    FrontendError
        An output is not finite though all weights are there.
    """
    wrong = tuple(name for name, value in results.items() if not np.isfinite(value).all())
    if wrong and not gaps.missing:
        raise FrontendError(
            f"PyTorch gives {wrong[0]} of {source.name} values that are not finite: the weights "
            "are too large for float32"
        )
    if wrong and len(wrong) == len(results):
        raise CheckpointError(
            f"the checkpoint in {source.directory} lacks {len(gaps.missing)} weights that "
            f"{', '.join(wrong)} of {class_name} needs (first {gaps.missing[0]}): give one that "
            "was trained for this task, or --weights random for seeded weights"
        )
    return WeightGaps(gaps.missing if wrong else (), wrong, gaps.unused)


def _micro_batch_inputs(
    inputs: list[ModelInput], results: dict[str, np.ndarray], spec: ModelSpec
) -> list[ModelInput]:
    """Return the inputs of as many sequences as go through the model together.

    Where something has no axis of sequences at its front, that is the whole batch.
    """
    size = spec.micro_batch or spec.batch
    fronts = {array.shape[:1] for array in results.values()}
    if inputs[0].name == "pixel_values" or fronts != {(spec.batch,)}:
        return inputs
    return [i.of_batch(size) for i in inputs]


if __name__ == "__main__":
    serve(_export)
