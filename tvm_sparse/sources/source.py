"""Where a model comes from: which files or which seed, decided without TensorFlow.

`--model` is looked up as a preset's short name, then as a local directory, then as a hub id.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CheckpointError, ConfigError, ModelNotFoundError, did_you_mean
from tvm_sparse.progress import Progress, silent
from tvm_sparse.sources.architecture import (
    architecture_of,
    check_input,
    with_num_layers,
)
from tvm_sparse.sources.checkpoint import find_weights, hash_files
from tvm_sparse.sources.compressed_tensors import check_compression
from tvm_sparse.sources.config_file import load_config
from tvm_sparse.sources.hub import (
    HubUnavailableError,
    cached_checkpoint,
    cached_config,
    fetch_checkpoint,
)
from tvm_sparse.sources.mask_scores import option_files
from tvm_sparse.sources.onnx_file import ONNX_ENDING
from tvm_sparse.sources.onnx_source import (
    architecture_from,
    config_of,
    directory_of,
    find_onnx,
)
from tvm_sparse.sources.presets import Preset, find_preset, load_presets, preset_names
from tvm_sparse.sources.pt2_archive import Pt2Archive
from tvm_sparse.tasks.registry import task_of
from tvm_sparse.text.tokens import load_tokenizer

#: Of the files of `torch.export.save`.
ARCHIVE_ENDING = ".pt2"
# Part of every fingerprint of seeded weights: raise it when `random_weights` draws differently.
RANDOM_WEIGHTS_VERSION = 1


@dataclass(frozen=True)
class ModelSource:
    """A model's origin, decided and checked.

    Parameters
    ----------
    name : str
        The model as the user named it.
    kind : {"checkpoint", "random"}
        Real weights from files, or seeded ones.
    directory : str or None
        Where the checkpoint's files are; None for seeded weights.
    config : dict
        The model's `config.json`, with the number of layers asked for.
    architecture : str
        Class of transformers, without the leading TF, e.g. `BertForQuestionAnswering`.
    task : str
        A key of `tasks.registry.TASKS`.
    detail : str
        One line that says which weights these are and why.
    fingerprint : str
        Hash of the weights: of the files' contents, or of what seeded weights follow from.
    weights_format : {"safetensors", "h5", "bin"} or None
        Of the checkpoint's files.
    element_sparsity : float or None
        Fraction of zeros that seeded weights get in the encoder's dense layers.
    archive : str or None
        The `.pt2` or `.onnx` file that holds the weights and the program. Beside an ONNX file,
        `directory` may have a config and a tokenizer.
    """

    name: str
    kind: Literal["checkpoint", "random"]
    directory: str | None
    config: dict[str, Any]
    architecture: str
    task: str
    detail: str
    fingerprint: str
    weights_format: str | None = None
    element_sparsity: float | None = None
    archive: str | None = None

    @property
    def is_onnx(self) -> bool:
        """Whether it is an ONNX file."""
        return self.archive is not None and self.archive.endswith(ONNX_ENDING)

    def check_reads_texts(self) -> None:
        """Raise an InputError when a checkpoint has no tokenizer, or one that cannot be read."""
        if self.directory is not None:
            load_tokenizer(self.directory)


@dataclass(frozen=True)
class _Found:
    """A model's config, with the directory of its checkpoint or the reason there is none."""

    config: dict[str, Any]
    directory: Path | None = None
    origin: str = ""
    reason: str = ""


def resolve_source(spec: ModelSpec, progress: Progress = silent) -> ModelSource:
    """Decide where the model named by `spec` comes from.

    A hub id is looked for in the hub's cache, then asked for over the network with a wait of a
    few seconds; without either, `--weights auto` takes seeded weights and says so in `detail`.

    Parameters
    ----------
    spec : ModelSpec
        Model, weights policy, seed, sequence length and number of layers are used.
    progress : callable
        Receives one line per step that takes time.

    Raises
    ------
    ModelNotFoundError
        No preset, directory or reachable hub model has this name.
    CheckpointError
        Files are missing or damaged, or there is no checkpoint under `--weights checkpoint`.
    ConfigError
        The sequence length or number of layers is more than the model allows, or the model does
        not fit into memory.
    FrontendError
        The architecture is no encoder this tool imports.
    """
    presets = load_presets()
    if spec.model.endswith(ARCHIVE_ENDING):
        return _archive_source(spec)
    if spec.model.endswith(ONNX_ENDING):
        return _onnx_source(spec)
    preset = find_preset(spec.model)
    if spec.model not in presets and _is_directory_name(spec.model):
        preset, found = None, _find_local(spec)
    else:
        found = _find_on_hub(spec, preset, progress)
    # A preset's short name decides its own task; everything else follows the checkpoint.
    by_name = preset is not None and spec.model == preset.name
    architecture = preset.architecture if preset and by_name else architecture_of(found.config)
    task = task_of(architecture).name
    config = with_num_layers(spec.model, found.config, spec.num_layers)
    check_input(spec.model, config, task, spec.batch, spec.seq_len)
    if found.directory is not None:
        return _checkpoint_source(spec, found, found.directory, config, architecture, task)
    sparsity = preset.element_sparsity if preset else None
    return _random_source(spec, found, config, architecture, task, sparsity)


def _is_directory_name(model: str) -> bool:
    return os.path.isdir(os.path.expanduser(model)) or model.startswith(("/", ".", "~"))


