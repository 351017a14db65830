"""`tvm-sparse run`: import, prune, compile, check and measure, in one go."""

from __future__ import annotations

from typing import Any

import click

from tvm_sparse.cli.options.bench import bench_options
from tvm_sparse.cli.options.builds import build_names, build_options, compile_options
from tvm_sparse.cli.options.extent import shapes_option
from tvm_sparse.cli.options.model import model_options
from tvm_sparse.cli.options.output import cache_option, output_options
from tvm_sparse.cli.options.quantize import quantize_options
from tvm_sparse.cli.output_paths import (
    check_cache_directory,
    check_output_directory,
    check_output_file,
)
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.host import threads_here
from tvm_sparse.target import resolve_target

#: Runs over which `--profile` takes the median of every kernel call.
_PROFILE_REPEATS = 10


@click.command("run")
@model_options
@compile_options
@quantize_options
@bench_options
@build_options
@shapes_option
@cache_option
@output_options
def command(
    model_spec: ModelSpec,
    sparsity_spec: SparsitySpec,
    compile_spec: CompileSpec,
    quantization_spec: QuantizationSpec | None,
    bench_spec: BenchSpec,
    **flags: Any,
) -> None:
    """Measure what pruning buys: dense and sparse builds of one model, side by side.

    Imports the model, makes its encoder's weights block-sparse, compiles both builds, checks dense
    against TensorFlow and sparse against dense, and measures them in turns; with --quantize both
    in 8 bits as well, and how far their outputs are off. Times are in milliseconds, sparsities are
    fractions 0..1, (bs-r, bs-c) is the block of a weight of shape (outputs, inputs).
    """
    names = build_names(flags, quantization_spec)
    from tvm_sparse.bench.throughput import stream_counts

    shapes = flags["shapes"]
    if shapes is not None:
        model_spec.check_shapes(shapes)
    check_output_file("--json", flags["json_path"])
    check_output_directory("--dump-ir", compile_spec.dump_ir)
    check_cache_directory(flags["cache_dir"])
    if not resolve_target(compile_spec.target).runs_here:
        raise ConfigError(
            f"target {compile_spec.target} given: this CPU cannot run such a build, so there is "
            "nothing to measure; `tvm-sparse export --target` makes it without running it"
        )
    stream_counts(bench_spec, threads_here(compile_spec.threads))
    from tvm_sparse.importers.import_model import check_packages

    check_packages(model_spec)
    from tvm_sparse.cli.progress import ProgressDisplay

    with ProgressDisplay(flags["quiet"]) as display:
        display.step("starting the compiler")
        from tvm_sparse.api.benchmark import benchmark, inputs_at
        from tvm_sparse.api.builds import compile
        from tvm_sparse.api.models import load_model, sparsify
        from tvm_sparse.api.quantization import quantize

        model = load_model(model_spec, cache_dir=flags["cache_dir"], progress=display.step)
        display.step("making the weights sparse")
        model = sparsify(model, sparsity_spec)
        if quantization_spec is not None:
            model = quantize(
                model,
                quantization_spec,
                target=compile_spec.target,
                threads=compile_spec.threads,
                progress=display.measure,
            )
        builds = compile(
            model,
            compile_spec,
            builds=names,
            atol=flags["atol"],
            rtol=flags["rtol"],
            progress=display.step,
        )
        records = [
            benchmark(
                builds,
                bench_spec,
                inputs=inputs_at(builds, shape, model_spec.seed),
                threads=compile_spec.threads,
                profile_repeats=_PROFILE_REPEATS if flags["profile"] else 0,
                progress=display.measure,
            )
            for shape in shapes or (None,)
        ]
    from tvm_sparse.cli.results import report_records

    report_records(records, flags["verbose"], flags["json_path"])
