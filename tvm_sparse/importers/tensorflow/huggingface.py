"""The TensorFlow model of a source: the class its task names, with its weights in place.

Runs in the import worker only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.random_weights import pruned_nonzeros, random_value
from tvm_sparse.importers.refusal import reason
from tvm_sparse.importers.tensorflow.assign_weights import TIED, assign_weights
from tvm_sparse.importers.tensorflow.graphdef import variable_name
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_transformers
from tvm_sparse.sources.architecture import first_position
from tvm_sparse.sources.checkpoint import find_weights
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.sources.weights import read_weights
from tvm_sparse.tasks.registry import TASKS

_MOST_TENSOR_BYTES = 2**31 - 1
#: Variables to the one that PyTorch's class ties them to, where TensorFlow's has two.
_TIED = {
    "predictions___cls/predictions/decoder/weight": "mobilebert/embeddings/word_embeddings/weight"
}


@dataclass(frozen=True)
class Loaded:
    """A model with its weights.

    Attributes
    ----------
    model : keras.Model
        Built: all variables exist.
    missing : tuple of str
        Weights that the checkpoint lacks; their variables are NaN.
    unused : tuple of str
        Weights of the checkpoint that the model has no place for.
    """

    model: Any
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def load_model(source: ModelSource, seed: int) -> Any:
    """Return the built TF model of `source` with its weights, as `load_with_gaps` does."""
    return load_with_gaps(source, seed).model


def load_with_gaps(source: ModelSource, seed: int) -> Loaded:
    """Build the TF model of `source` with its weights, and say what does not match.

    Parameters
    ----------
    source : ModelSource
        As `resolve_source` returns it.
    seed : int
        Seed of random weights.

    Raises
    ------
    FrontendError
        transformers has no TF class for this model and task, or refuses the config.
    CheckpointError
        The weights cannot be read, or do not fit the architecture.
    """
    model_class = _model_class(source)
    config = _config(source)
    try:
        model = model_class(config)
        model.build_in_name_scope()
    except Exception as error:  # whatever a config's values make the layers raise
        raise FrontendError(
            f"{model_class.__name__} cannot be built from this config.json: {reason(error)}"
        ) from error
    check_tensors(model)
    _count_from_padding(model, first_position(full_config(model)))
    if source.kind == "checkpoint":
        return _assign_checkpoint(model, source)
    _assign_random(model, seed, source.element_sparsity)
    return Loaded(model)


def _count_from_padding(model: Any, first: int) -> None:
    """Have positions begin where PyTorch's classes begin: TensorFlow's take padding to be 1."""
    for module in model.submodules:
        if first and hasattr(module, "padding_idx"):
            module.padding_idx = first - 1


def _model_class(source: ModelSource) -> Any:
    """Return the class that config.json names, else the one of its type for the task."""
    transformers = import_transformers()
    named = getattr(transformers, f"TF{source.architecture}", None)
    # Pretraining heads are left out, and a class of another type would misread the config.
    pretraining = source.architecture.endswith("ForPreTraining")
    read_type = getattr(getattr(named, "config_class", None), "model_type", None)
    if not pretraining and read_type == source.config["model_type"]:
        return named
    from transformers.models.auto import modeling_tf_auto

    table = getattr(modeling_tf_auto, f"TF_{TASKS[source.task].auto_class}_MAPPING_NAMES")
    model_type = source.config["model_type"]
    name = table.get(model_type)
    # Some types list several classes, the plain encoder first.
    name = name[0] if isinstance(name, (tuple, list)) else name
    if name is None:
        raise FrontendError(
            f"model type {model_type!r} given with the task {source.task}: transformers has "
            f"TensorFlow classes for {', '.join(sorted(table))}"
        )
    return getattr(transformers, name)


def _config(source: ModelSource) -> Any:
    transformers = import_transformers()
    facts = {**source.config}
    model_type = facts.pop("model_type")
    try:
        return transformers.AutoConfig.for_model(model_type, **facts)
    except Exception as error:  # values of a wrong type surface as many classes
        raise FrontendError(f"config.json of {source.name} is refused: {reason(error)}") from error


def check_tensors(model: Any) -> None:
    """Refuse a weight that no node of a GraphDef can hold.

    Raises
    ------
    FrontendError
        It is larger than 2 GB.
    """
    for variable in model.variables:
        if math.prod(variable.shape) * variable.dtype.size > _MOST_TENSOR_BYTES:
            raise FrontendError(
                f"weight {variable_name(model, variable)} has the shape {tuple(variable.shape)}: "
                "TensorFlow's graphs hold at most 2 GB in one tensor"
            )


def _assign_checkpoint(model: Any, source: ModelSource) -> Loaded:
    assert source.directory is not None  # `find_weights` gave its kind
    directory = Path(source.directory)
    files = find_weights(directory)
    if files is None:
        raise CheckpointError(f"the weights in {directory} vanished: start again")
    missing, unused = assign_weights(model, read_weights(files, source.config))
    untied = [name for name in unused if TIED.search(name) and name.endswith("weight")]
    if untied and source.task == "masked-lm":
        raise CheckpointError(
            f"{untied[0]} in {directory} is not the table of embeddings, which "
            f"{type(model).__name__} uses in its place: heads of their own are not imported"
        )
    return Loaded(model, tuple(missing), tuple(unused))


def _assign_random(model: Any, seed: int, element_sparsity: float | None) -> None:
    shapes = {variable_name(model, v): tuple(v.shape) for v in model.variables}
    nonzeros: dict[str, int] = {}
    if element_sparsity is not None:
        nonzeros = pruned_nonzeros(shapes, element_sparsity, seed)
    for variable in model.variables:
        name = variable_name(model, variable)
        values = random_value(_TIED.get(name, name), shapes[name], seed, nonzeros.get(name))
        variable.assign(values)
