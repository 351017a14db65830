"""From an imported module to an executable: the pipeline, then code generation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.compiler import tir_pipeline
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import BuildError
from tvm_sparse.formats.builds import SPARSE, BuildSpec
from tvm_sparse.formats.registry import target_of
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.passes.layer_plan import NO_PLAN, LayerPlan
from tvm_sparse.passes.pipeline import LOWER, Lowered, Phases, lower, pack
from tvm_sparse.progress import Progress, silent
from tvm_sparse.target import CpuTarget, resolve_target
from tvm_sparse.tiles import Tiles

#: LLVM's level for open builds. Their kernels run as fast as with its highest, 3, where those of
#: one shape do not, and it takes a quarter less of LLVM's time for them.
OPEN_LEVEL = 1


@dataclass(frozen=True)
class Build:
    """A compiled model, in memory.

    `executable`, a `tvm.relax.VMExecutable`, has a `main` that takes the inputs, then the weights;
    `compile_s` are the seconds from the imported module to it.
    """

    executable: Any
    lowered: Lowered
    target: CpuTarget
    spec: BuildSpec
    compile_s: float


def compile_model(
    mod: tvm.IRModule,
    params: Mapping[str, np.ndarray],
    spec: CompileSpec,
    sparsity: SparsitySpec | None = None,
    progress: Progress = silent,
    plan: LayerPlan = NO_PLAN,
    tiles: Tiles | None = None,
    build: BuildSpec = SPARSE,
) -> Build:
    """Compile an imported module.

    Parameters
    ----------
    mod, params
        As imported, and weights as they are to run; not changed.
    spec : CompileSpec
        Target and dump directory.
    sparsity : SparsitySpec or None
        Block shape, threshold and layer choice; None makes the dense build.
    progress : callable
        Receives the name of each phase.
    plan : LayerPlan
        What was decided of the layers.
    tiles : Tiles, optional
        What tuning found on this machine.
    build : BuildSpec
        Gives the formats of the weights.

    Raises
    ------
    BuildError
        If code generation fails.
    PassError, SparsityError
        From the passes.
    """
    target = target_of(build, resolve_target(spec.target, spec.threads, tiles))
    start = time.perf_counter()
    phases = Phases(spec.dump_ir, progress)
    lowered = lower(mod, params, target, sparsity, phases, plan, build)
    progress("generate_code")
    try:
        executable = relax.build(
            lowered.mod,
            tvm_target(target, level=OPEN_LEVEL if lowered.token_tile else None),
            relax_pipeline=LOWER,
            tir_pipeline=tir_pipeline.NAME,
        )
    except (RuntimeError, ValueError, TypeError) as error:  # InternalError is a RuntimeError
        first_line = str(error).strip().splitlines()[-1]
        raise BuildError(f"code generation for {target.isa} failed: {first_line}") from error
    return Build(executable, lowered, target, build, time.perf_counter() - start)


def replace_weights(build: Build, mod: tvm.IRModule, params: Mapping[str, np.ndarray]) -> Build:
    """Return a dense build of `mod` with the same code and other weights; nothing given is changed.

    The weights have the same names, shapes and dtypes.

    Raises
    ------
    BuildError
        If the weights have other shapes than those it was compiled for.
    PassError
        From the passes.
    """
    _, packed, _ = pack(mod, params, build.target, build=build.spec)
    lowered = build.lowered
    weights = {name: packed[name] for name in lowered.params if name in packed}
    if _types(weights) != _types(lowered.params):
        raise BuildError(
            "the weights do not have the names, shapes and dtypes the code was compiled for: "
            "compile the model with them"
        )
    return replace(build, lowered=replace(lowered, params=weights))


def without_weights(build: Build) -> Build:
    """Return a build that knows its weights' shapes alone, for `replace_weights`."""
    shapes = {
        name: np.broadcast_to(np.zeros((), value.dtype), value.shape)
        for name, value in build.lowered.params.items()
    }
    return replace(build, lowered=replace(build.lowered, params=shapes))


def _types(params: Mapping[str, np.ndarray]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (value.shape, str(value.dtype)) for name, value in params.items()}
