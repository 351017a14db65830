"""Which model, with which weights and at which shape, and how it becomes sparse."""

from __future__ import annotations

import functools
from typing import Any

import click
from click.shell_completion import CompletionItem

from tvm_sparse.cli.options.blocks import (
    block_option,
    exclude_option,
    include_option,
    threshold_option,
)
from tvm_sparse.cli.options.declare import Command, add, chosen, defaulted, optional
from tvm_sparse.cli.options.extent import extent_option
from tvm_sparse.config.model import ImporterChoice, InputForm, ModelSpec, WeightsPolicy
from tvm_sparse.config.sparsity import PruneMethod, SelectMethod, SparsitySpec
from tvm_sparse.sources.pruned_blocks import pruned_blocks


def complete_model(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return what a shell offers for a model: presets, and directories where none fits."""
    from tvm_sparse.sources.presets import load_presets

    names = [name for name in load_presets() if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type="dir"), *map(CompletionItem, names)]


weights_option = chosen(
    *("--weights", WeightsPolicy, "auto"),
    "checkpoint: real weights or an error; random: seeded ones; auto: a checkpoint if one is "
    "cached or reachable, else random.",
)
batch_option = defaulted("--batch", 1, "N", "Sequences in one run.")
seq_len_option = defaulted("--seq-len", 128, "N", "Tokens of every sequence.")
open_batch_option = extent_option(
    "--batch", 1, "Sequences in one run; 1:N makes one build for any number up to N."
)
open_seq_len_option = extent_option(
    "--seq-len", 128, "Tokens of every sequence; 1:N makes one build for any length up to N."
)
layers_option = optional(
    "--layers", int, "N", "Keep only the first N encoder layers; all by default."
)
inputs_option = chosen(
    *("--inputs", InputForm, "full"),
    "full: every input the model takes; single: input_ids alone.",
)
seed_option = defaulted("--seed", 0, "N", "Seed of random weights and of random patterns.")
importer_option = chosen(
    *("--importer", ImporterChoice, "auto"),
    "What reads the model: tensorflow, torch or onnx, with the extra of that name; auto: the last "
    "for a .onnx file, TensorFlow where transformers has a class for it, else PyTorch.",
)
_SOURCE = (
    *(weights_option, open_batch_option, open_seq_len_option),
    *(layers_option, inputs_option, importer_option, seed_option),
)


def model_options(command: Command) -> Command:
    """Add what to import and how to make it sparse: `model_spec` and `sparsity_spec`."""

    @functools.wraps(command)
    def with_specs(**flags: Any) -> Any:
        sparsity_spec = SparsitySpec(
            sparsity=flags.pop("sparsity"),
            block_shape=flags.pop("block_shape") or pruned_blocks(flags["model"]) or (1, 1),
            sparsity_threshold=flags.pop("threshold"),
            select=flags.pop("select"),
            prune=flags.pop("prune"),
            seed=flags["seed"],
            include=flags.pop("include"),
            exclude=flags.pop("exclude"),
        )
        model_spec = _model_spec(flags)
        return command(model_spec=model_spec, sparsity_spec=sparsity_spec, **flags)

    return add(
        with_specs,
        click.option(
            "--model",
            required=True,
            metavar="NAME|HUB_ID|DIR|FILE",
            shell_complete=complete_model,
            help="Preset (see `tvm-sparse models`), hub id, directory with config.json and "
            "weights, .pt2 or .onnx file.",
        ),
        defaulted(
            *("--sparsity", 0.95, "FRACTION"),
            "Share of zero blocks to reach in every eligible layer, 0..1. A model that comes "
            "pruned keeps its own zeros.",
        ),
        block_option,
        threshold_option,
        chosen(
            *("--select", SelectMethod, "auto"),
            "What decides which layers run sparse. threshold: --threshold, 0.5 by default; "
            "model: their times on this machine as the cost model predicts them; measure: those "
            "times, measured layer by layer; auto: threshold if one is given or --target is "
            "another machine, else model.",
        ),
        chosen(
            *("--prune", PruneMethod, "auto"),
            "none: the zeros the weights have; random: a seeded "
            "random pattern; magnitude: drop the blocks of least L2 norm; auto: none for "
            "a model that comes pruned, else random.",
        ),
        include_option,
        exclude_option,
        *_SOURCE,
    )


def model_argument(command: Command) -> Command:
    """Add MODEL, its weights and its shape: `model_spec`."""

    @functools.wraps(command)
    def with_spec(**flags: Any) -> Any:
        model_spec = _model_spec(flags)
        return command(model_spec=model_spec, **flags)

    return add(
        with_spec, click.argument("model", metavar="MODEL", shell_complete=complete_model), *_SOURCE
    )


def _model_spec(flags: dict[str, Any]) -> ModelSpec:
    """Take the flags of `_SOURCE`, and the model, out of `flags`."""
    batch, seq_len = flags.pop("batch"), flags.pop("seq_len")
    return ModelSpec(
        model=flags.pop("model"),
        weights=flags.pop("weights"),
        batch=batch.most,
        seq_len=seq_len.most,
        is_open=batch.is_open or seq_len.is_open,
        seed=flags.pop("seed"),
        num_layers=flags.pop("layers"),
        inputs=flags.pop("inputs"),
        importer=flags.pop("importer"),
    )
