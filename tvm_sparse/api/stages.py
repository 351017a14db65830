"""The library API: what the command line does, one call a stage.

>>> import tvm_sparse
>>> model = tvm_sparse.load_model("bert-mini")
>>> pruned = tvm_sparse.sparsify(model, sparsity=0.95, block_shape=(4, 1))
>>> builds = tvm_sparse.compile(pruned)
>>> record = tvm_sparse.benchmark(builds)
>>> tvm_sparse.export(builds, "bert-mini-sparse")

Every stage takes what the one before returned and changes nothing in it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_sparse.cache.store import Cache
from tvm_sparse.config import BenchSpec, BuildName, CompileSpec, ModelSpec, SparsitySpec
from tvm_sparse.errors import ArtifactError, ConfigError
from tvm_sparse.host import threads_here
from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Arrays, Model
from tvm_sparse.progress import Progress, ShareProgress, silent
from tvm_sparse.target import check_threads, resolve_target

if TYPE_CHECKING:
    import numpy as np

    from tvm_sparse.bench.record import BenchRecord
    from tvm_sparse.sparsity.decision import LayerChoice
    from tvm_sparse.tiles import Tiles

#: A share of zeros in the encoder's dense weights from which on they count as pruned already.
_PRUNED_ALREADY = 0.5


@dataclass(frozen=True)
class Builds:
    """Compiled builds of one model, as artifact directories in the cache.

    Attributes
    ----------
    model : Model
        What was compiled.
    directories : dict of str to Path
        Under `dense`, `sparse`, or both.
    check : dict
        What was compared and how far apart it was.
    """

    model: Model
    directories: dict[str, Path]
    check: dict[str, Any] = field(default_factory=dict)


def load_model(
    model: str | ModelSpec,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
    **spec: Any,
) -> Model:
    """Import a model, or take it from the cache.

    Parameters
    ----------
    model : str or ModelSpec
        Preset name, hub id or local directory; or a whole spec.
    cache_dir : path, optional
        Cache directory; by default $TVM_SPARSE_CACHE, then `cache`.
    progress : callable
        Receives one line a step.
    **spec
        Fields of `ModelSpec`: weights, batch, seq_len, seed, num_layers, inputs, micro_batch.

    Raises
    ------
    ConfigError, FrontendError, CacheError, BuildError
        See `errors`.
    """
    from tvm_sparse.importers import load_model as importer

    model_spec = model if isinstance(model, ModelSpec) else ModelSpec(model, **spec)
    return importer.load_model(model_spec, Cache(cache_dir, on_warning=progress), progress)


def load_cached_model(
    key: str,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Model:
    """Load an imported model by its key in the cache; nothing is imported anew.

    Parameters
    ----------
    key : str
        Key of an entry of kind `ir`, or the beginning of one.
    cache_dir : path, optional
        Cache directory; by default $TVM_SPARSE_CACHE, then `cache`.
    progress : callable
        Receives one line a step.

    Raises
    ------
    CacheError
        If no entry begins like that, or more than one does, or it is damaged.
    """
    from tvm_sparse.importers import load_model as importer

    return importer.load_cached_model(key, Cache(cache_dir, on_warning=progress), progress)


def sparsify(model: Model, spec: SparsitySpec | None = None, **fields: Any) -> Model:
    """Return the model with sparse weights.

    Parameters
    ----------
    model : Model
        As loaded; not changed.
    spec : SparsitySpec, optional
        A whole spec.
    **fields
        Fields of `SparsitySpec`: sparsity, block_shape, sparsity_threshold, select, prune,
        seed, include, exclude.

    Raises
    ------
    ConfigError, SparsityError
        A value out of range, a pattern that matches nothing, a block that divides no layer.
    """
    from tvm_sparse.sources.presets import find_preset
    from tvm_sparse.sparsity.decision import eligible_layers
    from tvm_sparse.sparsity.sparsify import sparsify as sparsify_params

    spec = spec or SparsitySpec(**fields)
    preset = find_preset(model.spec.model)
    comes_pruned = preset is not None and preset.element_sparsity is not None
    if spec.prune == "auto":
        refusals = eligible_layers(model.layers, spec.block_shape, spec.include, spec.exclude)
        eligible = [layer for layer in model.layers if not refusals[layer.name]]
        comes_pruned = comes_pruned or _zero_share(eligible, model.params) >= _PRUNED_ALREADY
        spec = replace(spec, prune="none" if comes_pruned else "random")
    params = sparsify_params(model.reference.params, model.layers, spec, comes_pruned)
    return replace(model, params=params, sparsity=spec)


def compile(
    model: Model,
    spec: CompileSpec | None = None,
    *,
    builds: Iterable[BuildName] = ("dense", "sparse"),
    atol: float = 1e-4,
    rtol: float = 1e-4,
    tiles: Tiles | None = None,
    progress: Progress = silent,
    **fields: Any,
) -> Builds:
    """Compile a model, or take its builds from the cache.

    The dense build is compared with TensorFlow's outputs when it is made, and the sparse build
    with the dense one on the same weights whenever both are asked for.

    Parameters
    ----------
    model : Model
        After `sparsify`, when a sparse build is wanted.
    spec : CompileSpec, optional
        A whole spec.
    builds : iterable of {"dense", "sparse"}
        Which builds to make.
    atol, rtol : float
        Tolerances of the comparisons.
    tiles : Tiles, optional
        Instead of what tuning found on this machine.
    progress : callable
        Receives one line a step.
    **fields
        Fields of `CompileSpec`: target, threads, dump_ir.

    Raises
    ------
    ConfigError
        A sparse build of a model that was not sparsified; more threads than this machine has.
    CheckError
        A comparison failed.
    BuildError, PassError, SparsityError, CacheError
        See `errors`.
    """
    from tvm_sparse.bench.check import check_builds
    from tvm_sparse.compiler.build_cache import build_artifact
    from tvm_sparse.tuning.layer_choice import choose_layers
    from tvm_sparse.tuning.records import Records
    from tvm_sparse.tuning.tuned_tiles import load_tiles

    spec = spec or CompileSpec(**fields)
    check_threads(spec.target, spec.threads)
    records = Records(model.cache, progress)
    names = list(builds)
    if "sparse" in names and model.sparsity is None:
        raise ConfigError("a sparse build needs sparse weights: call sparsify(model, ...) first")
    choices: dict[str, LayerChoice] = {}
    if "sparse" in names:
        choices = choose_layers(model, spec, records, progress)
    if tiles is None:
        tiles = load_tiles(records)
    directories: dict[str, Path] = {}
    check: dict[str, Any] = {}
    for name in names:
        artifact = build_artifact(
            model,
            name,
            _for_build(spec, name),
            tolerances=(atol, rtol),
            progress=progress,
            choices=choices if name == "sparse" else None,
            tiles=tiles,
        )
        directories[name] = artifact.directory
        if artifact.reference_check is not None:
            check["dense_against_tensorflow"] = artifact.reference_check
    if {"dense", "sparse"} <= directories.keys() and resolve_target(spec.target).runs_here:
        progress("comparing sparse with dense")
        check["sparse_against_dense"] = check_builds(
            *(directories["dense"], directories["sparse"], model.reference.inputs),
            *(threads_here(spec.threads), atol, rtol),
        )
    return Builds(model, directories, check)


def benchmark(
    builds: Builds | Mapping[str, str | os.PathLike[str]],
    spec: BenchSpec | None = None,
    *,
    inputs: Mapping[str, np.ndarray[Any, Any]] | None = None,
    threads: int | None = None,
    profile_repeats: int = 0,
    progress: ShareProgress = silent,
    **fields: Any,
) -> BenchRecord:
    """Measure builds side by side.

    Parameters
    ----------
    builds : Builds or mapping of str to path
        What `compile` returned, or artifact directories under `dense` and `sparse`.
    spec : BenchSpec, optional
        A whole spec.
    inputs : mapping of str to numpy.ndarray, optional
        Inputs to run; by default the model's reference inputs.
    threads : int, optional
        Threads to run on; every core by default.
    profile_repeats : int
        Runs over which each kernel call is timed besides; 0 for none.
    progress : callable
        Receives a line of text and the finished share, 0..1.
    **fields
        Fields of `BenchSpec`: time_s, iterations, warmup_s.

    Raises
    ------
    ArtifactError, InputError, BuildError
        See `errors`.
    """
    from tvm_sparse.bench.runner import benchmark as run

    directories = builds.directories if isinstance(builds, Builds) else builds
    if inputs is None:
        if not isinstance(builds, Builds):
            raise ConfigError("no inputs given: pass inputs={name: array}")
        inputs = builds.model.reference.inputs
    record = run(
        directories,
        inputs,
        spec or BenchSpec(**fields),
        threads,
        profile_repeats=profile_repeats,
        progress=progress,
    )
    return replace(record, check=builds.check) if isinstance(builds, Builds) else record


def export(
    builds: Builds, directory: str | os.PathLike[str], build: BuildName | None = None
) -> Path:
    """Copy a build out of the cache into a directory of its own.

    Parameters
    ----------
    builds : Builds
        What `compile` returned.
    directory : path
        Where `model.so` and `metadata.json` go: a new or empty directory, or an older artifact.
    build : {"dense", "sparse"}, optional
        Which build; the sparse one if there is one.

    Raises
    ------
    ArtifactError
        If there is no such build.
    BuildError
        If the directory cannot be written or holds something else.
    """
    from tvm_sparse.compiler.export import place_artifact

    name = build or ("sparse" if "sparse" in builds.directories else "dense")
    if name not in builds.directories:
        raise ArtifactError(f"build {name!r} given: compiled are {', '.join(builds.directories)}")
    source = builds.directories[name]

    def fill(staging: Path) -> None:
        for file in source.iterdir():
            shutil.copy2(file, staging)

    return place_artifact(fill, directory)


def _for_build(spec: CompileSpec, name: str) -> CompileSpec:
    """Return the spec with a dump directory of the build's own."""
    return spec if spec.dump_ir is None else replace(spec, dump_ir=str(Path(spec.dump_ir) / name))


def _zero_share(layers: Iterable[Layer], params: Arrays) -> float:
    import numpy as np

    weights = [layer.load(params) for layer in layers]
    total = sum(weight.size for weight in weights)
    return 1 - sum(int(np.count_nonzero(w)) for w in weights) / total if total else 0.0
