"""Analyses: what each layer costs, how sparse it is, and what would run sparse."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_sparse.api.builds import compile
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.builds import DENSE, build_of
from tvm_sparse.formats.registry import rounds_blocks
from tvm_sparse.host import threads_here
from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent, steps

if TYPE_CHECKING:
    from tvm_sparse.analysis.layers import Analysis

_BENCH = BenchSpec(time_s=2.0, warmup_s=0.5)
_PROFILE_REPEATS = 20


def analyze(
    model: Model | str | os.PathLike[str],
    spec: SparsitySpec | None = None,
    *,
    quantization: QuantizationSpec | None = None,
    sensitivity_text: str | None = None,
    timed: bool = True,
    threads: int | None = None,
    progress: ShareProgress = silent,
    **fields: Any,
) -> Analysis:
    """Tell of every dense layer of a model what it costs and whether it would run sparse.

    Parameters
    ----------
    model : Model or path
        A model, whose weights are analysed as they are and whose dense build is timed; or the
        directory of an exported build, which tells of itself.
    spec : SparsitySpec, optional
        A whole spec, for a model: what would decide, and the sparsity to predict times for.
    quantization : QuantizationSpec, optional
        Tell of a model besides what rounding its layers to 8 bits would buy and cost.
    sensitivity_text : str, optional
        A file with one text a line, to tell what pruning each layer alone does to the model.
    timed : bool
        Measure times on this machine, and predict those of a model's sparse layers.
    threads : int, optional
        Threads to run on; every core by default.
    progress : callable
        Receives a line of text and the finished share, 0..1.
    **fields
        Fields of `SparsitySpec`: sparsity, block_shape, sparsity_threshold, include, exclude.

    Raises
    ------
    ConfigError
        A value out of range; a build that tells nothing of its layers, or whose sensitivity is
        asked for.
    TvmSparseError
        See `errors`.
    """
    if isinstance(model, Model):
        spec = spec or SparsitySpec(**fields)
        if quantization is not None:
            model = _rounded(model, quantization, threads, progress)
        return _analyze_model(model, spec, sensitivity_text, timed, threads_here(threads), progress)
    if quantization is not None:
        raise ConfigError(
            "--quantize given for an exported build, which has its own: name the model it was made "
            "from"
        )
    if sensitivity_text is not None:
        raise ConfigError(
            "--sensitivity given for an exported build, whose weights are packed: name the model "
            "it was made from"
        )
    return _analyze_artifact(model, timed, threads_here(threads), progress)


def _rounded(
    model: Model, spec: QuantizationSpec, threads: int | None, progress: ShareProgress
) -> Model:
    """Return the model with the errors of its layers at 8 bits."""
    from tvm_sparse.api.quantization import quantize

    # A budget, or layers would not be looked at; this one keeps none.
    spec = replace(spec, max_error=spec.max_error or 1.0)
    return quantize(model, spec, threads=threads, progress=progress)


def _analyze_artifact(
    directory: str | os.PathLike[str], timed: bool, threads: int, progress: ShareProgress
) -> Analysis:
    from tvm_sparse.analysis.layers import Analysis, add_measurement, analyze_decisions
    from tvm_sparse.bench.inputs import random_inputs
    from tvm_sparse.bench.runner import benchmark
    from tvm_sparse.runtime.metadata import load_metadata

    directory, say = Path(directory), steps(progress)
    say("reading the artifact")
    metadata = load_metadata(directory)
    if not metadata.decisions:
        raise ConfigError(
            f"{directory} is a {metadata.build} build that tells nothing of its layers: give a "
            "sparse build, or the model it was made from"
        )
    analysis = Analysis(
        model=metadata.model,
        weights=metadata.weights,
        spec=metadata.spec,
        origin=f"artifact {directory}",
        block_shape=metadata.decisions[0].block_shape,
        layers=analyze_decisions(metadata.decisions),
        flops=metadata.flops,
    )
    if not timed:
        return analysis
    record = benchmark(
        {metadata.build: directory},
        random_inputs(metadata),
        _BENCH,
        threads,
        profile_repeats=_PROFILE_REPEATS,
        progress=progress,
    )
    return add_measurement(analysis, metadata.build, record)


def _analyze_model(
    model: Model,
    spec: SparsitySpec,
    sensitivity_text: str | None,
    timed: bool,
    threads: int,
    progress: ShareProgress,
) -> Analysis:
    from tvm_sparse.analysis.layer_prediction import predict_layers, predict_rounded
    from tvm_sparse.analysis.layers import (
        Analysis,
        add_measurement,
        add_rounding,
        analyze_weights,
    )
    from tvm_sparse.bench.runner import benchmark
    from tvm_sparse.fidelity.model_sensitivity import sensitivity
    from tvm_sparse.tuning.records import Records
    from tvm_sparse.tuning.setting import Setting
    from tvm_sparse.whatif.baseline import Baseline
    from tvm_sparse.whatif.predict import make_predictors
    from tvm_sparse.whatif.rounded import rounded_cost_model
    from tvm_sparse.whatif.rounded_point import NO_BLOCKS

    say = steps(progress)
    say("counting zeros")
    analysis = Analysis(
        model=model.facts.description,
        weights=model.facts.weights,
        spec={"model": asdict(model.spec), "sparsity": asdict(spec)},
        origin=f"model {model.spec.model}",
        block_shape=spec.block_shape,
        layers=analyze_weights(model, spec),
        flops=model.flops,
    )
    if model.quantization is not None:
        analysis = add_rounding(analysis, model)
    if sensitivity_text is not None:
        say("compiling the dense code")
        found = sensitivity(
            model,
            sensitivity_text,
            spec.block_shape,
            include=spec.include,
            exclude=spec.exclude,
            threads=threads,
            progress=progress,
        )
        analysis = replace(analysis, sensitivity=found)
    if not timed:
        return analysis
    builds = compile(model, builds=(DENSE.name,), threads=threads, progress=say)
    record = benchmark(
        builds.directories,
        model.reference.inputs,
        _BENCH,
        threads,
        profile_repeats=_PROFILE_REPEATS,
        progress=progress,
    )
    analysis = add_measurement(analysis, DENSE.name, record)
    baseline = Baseline.from_record(Setting.of(model.spec, threads), record, model.layers)
    blocks, records, chosen = (
        spec.block_shape,
        Records(model.cache, say),
        (spec.include, spec.exclude),
    )
    if analysis.scheme:
        rounded = rounded_cost_model(baseline, NO_BLOCKS, analysis.scheme, records, progress=say)
        analysis = predict_rounded(analysis, baseline, rounded)
    if analysis.scheme and rounds_blocks(build_of(True, analysis.scheme), blocks):
        sparse = rounded_cost_model(baseline, blocks, analysis.scheme, records, chosen, say)
    else:
        sparse = make_predictors(baseline, [blocks], records, *chosen, say)[blocks].model
    return predict_layers(analysis, baseline, sparse, spec.sparsity)
