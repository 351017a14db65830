"""`tvm-sparse tune`: search the register tiles of a model's builds on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tvm_sparse.cli.options.builds import build_names, build_options, threads_option
from tvm_sparse.cli.options.model import model_options
from tvm_sparse.cli.options.output import cache_option, json_option, quiet_option
from tvm_sparse.cli.options.quantize import quantize_options
from tvm_sparse.cli.output_paths import check_cache_directory, check_output_file
from tvm_sparse.config.bench import bench_spec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.dependencies import check_dependencies
from tvm_sparse.formats.builds import build_spec

if TYPE_CHECKING:
    from tvm_sparse.tuning.tuned_build import TunedBuild


@click.command("tune")
@model_options
@threads_option
@build_options
@quantize_options
@click.option(
    "--time",
    "time_s",
    type=float,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds of measuring the whole model, per build.",
)
@cache_option
@json_option("Write what was found here: tiles and times.")
@quiet_option
def command(
    model_spec: ModelSpec,
    sparsity_spec: SparsitySpec,
    quantization_spec: QuantizationSpec | None,
    **flags: Any,
) -> None:
    """Search the fastest register tiles for a model on this machine, and remember them.

    Times every product of the builds that `run` would make with the same flags, with other tiles
    than the ones known to be good on most machines. Then measures the whole model with and without
    what was found, in turns, and keeps what made it faster. All builds made afterwards with this
    cache use it: it is keyed by CPU, shape, block shape and number of bits. What was timed is kept,
    so that an interrupted search goes on where it stopped.
    """
    names = build_names(flags, quantization_spec)
    model_spec.check_fixed("tuning")
    check_output_file("--json", flags["json_path"])
    check_cache_directory(flags["cache_dir"])
    spec = bench_spec(flags["time_s"])
    check_dependencies()
    from tvm_sparse.cli.progress import ProgressDisplay

    with ProgressDisplay(flags["quiet"]) as display:
        display.step("starting the compiler")
        from tvm_sparse.api.models import load_model, sparsify
        from tvm_sparse.api.quantization import quantize
        from tvm_sparse.api.tuning import tune

        model = load_model(model_spec, cache_dir=flags["cache_dir"], progress=display.step)
        if any(build_spec(name).is_sparse for name in names):
            display.step("making the weights sparse")
            model = sparsify(model, sparsity_spec)
        if quantization_spec is not None:
            model = quantize(
                model, quantization_spec, threads=flags["threads"], progress=display.measure
            )
        tuned = tune(
            model,
            builds=names,
            threads=flags["threads"],
            bench=spec,
            progress=display.measure,
        )
    from tvm_sparse.cli.results import deliver
    from tvm_sparse.records.write import write_json
    from tvm_sparse.tuning.tuned_build import TuningRecord

    deliver(
        lambda: _print_tiles(tuned),
        (flags["json_path"], lambda path: write_json(path, TuningRecord(tuple(tuned)))),
    )


def _print_tiles(tuned: Sequence[TunedBuild]) -> None:
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.tiles_table import describe_build, render_tiles

    for build in tuned:
        print_wide(render_tiles(build))
    for build in tuned:
        print_wide(describe_build(build))
