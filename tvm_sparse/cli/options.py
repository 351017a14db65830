"""The flags that several commands share, as decorators.

Each hands the command one checked spec instead of the single values: `model_spec`,
`sparsity_spec`, `compile_spec`, `bench_spec`. The specs know what values are allowed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

import click

from tvm_sparse.config import (
    BenchSpec,
    BuildName,
    CompileSpec,
    InputForm,
    ModelSpec,
    PruneMethod,
    SelectMethod,
    SparsitySpec,
    WeightsPolicy,
)
from tvm_sparse.host import threads_here
from tvm_sparse.target import check_threads

Command = Callable[..., Any]


_SPARSITY = (
    click.option(
        "--sparsity",
        type=float,
        default=0.95,
        show_default=True,
        metavar="FRACTION",
        help="Share of zero blocks to reach in every eligible layer, 0..1. A model "
        "that comes pruned keeps its own zeros.",
    ),
)
_BLOCKS = (
    click.option(
        "--bs-r",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="Block rows: outputs of a layer that are pruned together.",
    ),
    click.option(
        "--bs-c",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="Block columns: inputs of a layer that are pruned together.",
    ),
    click.option(
        "--threshold",
        type=float,
        metavar="FRACTION",
        help="A layer runs sparse when its *block sparsity*, the share of blocks of "
        "bs-r x bs-c that are all zero, is at least this, 0..1.",
    ),
)
_SELECT = (
    click.option(
        "--select",
        type=click.Choice(get_args(SelectMethod)),
        default="auto",
        show_default=True,
        help="What decides which layers run sparse. threshold: --threshold, 0.5 by default; model: "
        "their times on this machine as the cost model predicts them; measure: those times, "
        "measured layer by layer; auto: threshold if one is given or --target is another machine, "
        "else model.",
    ),
)
_PRUNE = (
    click.option(
        "--prune",
        type=click.Choice(get_args(PruneMethod)),
        default="auto",
        show_default=True,
        help="none: the zeros the weights have; random: a seeded "
        "random pattern; magnitude: drop the blocks of least L2 norm; auto: none for "
        "a model that comes pruned, else random.",
    ),
)
_CHOICE = (
    click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Only layers whose name "
        "matches this shell pattern may run sparse; may be given more than once.",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Layers whose name matches stay dense; may be given more than once.",
    ),
)
_SOURCE = (
    click.option(
        "--weights",
        type=click.Choice(get_args(WeightsPolicy)),
        default="auto",
        show_default=True,
        help="checkpoint: real weights or an error; random: "
        "seeded ones; auto: a checkpoint if one is cached or reachable, else random.",
    ),
    click.option(
        "--batch",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="Sequences in one run.",
    ),
    click.option(
        "--seq-len",
        type=int,
        default=128,
        show_default=True,
        metavar="N",
        help="Tokens of every sequence.",
    ),
    click.option(
        "--layers",
        type=int,
        metavar="N",
        help="Keep only the first N encoder layers; all by default.",
    ),
    click.option(
        "--inputs",
        type=click.Choice(get_args(InputForm)),
        default="full",
        show_default=True,
        help="full: every input the model takes; single: input_ids alone.",
    ),
    click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Seed of random weights and of random patterns.",
    ),
)


def model_options(command: Command) -> Command:
    """Add what to import and how to make it sparse: `model_spec` and `sparsity_spec`."""

    @functools.wraps(command)
    def with_specs(**flags: Any) -> Any:
        sparsity_spec = SparsitySpec(
            sparsity=flags.pop("sparsity"),
            block_shape=(flags.pop("bs_r"), flags.pop("bs_c")),
            sparsity_threshold=flags.pop("threshold"),
            select=flags.pop("select"),
            prune=flags.pop("prune"),
            seed=flags["seed"],
            include=flags.pop("include"),
            exclude=flags.pop("exclude"),
        )
        model_spec = _model_spec(flags)
        return command(model_spec=model_spec, sparsity_spec=sparsity_spec, **flags)

    return _add(
        with_specs,
        click.option(
            "--model",
            required=True,
            metavar="NAME|HUB_ID|DIR",
            help="Preset (see "
            "`tvm-sparse models`), hub id, or directory with config.json and weights.",
        ),
        *_SPARSITY,
        *_BLOCKS,
        *_SELECT,
        *_PRUNE,
        *_CHOICE,
        *_SOURCE,
    )


def model_argument(command: Command) -> Command:
    """Add MODEL, its weights and its shape: `model_spec`."""

    @functools.wraps(command)
    def with_spec(**flags: Any) -> Any:
        model_spec = _model_spec(flags)
        return command(model_spec=model_spec, **flags)

    return _add(with_spec, click.argument("model", metavar="MODEL"), *_SOURCE)


def block_options(command: Command) -> Command:
    """Add which blocks and layers count: `block_shape`, `threshold`, `include`, `exclude`."""

    @functools.wraps(command)
    def with_block_shape(**flags: Any) -> Any:
        # The spec knows what values are allowed.
        spec = SparsitySpec(
            block_shape=(flags.pop("bs_r"), flags.pop("bs_c")),
            sparsity_threshold=flags["threshold"],
        )
        return command(block_shape=spec.block_shape, **flags)

    return _add(with_block_shape, *_BLOCKS, *_CHOICE)


def compile_options(command: Command) -> Command:
    """Add for which machine to build, as `compile_spec`, and the tolerances of the checks."""

    @functools.wraps(command)
    def with_spec(**flags: Any) -> Any:
        compile_spec = CompileSpec(
            target=flags.pop("target"), threads=flags.pop("threads"), dump_ir=flags.pop("dump_ir")
        )
        check_threads(compile_spec.target, compile_spec.threads)
        return command(compile_spec=compile_spec, **flags)

    return _add(
        with_spec,
        click.option(
            "--target",
            default="native",
            show_default=True,
            metavar="ISA",
            help="native, x86-64-v2, x86-64-v3 (AVX2), x86-64-v4 (AVX-512) or aarch64.",
        ),
        click.option(
            "--threads",
            type=int,
            metavar="N",
            help="Threads to lay the build out for and to run on; every core by default.",
        ),
        click.option(
            "--atol",
            type=float,
            default=1e-4,
            show_default=True,
            metavar="X",
            callback=_tolerance,
            help="Absolute tolerance of the checks before timing.",
        ),
        click.option(
            "--rtol",
            type=float,
            default=1e-4,
            show_default=True,
            metavar="X",
            callback=_tolerance,
            help="Relative tolerance of the checks.",
        ),
        click.option(
            "--dump-ir",
            metavar="DIR",
            type=click.Path(),
            help="Write the module after "
            "every phase of the compiler to DIR; compiles even what the cache has.",
        ),
    )


def bench_options(command: Command) -> Command:
    """Add how to measure, as `bench_spec`, and `profile` and `json_path`."""

    @functools.wraps(command)
    def with_spec(**flags: Any) -> Any:
        time_s, iterations = flags.pop("time_s"), flags.pop("iterations")
        if time_s is not None and iterations is not None:
            raise click.UsageError("--time and --iterations exclude each other: give one of them")
        bench_spec = BenchSpec(
            time_s=10.0 if time_s is None else time_s,
            iterations=iterations,
            warmup_s=flags.pop("warmup_s"),
        )
        return command(bench_spec=bench_spec, **flags)

    return _add(
        with_spec,
        click.option(
            "--time",
            "time_s",
            type=float,
            metavar="SECONDS",
            help="Seconds of measuring per build.  [default: 10]",
        ),
        click.option(
            "--iterations",
            type=int,
            metavar="N",
            help="Measured runs per build, instead of --time.",
        ),
        click.option(
            "--warmup",
            "warmup_s",
            type=float,
            default=1.0,
            show_default=True,
            metavar="SECONDS",
            help="Seconds of unmeasured runs before, per build.",
        ),
        click.option(
            "--profile",
            is_flag=True,
            help="Time every layer besides, and name the kernel it ran in.",
        ),
        click.option(
            "--json",
            "json_path",
            type=click.Path(),
            metavar="FILE",
            help="Write the record here: raw samples, decisions, environment.",
        ),
    )


def build_options(command: Command) -> Command:
    """Add which builds: `dense_only` and `sparse_only`, for `build_names`."""
    return _add(
        command,
        click.option("--dense-only", is_flag=True, help="The dense build alone."),
        click.option(
            "--sparse-only",
            is_flag=True,
            help="The sparse build alone; there is nothing to check it against then.",
        ),
    )


def build_names(flags: Mapping[str, Any]) -> tuple[BuildName, ...]:
    """Return the builds that the flags of `build_options` ask for.

    Raises
    ------
    click.UsageError
        They exclude each other.
    """
    if flags["dense_only"] and flags["sparse_only"]:
        raise click.UsageError(
            "--dense-only and --sparse-only exclude each other: give neither for both builds"
        )
    if flags["dense_only"]:
        return ("dense",)
    return ("sparse",) if flags["sparse_only"] else ("dense", "sparse")


def threads_option(command: Command) -> Command:
    """Add `threads`, of which this machine has as many."""
    return click.option(
        "--threads",
        type=int,
        metavar="N",
        callback=_threads,
        help="Threads to run on; every core by default.",
    )(command)


def cache_option(command: Command) -> Command:
    """Add `cache_dir`."""
    return click.option(
        "--cache-dir",
        type=click.Path(),
        metavar="DIR",
        envvar="TVM_SPARSE_CACHE",
        show_envvar=True,
        help="Where imported models and builds are kept; ./cache by default.",
    )(command)


def output_options(command: Command) -> Command:
    """Add `verbose` and `quiet`."""
    return _add(
        command,
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            help="Print for every layer whether it runs sparse, and why not.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="No progress: print the result only."),
    )


def _threads(_context: click.Context, _option: click.Parameter, value: int | None) -> int | None:
    return None if value is None else threads_here(value)


def _tolerance(_context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not (value >= 0 and math.isfinite(value)):
        raise click.BadParameter(f"{value:g} given: it must be 0 or more", param=parameter)
    return value


def _model_spec(flags: dict[str, Any]) -> ModelSpec:
    """Take the flags of `_SOURCE`, and the model, out of `flags`."""
    return ModelSpec(
        model=flags.pop("model"),
        weights=flags.pop("weights"),
        batch=flags.pop("batch"),
        seq_len=flags.pop("seq_len"),
        seed=flags.pop("seed"),
        num_layers=flags.pop("layers"),
        inputs=flags.pop("inputs"),
    )


def _add(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Apply options so that the help lists them in the order given."""
    for option in reversed(options):
        command = option(command)
    return command
