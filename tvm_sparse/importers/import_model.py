"""From a model's source to its entry in the cache, through a process of its own.

Neither TensorFlow nor transformers is ever imported here: an entry that exists is returned as it
is, and a new one is written by `tvm_sparse.importers.worker`.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tvm_sparse.cache.store import Cache, CacheEntry
from tvm_sparse.config.model import AUTO, ModelSpec
from tvm_sparse.dependencies import ONNX_FILES, RUNTIME, WEIGHTS, check_dependencies, fit_together
from tvm_sparse.importers.importer import Importer
from tvm_sparse.importers.registry import IMPORTERS, choose_importer, find_importer
from tvm_sparse.processes.child import call
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import code_fingerprint, versions_of
from tvm_sparse.sources.checkpoint import find_weights
from tvm_sparse.sources.onnx_file import ONNX_ENDING, read_onnx_file
from tvm_sparse.sources.source import ARCHIVE_ENDING, ModelSource


def import_model(
    spec: ModelSpec,
    source: ModelSource,
    cache: Cache,
    progress: Progress = silent,
) -> CacheEntry:
    """Return the cache entry of a model, importing the model if there is none.

    Parameters
    ----------
    spec : ModelSpec
        Shape, seed and form of the inputs. Without a micro-batch the whole batch is one.
    source : ModelSource
        As `resolve_source` returns it for this spec.
    cache : Cache
        Receives the entry under the kind "ir".
    progress : callable
        Receives one line per step.

    Raises
    ------
    TvmSparseError
        Whatever the import worker raised, of the same class; BuildError if it died; CacheError
        if the cache cannot be written.
    """
    spec = replace(spec, importer=choose_importer(spec.importer, source).name)
    find_importer(spec.importer).check(source)
    entry = _find_or_import(spec, source, cache, progress)
    # The same weights may have been asked for in other words (auto, random) when it was written.
    spec = replace(spec, micro_batch=entry.manifest["spec"]["micro_batch"])
    gaps = entry.manifest["weights"]["gaps"]
    return replace(entry, manifest={**entry.manifest, **_manifest(spec, source, gaps)})


def check_packages(spec: ModelSpec, source: ModelSource | None = None) -> None:
    """Refuse to import with packages that are missing or do not fit, before any work.

    Parameters
    ----------
    spec : ModelSpec
        The importer is used.
    source : ModelSource, optional
        What is imported. Before it is known, it is enough that one importer is installed.

    Raises
    ------
    DependencyError
        With the pip command that mends it.
    """
    if source is not None:
        importer = choose_importer(spec.importer, source)
        check_dependencies(RUNTIME + WEIGHTS + importer.needs(source))
    elif spec.model.endswith(ARCHIVE_ENDING):
        check_dependencies(RUNTIME + WEIGHTS)
    elif spec.model.endswith(ONNX_ENDING):
        check_dependencies(RUNTIME + WEIGHTS + ONNX_FILES)
    else:
        names = IMPORTERS if spec.importer == AUTO else (spec.importer,)
        importers = [find_importer(name) for name in names]
        chosen = next((i for i in importers if fit_together(i.requirements)), importers[0])
        check_dependencies(RUNTIME + WEIGHTS + chosen.requirements)


def _find_or_import(
    spec: ModelSpec, source: ModelSource, cache: Cache, progress: Progress
) -> CacheEntry:
    key = ir_key(spec, source)
    if (entry := cache.get("ir", key)) is not None:
        return entry
    check_packages(spec, source)
    with cache.lock("ir", key, on_wait=progress):
        # Another process may have imported the model while this one waited.
        if (entry := cache.get("ir", key)) is not None:
            return entry
        with cache.create("ir", key, needed_bytes=_weight_bytes(source)) as staging:
            facts = _import(spec, source, staging.path, progress)
            spec = replace(spec, micro_batch=facts.pop("micro_batch"))
            facts["config"] |= source.config
            staging.manifest.update(_manifest(spec, source, facts.pop("gaps")), **facts)
    assert staging.entry is not None  # `create` sets it or raises
    return staging.entry


def _import(
    spec: ModelSpec, source: ModelSource, directory: Path, progress: Progress
) -> dict[str, Any]:
    """Have a child process fill `directory`, and return the module's signature."""
    importer = find_importer(spec.importer)
    request = {
        "importer": importer.name,
        "spec": asdict(spec),
        "source": asdict(source),
        "directory": str(directory),
    }
    module, purpose = "tvm_sparse.importers.worker", "imports the model"
    facts: dict[str, Any] = call(module, purpose, request, importer.environment, progress)
    return facts


def ir_key(spec: ModelSpec, source: ModelSource) -> str:
    """Return the cache key of an import: equal for equal weights, shapes and versions."""
    importer = choose_importer(spec.importer, source)
    return Cache.key(
        {
            "name": source.name,
            "fingerprint": source.fingerprint,
            "config": source.config,
            "architecture": source.architecture,
            "batch": spec.batch,
            "micro_batch": spec.micro_batch or spec.batch,
            "seq_len": spec.seq_len,
            "is_open": spec.is_open,
            "inputs": spec.inputs,
            "seed": spec.seed,
            "versions": _versions(importer),
            "code": code_fingerprint(f"import {importer.name}"),
        }
    )


def _manifest(spec: ModelSpec, source: ModelSource, gaps: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": source.name,
        "architecture": source.architecture,
        "task": source.task,
        "weights": {
            "kind": source.kind,
            "source": source.directory or source.archive or "seeded",
            "detail": source.detail,
            "fingerprint": source.fingerprint,
            "gaps": gaps,
        },
        "spec": asdict(spec),
        "versions": _versions(find_importer(spec.importer)),
    }


def _versions(importer: Importer) -> dict[str, str]:
    """Return the versions of what imports a model, besides our own code."""
    return versions_of({r.names[0]: r.names[0] for r in RUNTIME + importer.requirements})


def _weight_bytes(source: ModelSource) -> int:
    if source.archive is not None:
        path = Path(source.archive)
        paths = (path, *read_onnx_file(path).external) if source.is_onnx else (path,)
    else:
        files = find_weights(Path(source.directory)) if source.directory else None
        paths = files.paths if files else ()
    return sum(path.stat().st_size for path in paths)
