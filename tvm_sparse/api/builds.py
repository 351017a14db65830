"""Builds: compile a model, and take a build out of the cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.errors import ArtifactError, ConfigError
from tvm_sparse.formats.builds import DENSE, SPARSE, build_spec
from tvm_sparse.host import threads_here
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, silent
from tvm_sparse.target import check_threads, resolve_target

if TYPE_CHECKING:
    from tvm_sparse.sparsity.decision import LayerChoice
    from tvm_sparse.tiles import Tiles


@dataclass(frozen=True)
class Builds:
    """Compiled builds of one model, as artifact directories in the cache.

    Attributes
    ----------
    model : Model
        What was compiled.
    directories : dict of str to Path
        By name of the build.
    check : dict
        What was compared and how far apart it was.
    """

    model: Model
    directories: dict[str, Path]
    check: dict[str, Any] = field(default_factory=dict)


def compile(
    model: Model,
    spec: CompileSpec | None = None,
    *,
    builds: Iterable[str] = (DENSE.name, SPARSE.name),
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
    builds : iterable of str
        Which builds to make: `dense`, `sparse`, or another key of `formats.builds.BUILDS`.
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
    from tvm_sparse.bench.check import check_builds, check_rounded
    from tvm_sparse.compiler.build_cache import build_artifact
    from tvm_sparse.tuning.layer_choice import choose_layers
    from tvm_sparse.tuning.records import Records
    from tvm_sparse.tuning.tuned_tiles import load_tiles

    spec = spec or CompileSpec(**fields)
    check_threads(spec.target, spec.threads)
    records = Records(model.cache, progress)
    wanted = [build_spec(name) for name in builds]
    if any(build.is_sparse for build in wanted) and model.sparsity is None:
        raise ConfigError("a sparse build needs sparse weights: call sparsify(model, ...) first")
    if tiles is None:
        tiles = load_tiles(records)
    directories: dict[str, Path] = {}
    check: dict[str, Any] = {}
    for build in wanted:
        choices: dict[str, LayerChoice] | None = None
        if build.is_sparse:
            choices = choose_layers(model, spec, records, progress, build)
        artifact = build_artifact(
            model,
            build,
            _for_build(spec, build.name),
            tolerances=(atol, rtol),
            progress=progress,
            choices=choices,
            tiles=tiles,
        )
        directories[build.name] = artifact.directory
        if artifact.reference_check is not None:
            check[f"{build.name}_against_tensorflow"] = artifact.reference_check
    if DENSE in wanted and resolve_target(spec.target).runs_here:
        for build in wanted:
            if build != DENSE:
                progress(f"comparing {build.name} with {DENSE.name}")
                pair = (directories[DENSE.name], directories[build.name])
                given = (*pair, model.reference.inputs, threads_here(spec.threads))
                check[f"{build.name}_against_{DENSE.name}"] = (
                    check_rounded(*given)
                    if build.scheme
                    else check_builds(*given, *(build.tolerances or (atol, rtol)))
                )
    return Builds(model, directories, check)


def export(
    builds: Builds,
    directory: str | os.PathLike[str],
    build: str | None = None,
    *,
    standalone: bool = False,
) -> Path:
    """Copy a build out of the cache into a directory of its own.

    Parameters
    ----------
    builds : Builds
        What `compile` returned.
    directory : path
        Where `model.so`, `metadata.json` and, if the model's directory has a tokenizer, what is
        needed to run it on texts go: a new or empty directory, or an older artifact.
    build : str, optional
        Which build; a sparse one if there is one, else the first.
    standalone : bool
        Add TVM's runtime libraries: the build then runs where TVM is not installed.

    Raises
    ------
    ArtifactError
        If there is no such build.
    BuildError
        If the directory cannot be written or holds something else.
    ConfigError
        If a build for another kind of machine would be standalone.
    InputError
        If the model's tokenizer, or a file that describes it, is damaged.
    """
    from tvm_sparse.compiler.export import place_artifact
    from tvm_sparse.compiler.standalone import add_runtime
    from tvm_sparse.compiler.text_files import add_text_files

    names = sorted(builds.directories, key=lambda name: not build_spec(name).is_sparse)
    name = build or names[0]
    if name not in builds.directories:
        raise ArtifactError(f"build {name!r} given: compiled are {', '.join(builds.directories)}")
    source = builds.directories[name]

    def fill(staging: Path) -> None:
        for file in source.iterdir():
            shutil.copy2(file, staging)
        add_text_files(staging, builds.model.facts)
        if standalone:
            add_runtime(staging)

    return place_artifact(fill, directory)


def _for_build(spec: CompileSpec, name: str) -> CompileSpec:
    """Return the spec with a dump directory of the build's own."""
    return spec if spec.dump_ir is None else replace(spec, dump_ir=str(Path(spec.dump_ir) / name))
