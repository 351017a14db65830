"""Open what is compared: a directory, preset or hub id, or an exported artifact."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import AUTO, ModelSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.fidelity.forward import DenseCode, Forward, compile_dense
from tvm_sparse.fidelity.record import EvaluatedModel
from tvm_sparse.model.facts import ModelDescription, TensorSpec, WeightsFacts
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, silent
from tvm_sparse.sources.source import ModelSource


@dataclass(frozen=True)
class Side:
    """One of the two models of a comparison, ready to run.

    `name` is as given; `forward` takes the inputs of one run to outputs by name. An artifact has
    neither `model` nor `code`.
    """

    name: str
    description: ModelDescription
    weights: WeightsFacts
    inputs: tuple[TensorSpec, ...]
    forward: Forward = field(repr=False)
    model: Model | None = None
    code: DenseCode | None = field(default=None, repr=False)

    @property
    def batch(self) -> int:
        """Texts in one run."""
        return self.inputs[0].shape[0]

    @property
    def seq_len(self) -> int:
        """Tokens of every text."""
        return self.inputs[0].shape[1]

    @property
    def directory(self) -> str | None:
        """Where its tokenizer may be."""
        source = self.weights.source
        return source if self.weights.trained and os.path.isdir(source) else None

    def with_forward(self, forward: Forward) -> Side:
        """Return the side with other weights: `code.pack(params)` makes a forward of them."""
        return replace(self, forward=forward)

    def describe(self, scores: dict[str, float]) -> EvaluatedModel:
        """Return what a record keeps, with the scores against labels."""
        kind: Literal["model", "artifact"] = "artifact" if self.model is None else "model"
        return EvaluatedModel(self.name, kind, self.weights, not self.weights.trained, scores)


def is_artifact(model: str) -> bool:
    """Whether `model` is the directory of an exported build."""
    from tvm_sparse.runtime.metadata import LIBRARY_FILE, METADATA_FILE

    return all((Path(model).expanduser() / n).is_file() for n in (METADATA_FILE, LIBRARY_FILE))


def artifact_shape(model: str) -> tuple[int, int] | None:
    """Return (batch, seq_len) of an artifact of one shape, None for anything else.

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
    metadata = load_metadata(Path(model).expanduser())
    shapes = {t.name: t.shape for t in metadata.inputs}
    if "input_ids" not in shapes:
        raise ConfigError(f"{model} takes {', '.join(shapes)}: only models of texts are evaluated")
    if metadata.is_open:
        return None
    batch, seq_len = shapes["input_ids"]
    return batch, seq_len


def open_side(
    model: str,
    compile_spec: CompileSpec,
    cache_dir: str | os.PathLike[str] | None = None,
    like: Side | None = None,
    progress: Progress = silent,
    source: ModelSource | None = None,
    importer: str = AUTO,
    **shape: Any,
) -> Side:
    """Open a model for a comparison.

    Parameters
    ----------
    model : str
        Directory, preset, hub id, or artifact.
    compile_spec, cache_dir, progress
        Threads; cache of imported models; receives one line a step.
    like : Side, optional
        A side that is open already: its code is used again if the architecture is the same.
    source : ModelSource, optional
        As `resolve_source` returned it for this model and shape.
    importer : str
        What reads the model, as `ModelSpec` takes it.
    **shape
        batch, seq_len to import it at, or to run an artifact of any length at; one of one shape has
        its own.

    Raises
    ------
    TvmSparseError
        From importing, compiling or loading it.
    """
    if is_artifact(model):
        return _open_artifact(model, compile_spec, **shape)
    from tvm_sparse.importers.load_model import load_model

    spec = ModelSpec(model, importer=importer, **shape)
    loaded = load_model(spec, Cache(cache_dir, progress), progress, source)
    import tvm_ffi  # after TVM, which `load_model` keeps PyTorch away from

    code = None
    if like is not None and like.model is not None:
        same = tvm_ffi.structural_equal(like.model.mod, loaded.mod, map_free_vars=True)
        code = like.code if same else None
    if code is None:
        code = compile_dense(loaded, compile_spec, progress)
    facts, forward = loaded.facts, code.pack(loaded.params)
    return Side(model, facts.description, facts.weights, facts.inputs, forward, loaded, code)


def _open_artifact(
    model: str, compile_spec: CompileSpec, batch: int = 1, seq_len: int = 128
) -> Side:
    from tvm_sparse.runtime.artifact import load

    artifact_shape(model)  # refuses what takes no texts
    loaded = load(Path(model).expanduser(), compile_spec.threads)
    facts, inputs = loaded.metadata, loaded.inputs
    if facts.is_open:
        ModelSpec(**facts.spec["model"]).check_shapes([(batch, seq_len)])
        inputs = tuple(spec.at(batch, seq_len) for spec in inputs)
    return Side(model, facts.model, facts.weights, inputs, lambda inputs: loaded.run(**inputs))
