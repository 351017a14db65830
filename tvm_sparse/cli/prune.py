"""`tvm-sparse prune`: prune real weights and write them as a Hugging Face directory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_sparse.cli.options.blocks import block_option, exclude_option, include_option
from tvm_sparse.cli.options.builds import threads_option
from tvm_sparse.cli.options.choice import Choice
from tvm_sparse.cli.options.model import (
    batch_option,
    complete_model,
    importer_option,
    seed_option,
    seq_len_option,
)
from tvm_sparse.cli.options.output import cache_option, output_options
from tvm_sparse.cli.output_paths import check_output_directory, check_output_file
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.sources.onnx_file import ONNX_ENDING
from tvm_sparse.sources.pruned_blocks import pruned_blocks
from tvm_sparse.sparsity.prune_spec import METHODS, PruneSpec, parse_n_m

if TYPE_CHECKING:
    from tvm_sparse.pruning.finetune import FinetuneSpec


@click.command("prune")
@click.argument("model", metavar="NAME|HUB_ID|DIR|FILE", shell_complete=complete_model)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="DIR",
    help="A new or empty directory, or an older result to replace.",
)
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(),
    metavar="FILE",
    help="Instead, where the model is an ONNX file: write one with the pruned weights.",
)
@click.option(
    "--method",
    type=Choice(METHODS),
    default="second-order",
    show_default=True,
    help="magnitude: drop the blocks of least L2 norm; wanda: of least norm times inputs; "
    "second-order: those the outputs miss least, and adapt the weights that stay.",
)
@click.option(
    "--sparsity",
    type=float,
    metavar="FRACTION",
    help="Share of zero blocks to reach, 0..1.",
)
@click.option(
    "--n-m", metavar="N:M", help="Instead: N of every M neighbouring blocks of a row stay."
)
@block_option
@click.option(
    "--schedule",
    default="uniform",
    show_default=True,
    metavar="uniform|global|auto|FILE",
    help="uniform: the same sparsity in every layer; global: one budget, by the method's scores; "
    "auto: one budget, by each layer's measured sensitivity; or a YAML file of lines "
    "'pattern: sparsity', --sparsity for the rest.",
)
@click.option(
    "--calibration",
    type=click.Path(),
    metavar="FILE",
    help="Plain text, one passage a line, cut at --seq-len tokens; by default a small built-in "
    "text.",
)
@click.option(
    "--samples",
    type=int,
    default=256,
    show_default=True,
    metavar="N",
    help="Passages to use, spread over the file.",
)
@click.option(
    "--damping",
    type=float,
    default=0.01,
    show_default=True,
    metavar="X",
    help="Added to the Hessian's diagonal, as a share of its mean.",
)
@click.option(
    "--sequential/--no-sequential",
    default=True,
    show_default=True,
    help="Take each encoder layer's activations after pruning the ones before it, or all at once.",
)
@include_option
@exclude_option
@click.option(
    "--weights",
    type=Choice(("checkpoint", "random")),
    default="checkpoint",
    show_default=True,
    help="random: prune seeded weights, to try things out.",
)
@batch_option
@seq_len_option
@importer_option
@click.option(
    "--finetune",
    type=Choice(("distill",)),
    help="distill: train the pruned model on unlabelled text to give the dense one's outputs "
    "again, its zeros held fixed. An interrupted training goes on when the command is repeated.",
)
@click.option(
    "--finetune-text",
    type=click.Path(),
    metavar="FILE",
    help="Plain text to train on, one passage a line.  [default: that of --calibration]",
)
@click.option(
    "--finetune-steps",
    type=int,
    default=200,
    show_default=True,
    metavar="N",
    help="Updates, of 16 passages each.",
)
@click.option(
    "--learning-rate",
    type=float,
    default=2e-4,
    show_default=True,
    metavar="X",
    help="Of the training, at its start.",
)
@seed_option
@threads_option
@cache_option
@output_options
def command(model: str, output: str | None, onnx_path: str | None, **flags: Any) -> None:
    """Prune a model's weights and write them as a directory that transformers loads.

    The result holds the model's config and tokenizer, safetensors with the pruned weights, and
    pruning.json, which says what was done. `tvm-sparse run --model DIR` uses its zeros,
    `tvm-sparse evaluate DIR --against MODEL` tells what they cost. Of an ONNX file, --onnx writes
    another, with which ONNX Runtime is asked again.
    """
    target = _target(model, output, onnx_path, flags["finetune"])
    n_m = flags.pop("n_m")
    spec = PruneSpec(
        method=flags["method"],
        sparsity=flags["sparsity"],
        block_shape=flags["block_shape"] or pruned_blocks(model) or (1, 1),
        n_m=None if n_m is None else parse_n_m(n_m),
        schedule=flags["schedule"],
        calibration=flags["calibration"],
        samples=flags["samples"],
        damping=flags["damping"],
        sequential=flags["sequential"],
        seed=flags["seed"],
        include=flags["include"],
        exclude=flags["exclude"],
    )
    model_spec = ModelSpec(
        model=model,
        weights=flags["weights"],
        batch=flags["batch"],
        seq_len=flags["seq_len"],
        seed=flags["seed"],
        importer=flags["importer"],
    )
    check_output_directory("-o", output)
    check_output_file("--onnx", onnx_path)
    finetune = _finetune_spec(spec, flags)
    for text in {spec.calibration, flags["finetune_text"]} - {None}:
        from tvm_sparse.text.texts import read_texts

        # Before the model: a file of the wrong kind is told at once.
        read_texts(text)
    from tvm_sparse.importers.import_model import check_packages

    check_packages(model_spec)
    from tvm_sparse.cli.progress import ProgressDisplay

    with ProgressDisplay(flags["quiet"]) as display:
        display.step("starting the compiler")
        from tvm_sparse.api import pruning
        from tvm_sparse.api.models import load_model
        from tvm_sparse.pruning.finetune import check_trains
        from tvm_sparse.pruning.write_checkpoint import check_output, check_saves

        if output is not None:
            check_output(Path(output).absolute())
        loaded = load_model(
            model_spec,
            cache_dir=flags["cache_dir"],
            progress=display.step,
            for_texts=spec.reads_texts or finetune is not None,
        )
        if output is not None:
            check_saves(loaded)
        if finetune is not None:
            check_trains(loaded)
        state_dir = _state_dir(target) if finetune is not None else None
        pruned = pruning.prune(
            loaded,
            spec,
            state_dir=state_dir,
            threads=flags["threads"],
            measure=display.measure,
            progress=display.step,
        )
        if state_dir is not None:
            pruned = pruning.finetune(
                *(pruned, finetune),
                state_dir=state_dir,
                threads=flags["threads"],
                progress=display.step,
            )
        display.step(f"writing {target}")
        if onnx_path is not None:
            pruned.save_onnx(onnx_path, threads=flags["threads"], progress=display.step)
        else:
            pruned.save(target)
        if state_dir is not None:
            shutil.rmtree(state_dir, ignore_errors=True)
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.pruning_table import describe_pruning, render_pruning

    if flags["verbose"]:
        print_wide(render_pruning(pruned.report))
    print_wide(describe_pruning(pruned.report, target))


def _target(model: str, output: str | None, onnx_path: str | None, finetune: str | None) -> str:
    """Return where the result goes; refuse what does not fit the model.

    Raises
    ------
    ConfigError
        An ONNX file is written as a directory of transformers, or the other way round.
    """
    if (output is None) == (onnx_path is None):
        raise click.UsageError("give either -o DIR or, for an ONNX file, --onnx FILE")
    if onnx_path is not None:
        from tvm_sparse.pruning.write_onnx import check_onnx_output

        check_onnx_output(model, Path(onnx_path))
        if finetune is not None:
            raise ConfigError("--finetune given for an ONNX file: only checkpoints are trained")
        return onnx_path
    if model.endswith(ONNX_ENDING):
        raise ConfigError(f"-o given for {model}: it is written as an ONNX file, give --onnx FILE")
    assert output is not None  # one of the two is given
    return output


def _finetune_spec(spec: PruneSpec, flags: Mapping[str, Any]) -> FinetuneSpec | None:
    """Return what to train on and how, None if nobody asked for a training."""
    if flags["finetune"] is None:
        if flags["finetune_text"] is not None:
            raise click.UsageError(
                "--finetune-text given without --finetune: add --finetune distill"
            )
        return None
    from tvm_sparse.pruning.finetune import FinetuneSpec
    from tvm_sparse.training.distill import DistillSpec

    training = DistillSpec(
        steps=flags["finetune_steps"], learning_rate=flags["learning_rate"], seed=flags["seed"]
    )
    return FinetuneSpec(flags["finetune_text"] or spec.calibration, training=training)


def _state_dir(output: str) -> Path:
    """Return where checkpoints are kept until the result is written: beside it."""
    path = Path(output).absolute()
    return path.with_name(f"{path.name}.training")
