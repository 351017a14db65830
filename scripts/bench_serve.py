#!/usr/bin/env python3
"""Measure what serving costs: wrk, h2load and tritonclient ask a server of ours.

    python scripts/make_served.py FOLDER --minilm path/to/all-MiniLM-L6-v2
    python scripts/bench_serve.py FOLDER --out docs/benchmarks/NAME.json

Prints a table, and writes a record with a chart beside it. Cases of --only are measured again, and
take the place of those in the record.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from serving import quiet
from serving.cases import CASES, Bench
from serving.generators import versions

from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.bench.serving_record import Case, Figure, ServingRecord, load_serving_record
from tvm_sparse.errors import BuildError, TvmSparseError
from tvm_sparse.host import available_cores
from tvm_sparse.records.write import write_json
from tvm_sparse.report.charts.render import save_chart
from tvm_sparse.report.charts.serving import serving_chart, serving_title

console = Console()


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--only", default=",".join(CASES), show_default=True, help="Cases, in their order.")
@click.option("--cores", type=int, help="Of the server; all by default.")
@click.option("--scale", default=1.0, show_default=True, help="Longer or shorter rounds.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON record; a PNG goes beside it.")
def main(folder: Path, only: str, cores: int | None, scale: float, out: Path | None) -> None:
    """Measure the cases that are asked for."""
    names = [name.strip() for name in only.split(",")]
    if unknown := [name for name in names if name not in CASES]:
        raise click.UsageError(f"--only {unknown[0]} given: there are {', '.join(CASES)}")
    cores = cores or available_cores()
    try:
        record = load_serving_record(out) if out is not None and out.exists() else None
        programs = versions()
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(folder, Path(scratch), cores, scale)
            for name in names:
                case, figures = measure(bench, name)
                show(figures)
                found = ServingRecord(detect_environment(cores), programs, (case,), figures)
                record = found if record is None else merged(record, found)
                if out is not None:
                    write_json(out, record)
        if out is not None and record is not None:
            draw(record, out.with_suffix(".png"))
    except TvmSparseError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        sys.exit(error.exit_code)


def draw(record: ServingRecord, path: Path) -> None:
    """Write the chart of a record, if its cases make one."""
    try:
        chart = serving_chart(record)
    except BuildError as error:
        console.print(f"no chart: {error}", highlight=False)
        return
    save_chart(chart, path, serving_title(record))


def measure(bench: Bench, name: str) -> tuple[Case, tuple[Figure, ...]]:
    """Return what a case gives, and when it was measured."""
    start, load = time.monotonic(), os.getloadavg()[0]
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    quiet.shares.clear()
    figures = tuple(CASES[name](bench))
    others = round(statistics.median(quiet.shares), 2) if quiet.shares else None
    seconds = round(time.monotonic() - start, 1)
    return Case(name, created, round(load, 2), seconds, others), figures


def merged(old: ServingRecord, new: ServingRecord) -> ServingRecord:
    """Return a record with the cases of another one in the place of its own."""
    names = {one.name for one in new.cases}
    titles = {one.case for one in new.figures}
    cases = (*(one for one in old.cases if one.name not in names), *new.cases)
    figures = (*(one for one in old.figures if one.case not in titles), *new.figures)
    return replace(new, cases=cases, figures=figures)


def show(figures: Iterable[Figure]) -> None:
    """Print a table."""
    table = Table("case", "what", "value", "target", "rounds")
    for one in figures:
        limit = "" if one.target is None else f"{'>=' if one.at_least else '<='} {one.target:g}"
        sign = "" if one.target is None else (" ok" if one.is_met else " MISSED")
        rounds = " ".join(f"{value:.3g}" for value in one.rounds)
        table.add_row(one.case, one.what, f"{one.value:.4g} {one.unit}", limit + sign, rounds)
    console.print(table)


if __name__ == "__main__":
    main()
