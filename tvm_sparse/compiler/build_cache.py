"""Builds as artifacts in the cache: made once for equal weights, specs and compiler."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.cache.store import Cache
from tvm_sparse.compiler.compile import Build, compile_model, replace_weights
from tvm_sparse.compiler.export import export_artifact
from tvm_sparse.compiler.reference_check import check_against_reference, first_differing_layer
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.errors import CheckError
from tvm_sparse.formats.builds import BuildSpec
from tvm_sparse.formats.registry import target_of
from tvm_sparse.host import available_cores
from tvm_sparse.model.decision import Decision
from tvm_sparse.model.model import Model
from tvm_sparse.model.quantization import Quantization
from tvm_sparse.passes.layer_plan import LayerPlan
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import TVM, code_fingerprint, versions_of
from tvm_sparse.runtime.metadata import ArtifactMetadata
from tvm_sparse.sparsity.decision import LayerChoice, keep_dense, sparse_flops_share
from tvm_sparse.target import CpuTarget, resolve_target
from tvm_sparse.tiles import Tiles

_ARTIFACT = "artifact"


@dataclass(frozen=True)
class CachedArtifact:
    """An artifact directory in the cache, and what was checked when it was made."""

    directory: Path
    reference_check: dict[str, float] | None


def build_artifact(
    model: Model,
    build: BuildSpec,
    spec: CompileSpec,
    *,
    tolerances: tuple[float, float] = (1e-4, 1e-4),
    progress: Progress = silent,
    choices: Mapping[str, LayerChoice] | None = None,
    tiles: Tiles | None = None,
) -> CachedArtifact:
    """Return the artifact of one build, compiling it if the cache has none.

    Parameters
    ----------
    model : Model
        With the weights to build with. Its cache receives the artifact under the kind "lib".
    build : BuildSpec
        Which build. An exact one is compared with the model's reference before it is kept.
    tolerances : (float, float)
        atol and rtol of the comparison.
    spec, choices, tiles, progress
        As `compile_model` takes them; progress receives one line a step.

    Raises
    ------
    CheckError
        If an exact build differs from the reference.
    BuildError, PassError, SparsityError, CacheError
        See `errors`.
    """
    target = target_of(build, resolve_target(spec.target, spec.threads, tiles))
    key = _artifact_key(model, build, target, choices or {})
    cache, params, original = model.cache, model.params, model.reference.params

    def cached() -> CachedArtifact | None:
        # Dumps are asked for to be read: they need the phases to run.
        if spec.dump_ir is not None or (entry := cache.get("lib", key)) is None:
            return None
        progress(f"{build.name} build taken from the cache")
        return CachedArtifact(entry.path / _ARTIFACT, entry.manifest["reference_check"])

    if (artifact := cached()) is not None:
        return artifact
    with cache.lock("lib", key, on_wait=progress):
        # Another process may have made the build while this one waited.
        if (artifact := cached()) is not None:
            return artifact
        reference_check = None
        checked = build.is_exact and target.runs_here
        # The reference outputs belong to the original weights. The code is the same for others.
        made = compile_model(
            model.mod,
            original if checked else params,
            spec,
            model.sparsity if build.is_sparse else None,
            _phases(f"compiling the {build.name} build", progress),
            LayerPlan(choices, model.quantization),
            tiles,
            build,
        )
        if checked:
            progress(f"comparing the {build.name} build with {model.reference.framework}")
            reference_check = _check(made, model, spec, tolerances, progress)
            if params is not original:
                made = replace_weights(made, model.mod, params)
        progress(f"writing the {build.name} build")
        # Twice: the linker copies the weights from an object file into the library.
        with cache.create("lib", key, needed_bytes=2 * made.lowered.weights_bytes) as staging:
            decisions = made.lowered.decisions
            if not build.is_sparse:
                decisions = keep_dense(model.layers, params)
            if made.lowered.stored:
                known = model.quantization or Quantization()
                stored = made.lowered.stored
                decisions = [_as_stored(decision, stored, known) for decision in decisions]
            metadata = _describe(build.name, made, decisions, model, spec)
            directory = staging.path / _ARTIFACT
            export_artifact(made.executable, made.lowered.params, metadata, directory)
            staging.manifest.update(
                build=build.name,
                model=model.facts.name,
                isa=made.target.isa,
                spec=metadata.spec,
                reference_check=reference_check,
            )
    assert staging.entry is not None  # `create` sets it or raises
    return CachedArtifact(staging.entry.path / _ARTIFACT, reference_check)


def _as_stored(
    decision: Decision, stored: Mapping[str, tuple[str, str]], known: Quantization
) -> Decision:
    """Return a decision of a build that rounds weights with what became of this one."""
    name = decision.weight
    dtype, reason = stored.get(name, ("float32", "no product of token tiles"))
    return replace(
        decision,
        dtype=dtype,
        dtype_reason=reason or known.notes.get(name, ""),
        int8_error=known.errors.get(name),
    )


def _phases(what: str, progress: Progress) -> Progress:
    """Tell that a step begins, and return a progress of its phases."""
    progress(what)
    return lambda phase: progress(f"{what}: {phase}")


def _check(
    build: Build,
    model: Model,
    spec: CompileSpec,
    tolerances: tuple[float, float],
    progress: Progress,
) -> dict[str, float]:
    try:
        return check_against_reference(build, model.reference, spec.threads, *tolerances)
    except CheckError as error:
        progress("looking for the first layer that differs")
        layer = first_differing_layer(model.mod, model.reference, spec, *tolerances)
        where = f"first differing layer: {layer}" if layer else "no layer norm differs by itself"
        raise CheckError(f"{error}; {where}") from None


def _artifact_key(
    model: Model, build: BuildSpec, target: CpuTarget, choices: Mapping[str, LayerChoice]
) -> str:
    return Cache.key(
        {
            "build": asdict(build),
            "ir": model.facts.key,
            "weights": _fingerprint(model.params, model.reference.params),
            "sparsity": asdict(model.sparsity) if model.sparsity else None,
            "choices": {layer: choice.sparse for layer, choice in choices.items()},
            "isa": target.isa,
            "extensions": target.extensions,
            "threads": target.threads,
            "tiles": asdict(target.tiles),
            "quantization": _rounding(model) if build.scheme else None,
            "code": code_fingerprint("build"),
        }
    )


def _rounding(model: Model) -> dict[str, Any] | None:
    """Return what tells how the layers are rounded apart from other ways to do it."""
    known = model.quantization
    if known is None:
        return None
    digest = hashlib.sha256()
    for name, value in sorted(known.factors.items()):
        digest.update(f"{name} {value.shape} {value.dtype}".encode())
        digest.update(np.ascontiguousarray(value).data)
    return {
        "factors": digest.hexdigest(),
        "kept": sorted(known.kept),
        "wide": sorted(known.wide),
        "spec": asdict(known.spec),
    }


def _fingerprint(
    params: Mapping[str, np.ndarray], original: Mapping[str, np.ndarray]
) -> str | None:
    """Return a hash of the weights that are not the imported ones, None when all are.

    The sparsity does not tell them: weights that were pruned elsewhere come with their zeros.
    """
    digest, changed = hashlib.sha256(), False
    for name, value in params.items():
        if value is not original.get(name):
            changed = True
            digest.update(f"{name} {value.shape} {value.dtype}".encode())
            digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest() if changed else None


def _describe(
    name: str, build: Build, decisions: list[Decision], model: Model, spec: CompileSpec
) -> ArtifactMetadata:
    facts = model.facts
    rounding = model.quantization if build.spec.scheme else None
    return ArtifactMetadata(
        name=facts.name,
        build=name,
        model=facts.description,
        weights=facts.weights,
        spec={
            "model": asdict(facts.spec),
            "sparsity": asdict(model.sparsity) if model.sparsity else None,
            "quantization": asdict(rounding.spec) if rounding else None,
            "compile": asdict(spec),
        },
        isa=build.target.isa,
        required_features=build.target.required_features,
        threads=spec.threads or available_cores(),
        inputs=facts.inputs,
        outputs=facts.outputs,
        versions=versions_of(TVM),
        decisions=tuple(decisions),
        flops=model.flops,
        sparse_flops_share=sparse_flops_share(decisions, model.flops),
        calls=tuple(build.lowered.calls),
        weights_bytes=build.lowered.weights_bytes,
        compile_s=build.compile_s,
        token_tile=build.lowered.token_tile,
        mixes_tokens=build.lowered.mixes_tokens,
    )
