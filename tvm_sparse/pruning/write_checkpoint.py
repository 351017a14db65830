"""Write a pruned model as a directory that transformers loads: the old one, with other weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tvm_sparse.errors import CheckpointError, ConfigError
from tvm_sparse.model.model import Model
from tvm_sparse.model.torch_checkpoint import write_torch_checkpoint
from tvm_sparse.processes.directory import place_directory
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.pruning.find_tensors import changed_names, find_tensors
from tvm_sparse.pruning.model_card import MODEL_CARD, write_model_card
from tvm_sparse.pruning.report import PruningReport
from tvm_sparse.records.read import read_json
from tvm_sparse.records.write import write_json
from tvm_sparse.sources.checkpoint import CheckpointFiles, find_weights
from tvm_sparse.sources.onnx_file import ONNX_ENDING
from tvm_sparse.sources.pruned_blocks import REPORT_FILE
from tvm_sparse.sources.source import ARCHIVE_ENDING
from tvm_sparse.sources.stored_tensors import FLOATS, StoredTensor, stored_tensors

#: The same weights in other formats, which would contradict the pruned ones.
_OTHER_WEIGHTS = (
    *(".bin", ".ckpt", ".gguf", ".h5", ".mlmodel", ".msgpack", ".onnx", ".onnx_data", ".ot"),
    *(".pb", ".pt", ".pth", ".tflite", ".xml"),
)
_LEFT_OUT = ("onnx", "openvino", "coreml")


def save_pruned(model: Model, directory: str | os.PathLike[str], report: PruningReport) -> Path:
    """Write a pruned model beside the checkpoint it came from, or on top of seeded weights.

    Parameters
    ----------
    model, directory, report
        With the pruned weights; as `write_checkpoint` takes them, and with its errors.
    """
    check_saves(model)
    facts, original, pruned = model.facts, model.reference.params, model.params
    if facts.weights.trained:
        source = Path(facts.weights.source)
        return write_checkpoint(source, directory, original, pruned, report)
    with temporary_directory() as folder:
        write_torch_checkpoint(folder, facts, original)
        return write_checkpoint(folder, directory, original, pruned, report)


def write_checkpoint(
    source: Path,
    directory: str | os.PathLike[str],
    original: Mapping[str, np.ndarray],
    pruned: Mapping[str, np.ndarray],
    report: PruningReport,
) -> Path:
    """Write config, tokenizer, pruned weights and the report, and return the directory.

    It appears complete or not at all: it is written beside its place and renamed. It is new or
    empty, or an older result, which is replaced. `source` is the checkpoint the model was imported
    from; training may have changed any of its original weights. `report` becomes `pruning.json`,
    with the list of files.

    Raises
    ------
    CheckpointError
        The checkpoint has no safetensors, or changed since the model was imported.
    ConfigError
        Something else lies at `directory`.
    BuildError
        It cannot be written.
    """
    out_path = Path(os.path.abspath(directory))
    check_output(out_path, source)

    def fill(staging: Path) -> None:
        _fill(staging, source, original, pruned)
        write_model_card(staging / MODEL_CARD, report)
        names = sorted(path.relative_to(staging).as_posix() for path in _files(staging))
        write_json(staging / REPORT_FILE, replace(report, files=tuple(names)))

    return place_directory(fill, out_path, "the pruned model")


def check_saves(model: Model) -> None:
    """Refuse a model of which no directory can be written, before hours of work.

    Raises
    ------
    ConfigError
        It is an ONNX file.
    CheckpointError
        As `check_source` does.
    """
    facts = model.facts
    if facts.spec.model.endswith(ONNX_ENDING):
        raise ConfigError(
            f"{facts.name} is an ONNX file, and no directory of transformers comes of it: write "
            "one again (prune --onnx, `save_onnx`)"
        )
    if facts.weights.trained and not facts.weights.source.endswith(ARCHIVE_ENDING):
        check_source(Path(facts.weights.source))


def check_source(source: Path) -> None:
    """Refuse a checkpoint whose tensors cannot be replaced.

    Raises
    ------
    CheckpointError
        It has no safetensors, or weights in two parts.
    """
    files = find_weights(source)
    if files is None or files.format != "safetensors":
        held = "no weights" if files is None else files.paths[0].name
        raise CheckpointError(
            f"{source} holds {held}: model.safetensors is needed to write a pruned one "
            "(`model.save_pretrained(directory, safe_serialization=True)` makes it)"
        )
    for tensor in _tensors(files):
        if tensor.name.endswith(("_orig", "mask_scores")):
            raise CheckpointError(
                f"{source} holds {tensor.name}, a weight beside what masks it: save it with the "
                "pruning made permanent before it is pruned further"
            )


def _tensors(files: CheckpointFiles) -> list[StoredTensor]:
    return [tensor for path in files.paths for tensor in stored_tensors(path)]


def check_output(directory: Path, source: Path | None = None) -> None:
    """Refuse a directory that a pruned model must not replace.

    It is to be new, empty, or written by `write_checkpoint`, and not `source`, what is pruned.

    Raises
    ------
    ConfigError
        Something else lies there.
    """
    if not os.path.lexists(directory):
        return
    if not directory.is_dir() or directory.is_symlink():
        raise ConfigError(f"{directory} exists and is no directory: choose another -o")
    if source is not None and directory.resolve() == source.resolve():
        raise ConfigError(f"{directory} is the model to be pruned: choose another -o")
    ours = {REPORT_FILE, *_listed(directory / REPORT_FILE)}
    strangers = [p.relative_to(directory).as_posix() for p in _files(directory)]
    strangers = sorted(name for name in strangers if name not in ours)
    if strangers:
        raise ConfigError(
            f"{directory} holds other files than a pruned model's ({', '.join(strangers[:3])}): "
            "choose a new or an empty directory"
        )


def _fill(
    staging: Path,
    source: Path,
    original: Mapping[str, np.ndarray],
    pruned: Mapping[str, np.ndarray],
) -> None:
    check_source(source)
    weights = find_weights(source)
    assert weights is not None  # checked above
    for path in _files(source):
        relative = path.relative_to(source)
        if _is_copied(relative, {file.name for file in weights.paths}):
            target = staging / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    tensors = [tensor for tensor in _tensors(weights) if tensor.dtype in FLOATS]
    for found in find_tensors(tensors, original, changed_names(original, pruned)):
        values = found.stored(pruned[found.weight])
        found.tensor.write(values, staging / found.tensor.path.name)


def _is_copied(relative: Path, weights: set[str]) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    if hidden or relative.name == REPORT_FILE or relative.parts[0] in _LEFT_OUT:
        return False
    if relative.suffix == ".safetensors":
        return str(relative) in weights
    # The index of shards in another format goes with its shards.
    name = relative.name.removesuffix(".index.json")
    return Path(name).suffix not in _OTHER_WEIGHTS


def _files(directory: Path) -> Iterator[Path]:
    """Iterate over the files below a directory; links to directories are not followed."""
    for folder, folders, names in os.walk(directory):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names))


def _listed(report: Path) -> list[str]:
    """Return the files that an older result says it holds."""
    try:
        files = read_json(report, ConfigError)["files"]
    except (ConfigError, KeyError, TypeError):
        return []
    return [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