def _find_local(spec: ModelSpec) -> _Found:
    directory = Path(spec.model).expanduser().absolute()
    if not directory.is_dir():
        raise ModelNotFoundError(
            f"model {spec.model!r} given: there is no such directory; give a directory with "
            f"config.json and weights, a hub id, or a preset ({preset_names()})"
        )
    config = load_config(directory)
    if spec.weights == "random":
        return _Found(config, reason="asked for")
    if find_weights(directory) is not None:
        return _Found(config, directory, origin=str(directory))
    if spec.weights == "checkpoint":
        raise CheckpointError(
            f"{directory} has no weights: model.safetensors, tf_model.h5 or pytorch_model.bin is "
            "needed (or "
            "--weights random for seeded weights)"
        )
    return _Found(config, reason=f"{directory} has no weights")


def _find_on_hub(spec: ModelSpec, preset: Preset | None, progress: Progress) -> _Found:
    hub_id = preset.hub_id if preset else spec.model
    if spec.weights == "random" and preset:
        return _Found(preset.config, reason="asked for")
    wants_weights = spec.weights != "random"
    directory, fault = None, None
    try:
        directory = cached_checkpoint(hub_id) if wants_weights else cached_config(hub_id)
    except CheckpointError as error:
        fault = error
    origin = f"{hub_id} (in the hub's cache)"
    try:
        if directory is None:
            progress(f"looking for {hub_id} on the hub")
            directory = fetch_checkpoint(hub_id, progress, config_only=not wants_weights)
            origin = f"{hub_id} (downloaded)"
    except HubUnavailableError as error:
        if fault is not None:
            raise fault from None
        if spec.weights == "checkpoint" and (preset or error.answered):
            raise CheckpointError(
                f"no checkpoint of {hub_id} is cached or reachable: {error}; use --weights auto "
                "or random, or give a directory that holds it"
            ) from None
        if preset:
            return _Found(preset.config, reason=f"no checkpoint of {hub_id}: {error}")
        directory = cached_config(hub_id)
        if directory is None or spec.weights == "checkpoint":
            raise _not_found(spec.model, str(error)) from None
        return _Found(load_config(directory), reason=f"no checkpoint of {hub_id}: {error}")
    config = load_config(directory)
    return (
        _Found(config, directory, origin) if wants_weights else _Found(config, reason="asked for")
    )


def _not_found(model: str, reason: str) -> ModelNotFoundError:
    hint = did_you_mean(model, load_presets())
    return ModelNotFoundError(
        f"model {model!r} given{hint}: no preset or directory has this name, and {reason}; "
        f"presets are {preset_names()}"
    )


def _checkpoint_source(
    spec: ModelSpec,
    found: _Found,
    directory: Path,
    config: dict[str, Any],
    architecture: str,
    task: str,
) -> ModelSource:
    files = find_weights(directory)
    if files is None:
        raise CheckpointError(f"the weights in {directory} vanished: start again")
    check_compression(config, f"{directory}/config.json")
    return ModelSource(
        name=spec.model,
        kind="checkpoint",
        directory=str(directory),
        config=config,
        architecture=architecture,
        task=task,
        detail=f"checkpoint {found.origin}",
        fingerprint=hash_files((*files.paths, *option_files(directory))),
        weights_format=files.format,
    )


def _archive_source(spec: ModelSpec) -> ModelSource:
    """Return the source that a `.pt2` file is."""
    path = Path(spec.model).expanduser().absolute()
    if not path.is_file():
        raise ModelNotFoundError(
            f"model {spec.model!r} given: there is no such file; `python -m tvm_sparse.export_pt2` "
            "or torch.export.save makes one"
        )
    _check_as_it_is(spec, "an archive")
    facts = Pt2Archive(path).facts()
    architecture = facts.architecture if facts else ""
    config = {"model_type": "pt2", **(facts.config if facts else {})}
    return ModelSource(
        name=spec.model,
        kind="checkpoint",
        directory=None,
        config=config,
        architecture=architecture or "Model",
        task=task_of(architecture or "Model").name,
        detail=f"archive {path}",
        fingerprint=hash_files((path,)),
        archive=str(path),
    )


def _onnx_source(spec: ModelSpec) -> ModelSource:
    """Return the source that an ONNX file is."""
    file = find_onnx(spec.model)
    _check_as_it_is(spec, "a file")
    directory = directory_of(file)
    config = config_of(directory)
    architecture = architecture_from(file, config)
    task = task_of(architecture).name
    check_input(spec.model, config, task, spec.batch, spec.seq_len)
    return ModelSource(
        name=spec.model,
        kind="checkpoint",
        directory=str(directory),
        config=config,
        architecture=architecture,
        task=task,
        detail=f"ONNX file {file.path}",
        fingerprint=hash_files((file.path, *file.external)),
        archive=str(file.path),
    )


def _check_as_it_is(spec: ModelSpec, what: str) -> None:
    """Refuse to change what a file holds."""
    for option, given in (("--layers", spec.num_layers), ("--weights random", spec.weights)):
        if given not in (None, "auto", "checkpoint"):
            raise ConfigError(f"{option} and {spec.model} given: {what} is imported as it is")


def _random_source(
    spec: ModelSpec,
    found: _Found,
    config: dict[str, Any],
    architecture: str,
    task: str,
    element_sparsity: float | None,
) -> ModelSource:
    what = f"seeded random weights (seed {spec.seed})"
    if element_sparsity is not None:
        what += f", {element_sparsity:.0%} of the encoder's dense weights zero"
    basis = [config, architecture, spec.seed, element_sparsity, RANDOM_WEIGHTS_VERSION]
    return ModelSource(
        name=spec.model,
        kind="random",
        directory=None,
        config=config,
        architecture=architecture,
        task=task,
        detail=f"{what}: {found.reason}",
        fingerprint=hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest(),
        element_sparsity=element_sparsity,
    )
