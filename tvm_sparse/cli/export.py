"""`tvm-sparse export`: one build as a directory to deploy."""

from __future__ import annotations

from typing import Any

import click

from tvm_sparse.cli.options.builds import compile_options
from tvm_sparse.cli.options.choice import Choice
from tvm_sparse.cli.options.model import model_options
from tvm_sparse.cli.options.output import cache_option, output_options
from tvm_sparse.cli.options.quantize import quantize_options
from tvm_sparse.cli.output_paths import check_cache_directory, check_output_directory
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import BuildError, ConfigError
from tvm_sparse.formats.builds import BUILDS, DENSE, SPARSE, build_of, build_spec


@click.command("export")
@model_options
@compile_options
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="A new or empty directory, or an older artifact to replace.",
)
@click.option(
    "--build",
    type=Choice(tuple(name for name, build in reversed(BUILDS.items()) if not build.scheme)),
    default=SPARSE.name,
    show_default=True,
    help="dense: the same weights, zeros included, in dense kernels; "
    "with --prune none the weights as they come. --quantize says what they are rounded to.",
)
@click.option(
    "--standalone",
    is_flag=True,
    help="Add TVM's runtime libraries, 6 MB: runs where TVM is not installed.",
)
@quantize_options
@cache_option
@output_options
def command(
    model_spec: ModelSpec,
    sparsity_spec: SparsitySpec,
    compile_spec: CompileSpec,
    quantization_spec: QuantizationSpec | None,
    **flags: Any,
) -> None:
    """Write a build as model.so and metadata.json, to run without the compiler.

    Both builds are made and checked as `tvm-sparse run` does, unless --target is a machine that
    this one is not. `tvm-sparse bench DIR`, `tvm_sparse.load("DIR")` or the C++ example run it.
    """
    check_output_directory("-o", flags["output"])
    check_output_directory("--dump-ir", compile_spec.dump_ir)
    check_cache_directory(flags["cache_dir"])
    from tvm_sparse.importers.import_model import check_packages

    check_packages(model_spec)
    from tvm_sparse.cli.progress import ProgressDisplay
    from tvm_sparse.compiler.export import check_replaceable
    from tvm_sparse.compiler.standalone import check_standalone

    if flags["standalone"]:
        check_standalone(compile_spec.target)
    try:
        check_replaceable(flags["output"])
    except BuildError as error:
        raise ConfigError(f"-o: {error}") from None
    with ProgressDisplay(flags["quiet"]) as display:
        display.step("starting the compiler")
        from tvm_sparse.api.builds import compile, export
        from tvm_sparse.api.models import load_model, sparsify
        from tvm_sparse.api.quantization import quantize

        model = load_model(model_spec, cache_dir=flags["cache_dir"], progress=display.step)
        display.step("making the weights sparse")
        model, build = sparsify(model, sparsity_spec), flags["build"]
        if quantization_spec is not None:
            model = quantize(
                model,
                quantization_spec,
                target=compile_spec.target,
                threads=compile_spec.threads,
                progress=display.measure,
            )
            build = build_of(build_spec(build).is_sparse, quantization_spec.scheme).name
        builds = compile(
            model,
            compile_spec,
            builds=dict.fromkeys((DENSE.name, build)),
            atol=flags["atol"],
            rtol=flags["rtol"],
            progress=display.step,
        )
        display.step(f"writing {flags['output']}")
        directory = export(builds, flags["output"], build, standalone=flags["standalone"])
    from tvm_sparse.cli.results import print_artifact

    print_artifact(directory, flags["verbose"])
