"""`tvm-sparse analyze`: what each layer costs, how sparse it is, and what would run sparse."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tvm_sparse.cli.options.blocks import (
    block_option,
    exclude_option,
    include_option,
    threshold_option,
)
from tvm_sparse.cli.options.builds import threads_option
from tvm_sparse.cli.options.model import model_argument
from tvm_sparse.cli.options.output import cache_option, json_option, quiet_option
from tvm_sparse.cli.output_paths import check_output_file
from tvm_sparse.config import BenchSpec, CompileSpec, ModelSpec, SparsitySpec
from tvm_sparse.dependencies import RUNTIME, check_dependencies
from tvm_sparse.errors import ConfigError
from tvm_sparse.host import threads_here

if TYPE_CHECKING:
    from tvm_sparse.analysis.layers import Analysis
    from tvm_sparse.cli.progress import ProgressDisplay

_BENCH = BenchSpec(time_s=2.0, warmup_s=0.5)
_KEY = re.compile(r"(?P<kind>ir|lib)/(?P<key>[0-9a-f]+)|[0-9a-f]{6,}")
_METADATA_FILE = "metadata.json"


@click.command("analyze", short_help="Tell what each layer costs and what would run sparse.")
@model_argument
@block_option
@threshold_option
@include_option
@exclude_option
@click.option(
    "--sparsity",
    type=float,
    default=0.95,
    show_default=True,
    metavar="FRACTION",
    help="Block sparsity for which the times of eligible layers are predicted, unless their own "
    "zeros suffice, 0..1.",
)
@threads_option
@click.option(
    "--sensitivity",
    "sensitivity_text",
    type=click.Path(),
    metavar="FILE",
    help="Prune each eligible layer alone, by magnitude, and tell on these texts, one a line, how "
    "close the model stays to itself.",
)
@click.option("--no-time", is_flag=True, help="Measure nothing: weights and shapes alone.")
@json_option("Write the analysis as JSON.")
@click.option(
    "--csv", "csv_path", type=click.Path(), metavar="FILE", help="Write the layers as CSV."
)
@cache_option
@quiet_option
def command(model_spec: ModelSpec, block_shape: tuple[int, int], **flags: Any) -> None:
    """Tell of every dense layer of MODEL what it costs and whether it would run sparse.

    MODEL is a preset, a hub id, a directory with config.json and weights, the key of an imported
    model in the cache (`tvm-sparse cache ls`), or a directory that `tvm-sparse export` wrote. The
    weights are analysed as they are: nothing is pruned. The times are those of the dense build,
    or of the exported one.
    """
    check_output_file("--json", flags["json_path"])
    check_output_file("--csv", flags["csv_path"])
    spec = SparsitySpec(
        sparsity=flags["sparsity"],
        block_shape=block_shape,
        sparsity_threshold=flags["threshold"],
        include=flags["include"],
        exclude=flags["exclude"],
    )
    threads = threads_here(flags["threads"])
    if flags["sensitivity_text"] is not None:
        from tvm_sparse.text.texts import read_texts

        # Before the model: a file of the wrong kind is told at once.
        read_texts(flags["sensitivity_text"])
    from tvm_sparse.cli.progress import ProgressDisplay

    with ProgressDisplay(flags["quiet"]) as display:
        artifact = _find_artifact(model_spec.model, flags["cache_dir"])
        if artifact is not None:
            _refuse_given(("batch", "seq_len", "layers", "inputs", "weights", "seed"))
            _refuse_given(("block", "bs_r", "bs_c", "threshold", "include", "exclude"))
            if flags["sensitivity_text"] is not None:
                raise ConfigError(
                    "--sensitivity given for an exported build, whose weights are packed: name "
                    "the model it was made from"
                )
            check_dependencies(RUNTIME)
            analysis = _analyze_artifact(artifact, threads, flags["no_time"], display)
        else:
            check_dependencies()
            analysis = _analyze_model(model_spec, spec, threads, flags, display)
    _report(analysis, flags["json_path"], flags["csv_path"])


def _find_artifact(model: str, cache_dir: str | None) -> Path | None:
    """Return the artifact directory that MODEL names, as a path or as a key in the cache."""
    if (Path(model) / _METADATA_FILE).is_file():
        return Path(model)
    entry = _find_entry(model, cache_dir)
    return entry.path / "artifact" if entry is not None and entry.kind == "lib" else None


def _find_entry(model: str, cache_dir: str | None) -> Any:
    """Return the one cache entry whose key MODEL begins, or None when MODEL is no key."""
    match = _KEY.fullmatch(model)
    if match is None or Path(model).is_dir():
        return None
    from tvm_sparse.cache.store import Cache

    cache = Cache(cache_dir)
    known = any(entry.key.startswith(model) for entry in cache.ls())
    return cache.info(model) if match["kind"] or known else None


def _refuse_given(names: Sequence[str]) -> None:
    """Refuse flags that an analysis of something finished cannot follow."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(
                f"--{name.replace('_', '-')} given: an exported build or an import in the cache "
                "has its own; leave the flag out, or name the model"
            )


