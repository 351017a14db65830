"""The PyTorch model of a source: the class its task names, with its weights in place."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.importers.refusal import reason
from tvm_sparse.importers.torch.export.model_class import find_class
from tvm_sparse.importers.torch.export.pickled import as_safetensors
from tvm_sparse.importers.torch.export.quiet_torch import import_transformers
from tvm_sparse.importers.torch.export.weights import assign_random, assign_weights
from tvm_sparse.model.facts import WeightGaps
from tvm_sparse.sources.checkpoint import find_weights
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.sources.weights import read_weights
from tvm_sparse.tasks.registry import TASKS


def load_with_gaps(source: ModelSource, seed: int) -> tuple[Any, WeightGaps]:
    """Build the PyTorch model of `source` with its weights, and say what does not match.

    Parameters
    ----------
    source : ModelSource
        As `resolve_source` returns it.
    seed : int
        Seed of random weights.

    Raises
    ------
    FrontendError
        transformers has no class for this model and task, or refuses the config.
    CheckpointError
        The weights cannot be read, or do not fit the architecture.
    """
    model = _build(source)
    return model, _load(model, source, seed)


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
