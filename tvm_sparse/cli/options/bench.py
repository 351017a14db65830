"""How to measure."""

from __future__ import annotations

import functools
from typing import Any

import click

from tvm_sparse.cli.options.declare import Command, add, optional
from tvm_sparse.cli.options.output import json_option
from tvm_sparse.cli.options.streams import streams_option
from tvm_sparse.config.bench import bench_spec


def bench_options(command: Command) -> Command:
    """Add how to measure, as `bench_spec`, and `profile` and `json_path`."""

    @functools.wraps(command)
    def with_spec(**flags: Any) -> Any:
        time_s, iterations = flags.pop("time"), flags.pop("iterations")
        if time_s is not None and iterations is not None:
            raise click.UsageError("--time and --iterations exclude each other: give one of them")
        spec = bench_spec(
            time_s=10.0 if time_s is None else time_s,
            iterations=iterations,
            warmup_s=flags.pop("warmup"),
            streams=flags.pop("streams"),
        )
        return command(bench_spec=spec, **flags)

    return add(
        with_spec,
        optional("--time", float, "SECONDS", "Seconds of measuring per build.  [default: 10]"),
        optional("--iterations", int, "N", "Measured runs per build, instead of --time."),
        optional(
            *("--warmup", float, "SECONDS"),
            "Seconds of unmeasured runs before, per build.  [default: 1, or a quarter of --time]",
        ),
        click.option(
            "--profile",
            is_flag=True,
            help="Time every layer besides, and name the kernel it ran in.",
        ),
        streams_option,
        json_option("Write the record here: raw samples, decisions, environment."),
    )
