"""`tvm-sparse doctor`: whether this installation works on this machine."""

from __future__ import annotations

import click

from tvm_sparse.cli.options.output import cache_option, json_option
from tvm_sparse.cli.output_paths import check_output_file


@click.command("doctor")
@json_option("Write the findings and the facts behind them as JSON.")
@cache_option
def command(json_path: str | None, cache_dir: str | None) -> None:
    """Tell whether this installation works here, and what would go wrong.

    Packages, extras, linker, CPU, threads, memory, limits of a container, cache: a line each, with
    what to do. The exit code is 1 where something is broken that every build needs, else 0.
    """
    check_output_file("--json", json_path)
    from tvm_sparse.cli.results import deliver, print_wide
    from tvm_sparse.diagnosis.diagnose import diagnose
    from tvm_sparse.records.write import write_json

    diagnosis = diagnose(cache_dir)

    def show() -> None:
        for finding in diagnosis.findings:
            print_wide(f"{finding.state:7}{finding}")

    deliver(show, (json_path, lambda path: write_json(path, diagnosis)))
    if diagnosis.broken:
        raise SystemExit(1)