def _analyze_artifact(
    directory: Path, threads: int, no_time: bool, display: ProgressDisplay
) -> Analysis:
    from tvm_sparse.analysis.layers import Analysis, add_measurement, analyze_decisions
    from tvm_sparse.bench.inputs import random_inputs
    from tvm_sparse.runtime.metadata import load_metadata
    from tvm_sparse.whatif.measuring import measure_quietly

    display.step("reading the artifact")
    metadata = load_metadata(directory)
    if not metadata.decisions:
        raise ConfigError(
            f"{directory} is a {metadata.build} build that tells nothing of its layers: give a "
            "sparse build, or the model it was made from"
        )
    layers = analyze_decisions(metadata.decisions)
    rows, columns = metadata.decisions[0]["block_shape"]
    analysis = Analysis(
        model=asdict(metadata.model),
        weights=asdict(metadata.weights),
        spec=metadata.spec,
        origin=f"artifact {directory}",
        block_shape=(rows, columns),
        layers=layers,
    )
    if no_time:
        return analysis
    display.step(f"measuring the {metadata.build} build")
    inputs = random_inputs(metadata, 0)
    record, disturbed = measure_quietly(
        {metadata.build: directory}, inputs, _BENCH, threads, display.step
    )
    return add_measurement(analysis, metadata.build, record, disturbed)


def _analyze_model(
    model_spec: ModelSpec,
    spec: SparsitySpec,
    threads: int,
    flags: dict[str, Any],
    display: ProgressDisplay,
) -> Analysis:
    display.step("starting the compiler")
    from tvm_sparse.analysis.layers import Analysis, add_measurement, analyze_weights
    from tvm_sparse.api import stages
    from tvm_sparse.tuning.records import Records
    from tvm_sparse.tuning.setting import Setting
    from tvm_sparse.whatif.baseline import Baseline
    from tvm_sparse.whatif.layer_prediction import predict_layers
    from tvm_sparse.whatif.measuring import measure_quietly
    from tvm_sparse.whatif.predict import make_predictors

    cache_dir = flags["cache_dir"]
    entry = _find_entry(model_spec.model, cache_dir)
    if entry is not None:
        _refuse_given(("batch", "seq_len", "layers", "inputs", "weights", "seed"))
        model = stages.load_cached_model(entry.key, cache_dir=cache_dir, progress=display.step)
    else:
        model = stages.load_model(model_spec, cache_dir=cache_dir, progress=display.step)
    display.step("counting zeros")
    analysis = Analysis(
        model=asdict(model.facts.description),
        weights=asdict(model.facts.weights),
        spec={"model": model.spec.to_json(), "sparsity": spec.to_json()},
        origin=f"{'model' if entry is None else 'cache'} {model_spec.model}",
        block_shape=spec.block_shape,
        layers=analyze_weights(model, spec),
    )
    if flags["sensitivity_text"] is not None:
        from tvm_sparse.fidelity.model_sensitivity import model_sensitivity

        display.step("compiling the dense code")
        found = model_sensitivity(
            model,
            flags["sensitivity_text"],
            spec.block_shape,
            include=spec.include,
            exclude=spec.exclude,
            threads=threads,
            progress=display.measure,
        )
        analysis = replace(analysis, sensitivity=found)
    if flags["no_time"]:
        return analysis
    compile_spec = CompileSpec(threads=threads)
    builds = stages.compile(model, compile_spec, builds=("dense",), progress=display.step)
    display.step("measuring the dense build")
    record, disturbed = measure_quietly(
        builds.directories, model.reference.inputs, _BENCH, threads, display.step
    )
    analysis = add_measurement(analysis, "dense", record, disturbed)
    setting = Setting.of(model.spec, threads)
    baseline = Baseline.from_record(setting, record, model.layers, disturbed)
    predictor = make_predictors(
        baseline,
        [spec.block_shape],
        Records(model.cache, display.step),
        spec.include,
        spec.exclude,
        display.step,
    )[spec.block_shape]
    return predict_layers(analysis, baseline, predictor.model, spec.sparsity)


def _report(analysis: Analysis, json_path: str | None, csv_path: str | None) -> None:
    """Write the files that were asked for, then print the table and the sentences."""
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.records.write import write_json, write_text
    from tvm_sparse.report.analysis_table import analysis_csv, describe_analysis, render_layers

    if json_path is not None:
        write_json(json_path, analysis)
    if csv_path is not None:
        write_text(csv_path, analysis_csv(analysis))
    print_wide(render_layers(analysis))
    for line in describe_analysis(analysis):
        print_wide(f"{line}.")
    if analysis.sensitivity is not None:
        from tvm_sparse.report.sensitivity_table import describe_sensitivity, render_sensitivity

        print_wide(render_sensitivity(analysis, analysis.sensitivity))
        print_wide(f"{describe_sensitivity(analysis, analysis.sensitivity)}.")
    print_wide(f"weights: {analysis.weights.get('detail', 'of unknown origin')}")
