"""Tell the result of a benchmark: text on stdout, JSON in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from tvm_sparse.bench.record import BenchRecord, ShapesRecord
from tvm_sparse.cli.console import PrintableConsole
from tvm_sparse.cli.terminal import width_of
from tvm_sparse.formats.builds import DENSE
from tvm_sparse.model.decision import Decision
from tvm_sparse.records.write import write_json
from tvm_sparse.report.build_answer import describe_result
from tvm_sparse.report.figures import describe_disturbance, describe_size
from tvm_sparse.report.shapes_table import render_shapes
from tvm_sparse.report.streams_table import render_streams
from tvm_sparse.report.table import (
    describe_decisions,
    describe_environment,
    render_benchmark,
    render_decisions,
    render_profile,
)
from tvm_sparse.runtime.metadata import LIBRARY_FILE, REQUIREMENTS_FILE, load_metadata


def report_records(records: Sequence[BenchRecord], verbose: bool, json_path: str | None) -> None:
    """Write records as JSON, if asked to, and print their tables and sentences.

    Parameters
    ----------
    records : sequence of BenchRecord
        What was measured, at one shape or several.
    verbose : bool
        Print the decision about every layer too.
    json_path : str or None
        File for the JSON.
    """
    whole = records[0] if len(records) == 1 else ShapesRecord(records=tuple(records))
    deliver(
        lambda: _print_records(records, verbose),
        (json_path, lambda path: write_json(path, whole)),
    )


def _print_records(records: Sequence[BenchRecord], verbose: bool) -> None:
    for record in records:
        _print_record(record, verbose)
        if len(records) > 1:
            print_wide("")
    if len(records) > 1:
        print_wide(render_shapes(records))


def deliver(show: Callable[[], None], *files: tuple[str | None, Callable[[str], None]]) -> None:
    """Print a result and write the files that were asked for, whatever fails of it.

    What took minutes to find is not lost because a file cannot be written, or because whoever reads
    our output has seen enough of it.

    Parameters
    ----------
    show : callable
        Prints it.
    *files : tuple of path and callable
        What writes each; None was not asked for.

    Raises
    ------
    Exception
        What failed first, after all was tried.
    """
    steps: list[Callable[[], None]]
    steps = [show, *(partial(write, path) for path, write in files if path is not None)]
    failures = []
    for step in steps:
        try:
            step()
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _print_record(record: BenchRecord, verbose: bool) -> None:
    if warning := describe_disturbance(record.disturbance):
        print_wide(warning)
    # Before any number: it says what they are of.
    if pruning := describe_pruning(record.spec, record.decisions):
        print_wide(f"sparsity: {pruning}")
    if verbose and record.decisions:
        print_wide(render_decisions(record.decisions))
    if any(build.calls for build in record.builds.values()):
        print_wide(render_profile(record))
    print_wide(render_benchmark(record))
    if any(build.streams for build in record.builds.values()):
        over = DENSE.name if record.others else None
        builds = {name: build.streams for name, build in record.builds.items()}
        print_wide(render_streams(builds, over))
    if record.decisions:
        print_wide(f"{describe_decisions(record.decisions, record.sparse_flops_share)}.")
    print_wide(describe_result(record))
    print_wide(f"weights: {record.weights}")
    print_wide(f"machine: {describe_environment(record)}")


def describe_pruning(spec: Mapping[str, Any], decisions: Sequence[Decision]) -> str:
    """Return one line on where a build's zeros come from; empty when its specs do not say.

    Parameters
    ----------
    spec : mapping
        The specs it was made from.
    decisions : sequence of Decision
        Its dense layers, with the zeros that are there.
    """
    sparsity = spec.get("sparsity")
    if not sparsity:
        return ""
    rows, columns = sparsity["block_shape"]
    blocks, share = f"{rows}x{columns} blocks", f"{sparsity['sparsity']:.1%}"
    random = f"{share} of all {blocks} are zero, at random (seed {sparsity['seed']})"
    return {
        "none": f"the zeros the weights came with{_found(decisions, blocks)}",
        "random": f"{random}: right for speed, meaningless for accuracy",
        "magnitude": f"the {share} of all {blocks} with the least L2 norm are removed",
    }.get(str(sparsity["prune"]), "")


def _found(decisions: Sequence[Decision], blocks: str) -> str:
    """Return how sparse the layers that may run sparse are, all of them together."""
    layers = [decision for decision in decisions if decision.eligible]
    total = sum(layer.size_bytes for layer in layers)
    if not total:
        return ""
    elements = sum(layer.element_sparsity * layer.size_bytes for layer in layers) / total
    whole = sum((layer.block_sparsity or 0.0) * layer.size_bytes for layer in layers) / total
    return (
        f": {elements:.1%} of the elements and {whole:.1%} of the {blocks} of the {len(layers)} "
        "layers that may run sparse"
    )


def print_wide(what: RenderableType) -> None:
    """Print on stdout, in a pipe as on a wide terminal; names are no markup.

    Sentences are broken between words on a terminal, and not at all elsewhere.
    """
    console = PrintableConsole(width=width_of(sys.stdout), highlight=False)
    plain = isinstance(what, str) and not sys.stdout.isatty()
    console.print(what, markup=False, soft_wrap=plain)


def print_artifact(directory: Path, verbose: bool) -> None:
    """Say what an exported artifact is.

    Parameters
    ----------
    directory : Path
        The artifact.
    verbose : bool
        Print the decision about every layer too.
    """
    metadata = load_metadata(directory)
    decisions = metadata.decisions
    if pruning := describe_pruning(metadata.spec, decisions):
        print_wide(f"sparsity: {pruning}")
    if verbose and decisions:
        print_wide(render_decisions(decisions))
    size = describe_size(metadata.files[LIBRARY_FILE].size_bytes)
    print_wide(f"{directory}: {metadata.name}, {metadata.build} build for {metadata.isa}, {size}")
    if decisions:
        print_wide(f"{describe_decisions(decisions, metadata.sparse_flops_share)}.")
    print_wide(f"inputs: {', '.join(map(str, metadata.inputs))}")
    print_wide(f"outputs: {', '.join(map(str, metadata.outputs))}")
    print_wide(f"weights: {metadata.weights}")
    if metadata.is_standalone:
        print_wide(
            "standalone: it runs without apache-tvm, python -m pip install --no-deps tvm_sparse "
            f"-r {directory / REQUIREMENTS_FILE}"
        )
