#!/usr/bin/env python3
"""Check that what-if's predictions hold on this machine: predict, measure, compare.

    python scripts/check_prediction.py bert-base DIR/of/all-MiniLM-L6-v2 --threads 2

Every point is predicted first and measured then; it fails when a prediction is off by more than
--within on any point that nothing disturbed, or when too few were undisturbed to tell. Run it on a
quiet machine. With --predict-only it tells how long a prediction of the default grid takes.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console

import tvm_sparse
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.errors import TvmSparseError
from tvm_sparse.records.write import write_json
from tvm_sparse.report.study_table import LEGEND, render_study
from tvm_sparse.sizes import parse_block_shapes
from tvm_sparse.whatif.doubts import TOLERANCE
from tvm_sparse.whatif.grid_file import parse_axes
from tvm_sparse.whatif.study import Study

console = Console()


def judge(study: Study, within: float, at_least: int) -> str:
    """Return what is wrong with the predictions of a study, nothing if all is well."""
    measured = [r for r in study.points if r.measured is not None]
    quiet = [r for r in measured if r.measured and not r.measured.disturbed]
    if len(quiet) < at_least:
        return f"{len(quiet)} of {len(measured)} points undisturbed, {at_least} are needed"
    off = [f"{r.point} by {r.error:+.1%}" for r in quiet if abs(r.error or 0.0) > within]
    return f"off by more than {within:.0%}: {'; '.join(off)}" if off else ""


@click.command(help=__doc__)
@click.argument("models", nargs=-1, required=True)
@click.option("--threads", default="2", show_default=True)
@click.option("--sparsity", default=".6,.8,.9,.95,.99", show_default=True)
@click.option("--block", default="1x1,4x1,16x1,32x1", show_default=True)
@click.option("--seq-len", default="128", show_default=True)
@click.option("--time", "time_s", default=3.0, show_default=True, help="Seconds per build.")
@click.option("--within", default=TOLERANCE, show_default=True, help="Allowed error, 0..1.")
@click.option("--at-least", default=10, show_default=True, help="Undisturbed points needed.")
@click.option("--predict-only", is_flag=True, help="Time a prediction of the default grid alone.")
@click.option("--cache-dir", envvar="TVM_SPARSE_CACHE")
@click.option("--out", type=click.Path(path_type=Path), help="Directory for the studies.")
def main(
    models: tuple[str, ...],
    threads: str,
    sparsity: str,
    block: str,
    seq_len: str,
    time_s: float,
    within: float,
    at_least: int,
    predict_only: bool,
    cache_dir: str | None,
    out: Path | None,
) -> None:
    """Check one model after the other."""
    axes = parse_axes({"threads": threads, "seq_len": seq_len})
    if not predict_only:
        axes |= parse_axes({"sparsity": sparsity})
        axes["block_shapes"] = parse_block_shapes(block)
    faults = []
    for model in models:
        start = time.monotonic()
        try:
            study = tvm_sparse.what_if(
                model,
                mode="predict" if predict_only else "measure",
                bench=BenchSpec(time_s=time_s, warmup_s=0.5),
                against=(),
                fidelity=None,
                cache_dir=cache_dir,
                progress=lambda line: console.print(f"[dim]{line}[/dim]", highlight=False),
                **axes,
            )
        except TvmSparseError as error:
            console.print(f"error: {error}", highlight=False, markup=False)
            raise SystemExit(error.exit_code) from None
        for table in render_study(study):
            console.print(table)
        console.print(f"{model}: {time.monotonic() - start:.1f} s", highlight=False)
        if out is not None:
            write_json(out / f"{Path(model).name}.json", study)
        if not predict_only and (fault := judge(study, within, at_least)):
            faults.append(f"{model}: {fault}")
    console.print(LEGEND, highlight=False)
    for fault in faults:
        console.print(fault, highlight=False, markup=False)
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
