"""Open what is compared: a directory, preset or hub id, or an exported artifact."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tvm_sparse.cache.store import Cache
from tvm_sparse.config import CompileSpec, ModelSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.fidelity.forward import Arrays, DenseCode, Forward, compile_dense
from tvm_sparse.host import available_cores
from tvm_sparse.model.facts import WeightsFacts
from tvm_sparse.progress import Progress, silent


@dataclass(frozen=True)
class Side:
    """One of the two models of a comparison, ready to run.

    Attributes
    ----------
    name, kind : str
        As given; `model` or `artifact`.
    task : str
        What it is for.
    config : dict
        Its `config.json`.
    weights : WeightsFacts
        Where its weights come from.
    forward : callable
        Inputs of one run to outputs by name.
    input_names : tuple of str
    batch, seq_len : int
        Static shape of its inputs.
    directory : str or None
        Where its tokenizer may be.
    code, mod, params : DenseCode, IRModule, dict
        Code, imported module and weights; an artifact has none.
    """

    name: str
    kind: str
    task: str
    config: Mapping[str, Any]
    weights: WeightsFacts
    forward: Forward
    input_names: tuple[str, ...]
    batch: int
    seq_len: int
    directory: str | None
    code: DenseCode | None = field(default=None, repr=False)
    mod: Any = field(default=None, repr=False)
    params: Arrays = field(default_factory=dict, repr=False)

    @property
    def seeded(self) -> bool:
        """Whether the weights were made up, so that fidelity says nothing about a real model."""
        return not self.weights.trained

    def with_forward(self, forward: Forward) -> Side:
        """Return the side with other weights: `code.pack(params)` makes a forward of them."""
        return replace(self, forward=forward)

    def describe(self) -> dict[str, Any]:
        """Return what a record keeps."""
        return {
            "name": self.name,
            "kind": self.kind,
            "weights": asdict(self.weights),
            "seeded": self.seeded,
        }


def is_artifact(model: str) -> bool:
    """Whether `model` is the directory of an exported build."""
    from tvm_sparse.runtime.metadata import LIBRARY_FILE, METADATA_FILE

    return all((Path(model).expanduser() / n).is_file() for n in (METADATA_FILE, LIBRARY_FILE))


def artifact_shape(model: str) -> tuple[int, int] | None:
    """Return (batch, seq_len) of an artifact, None for anything else.

    Raises
    ------
    ArtifactError
        Its metadata is damaged.
    ConfigError
        It takes no ids.
    """
    from tvm_sparse.runtime.metadata import load_metadata

    if not is_artifact(model):
        return None
    shapes = {t.name: t.shape for t in load_metadata(Path(model).expanduser()).inputs}
    if "input_ids" not in shapes:
        raise ConfigError(f"{model} takes {', '.join(shapes)}: only models of texts are evaluated")
    batch, seq_len = shapes["input_ids"]
    return batch, seq_len


def open_side(
    model: str,
    batch: int,
    seq_len: int,
    compile_spec: CompileSpec,
    cache_dir: str | os.PathLike[str] | None = None,
    like: Side | None = None,
    progress: Progress = silent,
) -> Side:
    """Open a model for a comparison.

    Parameters
    ----------
    model : str
        Directory, preset, hub id, or artifact.
    batch, seq_len : int
        Shape to import it at; an artifact has its own.
    compile_spec : CompileSpec
        Threads.
    cache_dir : path, optional
        Cache of imported models.
    like : Side, optional
        A side that is open already: its code is used again if the architecture is the same.
    progress : callable
        Receives one line a step.

    Raises
    ------
    TvmSparseError
        From importing, compiling or loading it.
    """
    if is_artifact(model):
        return _open_artifact(model, compile_spec)
    from tvm_sparse.importers.import_model import import_model, load_imported
    from tvm_sparse.sources.source import resolve_source

    spec = ModelSpec(model, batch=batch, seq_len=seq_len).for_cores(available_cores())
    source = resolve_source(spec, progress)
    entry = import_model(spec, source, Cache(cache_dir, on_warning=progress), progress)
    progress(f"loading {source.name} from the cache")
    imported = load_imported(entry)
    import tvm_ffi  # after TVM, which `load_imported` keeps PyTorch away from

    code = None
    if like is not None and like.code is not None and like.mod is not None:
        same = tvm_ffi.structural_equal(like.mod, imported.mod, map_free_vars=True)
        code = like.code if same else None
    if code is None:
        code = compile_dense(imported.mod, imported.params, imported.facts, compile_spec, progress)
    facts = imported.facts
    return Side(
        name=model,
        kind="model",
        task=facts.task,
        config=facts.config,
        weights=facts.weights,
        forward=code.pack(imported.params),
        input_names=code.input_names,
        batch=code.batch,
        seq_len=code.seq_len,
        directory=source.directory,
        code=code,
        mod=imported.mod,
        params=imported.params,
    )


def _open_artifact(model: str, compile_spec: CompileSpec) -> Side:
    from tvm_sparse.runtime.artifact import load

    shape = artifact_shape(model)
    assert shape is not None  # only artifacts come here
    loaded = load(Path(model).expanduser(), compile_spec.threads)
    metadata = loaded.metadata
    source = metadata.weights.source
    return Side(
        name=model,
        kind="artifact",
        task=metadata.model.task,
        config=metadata.model.config,
        weights=metadata.weights,
        forward=lambda inputs: loaded.run(**inputs),
        input_names=tuple(spec.name for spec in loaded.inputs),
        batch=shape[0],
        seq_len=shape[1],
        directory=source if os.path.isdir(source) else None,
    )
