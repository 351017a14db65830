"""`tvm-sparse analyze`: what each layer costs, how sparse it is, and what would run sparse."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
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
from tvm_sparse.cli.options.quantize import quantize_options
from tvm_sparse.cli.output_paths import check_output_file
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.host import threads_here
from tvm_sparse.sources.pruned_blocks import pruned_blocks

if TYPE_CHECKING:
    from tvm_sparse.analysis.layers import Analysis
    from tvm_sparse.cache.store import CacheEntry
    from tvm_sparse.model.model import Model

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
@quantize_options
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
def command(
    model_spec: ModelSpec,
    block_shape: tuple[int, int] | None,
    quantization_spec: QuantizationSpec | None,
    **flags: Any,
) -> None:
    """Tell of every dense layer of MODEL what it costs and whether it would run sparse.

    MODEL is a preset, a hub id, a directory with config.json and weights, the key of an imported
    model in the cache (`tvm-sparse cache ls`), or a directory that `tvm-sparse export` wrote. The
    weights are analysed as they are: nothing is pruned. The times are those of the dense build,
    or of the exported one. With --quantize it also tells what 8 bits would buy, and how far they
    put the outputs of each layer off.
    """
    check_output_file("--json", flags["json_path"])
    check_output_file("--csv", flags["csv_path"])
    spec = SparsitySpec(
        sparsity=flags["sparsity"],
        block_shape=block_shape or pruned_blocks(model_spec.model) or (1, 1),
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
        entry = _find_entry(model_spec.model, flags["cache_dir"])
        artifact = _artifact(model_spec.model, entry)
        if entry is not None or artifact is not None:
            _refuse_given(("batch", "seq_len", "layers", "inputs", "weights", "seed"))
        subject: Path | Model
        if artifact is not None:
            _refuse_given(("block", "bs_r", "bs_c", "threshold", "include", "exclude", "quantize"))
            from tvm_sparse.runtime.artifact import check_packages
            from tvm_sparse.runtime.metadata import load_metadata

            check_packages(load_metadata(artifact))
            subject = artifact
        else:
            if entry is None:
                from tvm_sparse.importers import import_model

                import_model.check_packages(model_spec)
            display.step("starting the compiler")
            from tvm_sparse.api.models import load_cached_model, load_model

            ways = {"cache_dir": flags["cache_dir"], "progress": display.step}
            if entry is not None:
                subject = load_cached_model(entry.key, **ways)
            else:
                for_texts = flags["sensitivity_text"] is not None
                subject = load_model(model_spec, for_texts=for_texts, **ways)
        from tvm_sparse.api.analysis import analyze

        analysis = analyze(
            subject,
            spec,
            quantization=quantization_spec,
            sensitivity_text=flags["sensitivity_text"],
            timed=not flags["no_time"],
            threads=threads,
            progress=display.measure,
        )
    if entry is not None and artifact is None:
        analysis = replace(analysis, origin=f"cache {model_spec.model}")
    _report(analysis, flags["json_path"], flags["csv_path"])


def _find_entry(model: str, cache_dir: str | None) -> CacheEntry | None:
    """Return the one cache entry whose key MODEL begins, or None when MODEL is no key."""
    match = _KEY.fullmatch(model)
    if match is None or Path(model).is_dir():
        return None
    from tvm_sparse.cache.store import Cache

    cache = Cache(cache_dir)
    known = any(entry.key.startswith(model) for entry in cache.ls())
    return cache.info(model) if match["kind"] or known else None


def _artifact(model: str, entry: CacheEntry | None) -> Path | None:
    """Return the artifact directory that MODEL names, as a path or as a key in the cache."""
    if (Path(model) / _METADATA_FILE).is_file():
        return Path(model)
    return entry.path / "artifact" if entry is not None and entry.kind == "lib" else None


def _refuse_given(names: Sequence[str]) -> None:
    """Refuse flags that an analysis of something finished cannot follow."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(
                f"--{name.replace('_', '-')} given: an exported build or an import in the cache "
                "has its own; leave the flag out, or name the model"
            )


def _report(analysis: Analysis, json_path: str | None, csv_path: str | None) -> None:
    """Write the files that were asked for, then print the table and the sentences."""
    from tvm_sparse.cli.results import deliver
    from tvm_sparse.records.write import write_json, write_text
    from tvm_sparse.report.analysis_table import analysis_csv

    deliver(
        lambda: _print_analysis(analysis),
        (json_path, lambda path: write_json(path, analysis)),
        (csv_path, lambda path: write_text(path, analysis_csv(analysis))),
    )


def _print_analysis(analysis: Analysis) -> None:
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.analysis_table import describe_analysis, render_layers
    from tvm_sparse.report.figures import describe_disturbance

    if warning := describe_disturbance(analysis.disturbance):
        print_wide(warning)
    print_wide(render_layers(analysis))
    for line in describe_analysis(analysis):
        print_wide(f"{line}.")
    if analysis.sensitivity is not None:
        from tvm_sparse.report.sensitivity_table import describe_sensitivity, render_sensitivity

        print_wide(render_sensitivity(analysis, analysis.sensitivity))
        print_wide(f"{describe_sensitivity(analysis, analysis.sensitivity)}.")
    print_wide(f"weights: {analysis.weights}")
