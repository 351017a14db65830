#!/usr/bin/env python
"""Run a batch of a million short texts, and watch what its driver takes.

    scripts/make_articles.py short.jsonl --count 1000000 --short
    scripts/bench_million.py short.jsonl --model minilm95

`tvm-sparse batch` writes parquet, in a process of its own whose memory is read every few seconds.
At the end every row of the input must be once in what was written. Prints the driver's memory in
tenths of the job, and the record's rates.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import click


def resident_mb(pid: int) -> float:
    """Return the memory a process has, in MB; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields.get("VmRSS", "0 kB").split()[0]) / 1024


def watched(command: list[str], every_s: float) -> list[float]:
    """Run a command to its end, and return its memory in MB at every so many seconds."""
    with subprocess.Popen(command) as process:
        found = []
        while process.poll() is None:
            found.append(resident_mb(process.pid))
            time.sleep(every_s)
    if process.returncode:
        raise click.ClickException(f"the job ended with {process.returncode}")
    return [value for value in found if value]


def tenths(series: list[float]) -> list[float]:
    """Return the largest of each tenth of a series."""
    edges = [round(len(series) * part / 10) for part in range(11)]
    return [max(series[a:b]) for a, b in pairwise(edges) if b > a]


def rows_written(folder: Path) -> list[str]:
    """Return the names of all rows that were answered or refused."""
    import pyarrow.parquet

    names: list[str] = []
    for part in sorted(folder.glob("part-*.parquet")):
        names += pyarrow.parquet.read_table(part, columns=["row"])["row"].to_pylist()
    errors = folder / "errors.jsonl"
    if errors.exists():
        names += [json.loads(line)["row"] for line in errors.read_text().splitlines()]
    return names


@click.command(help=__doc__)
@click.argument("texts", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", required=True, help="Build of an encoder of sentences.")
@click.option("--every", default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--no-ray", is_flag=True, help="In one process, for a slice.")
def main(texts: Path, model: str, every: float, no_ray: bool) -> None:
    """Run the job."""
    with texts.open("rb") as file:
        rows = sum(1 for _ in file)
    with tempfile.TemporaryDirectory() as folder:
        out, record = Path(folder, "out"), Path(folder, "record.json")
        command = [sys.executable, "-m", "tvm_sparse", "batch", str(texts), "-o", str(out)]
        command += ["--model", model, "--format", "parquet", "--json", str(record)]
        series = watched([*command, *(["--no-ray"] if no_ray else [])], every)
        names = rows_written(out)
        if len(names) != rows or len({*names}) != rows:
            raise click.ClickException(
                f"{rows} rows in, {len(names)} written, {len({*names})} of them different"
            )
        done = json.loads(record.read_text())
    click.echo(f"{rows} rows in, each once in what was written")
    largest = [round(value) for value in tenths(series)]
    click.echo(f"driver, MB, largest in each tenth of the job: {largest}")
    click.echo(f"{done['work_s']:.0f} s of work, {done['rows_per_s']:.0f} rows/s")


if __name__ == "__main__":
    main()
