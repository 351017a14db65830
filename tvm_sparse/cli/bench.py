"""`tvm-sparse bench`: measure exported builds; needs TVM's runtime and no compiler."""

from __future__ import annotations

from typing import Any

import click

from tvm_sparse.cli.options.bench import bench_options
from tvm_sparse.cli.options.builds import threads_option
from tvm_sparse.cli.options.extent import shapes_option
from tvm_sparse.cli.options.output import output_options
from tvm_sparse.cli.output_paths import check_output_file
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.builds import DENSE
from tvm_sparse.host import threads_here

#: Runs over which `--profile` takes the median of every kernel call.
_PROFILE_REPEATS = 10


@click.command("bench")
@click.argument("directory", type=click.Path(), metavar="DIR")
@click.option(
    "--against",
    type=click.Path(),
    metavar="DENSE_DIR",
    help="A dense build of the same model to measure beside it.",
)
@shapes_option
@threads_option
@bench_options
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the random inputs."
)
@output_options
def command(directory: str, bench_spec: BenchSpec, **flags: Any) -> None:
    """Measure the exported build in DIR on random inputs.

    The inputs are of the shape the build is made for, or of those that --shape says if it takes
    any: ids within the model's vocabulary, no padding. Neither TensorFlow nor TVM's compiler is
    imported. Times are in milliseconds.
    """
    check_output_file("--json", flags["json_path"])
    from tvm_sparse.bench.inputs import random_inputs
    from tvm_sparse.bench.runner import benchmark
    from tvm_sparse.bench.throughput import stream_counts
    from tvm_sparse.cli.progress import ProgressDisplay
    from tvm_sparse.cli.results import report_records
    from tvm_sparse.runtime.artifact import check_packages
    from tvm_sparse.runtime.metadata import load_metadata

    metadata = load_metadata(directory)
    check_packages(metadata)
    artifacts = {metadata.build: directory}
    if flags["against"] is not None:
        against = load_metadata(flags["against"])
        check_packages(metadata, against)
        if against.build != DENSE.name or metadata.build == DENSE.name:
            raise ConfigError(
                f"{directory} is the build {metadata.build} and --against {flags['against']} the "
                f"build {against.build}: give a sparse or rounded build, and one that is neither "
                "to --against"
            )
        if against.inputs != metadata.inputs:
            raise ConfigError(
                f"{directory} takes {', '.join(map(str, metadata.inputs))} and --against "
                f"{flags['against']} takes {', '.join(map(str, against.inputs))}: give builds of "
                "one model and shape"
            )
        artifacts = {DENSE.name: flags["against"], **artifacts}
    inputs = [random_inputs(metadata, flags["seed"], shape) for shape in flags["shapes"] or (None,)]
    stream_counts(bench_spec, threads_here(flags["threads"]))
    with ProgressDisplay(flags["quiet"]) as display:
        records = [
            benchmark(
                artifacts,
                one,
                bench_spec,
                flags["threads"],
                profile_repeats=_PROFILE_REPEATS if flags["profile"] else 0,
                progress=display.measure,
            )
            for one in inputs
        ]
    report_records(records, flags["verbose"], flags["json_path"])
