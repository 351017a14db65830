"""Which builds, for which machine, on how many threads."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import click

from tvm_sparse.cli.options.declare import Command, Option, add, defaulted, optional
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.formats.builds import build_of
from tvm_sparse.host import threads_here
from tvm_sparse.target import check_threads

#: Of which this machine has as many.
threads_option = optional(
    *("--threads", int, "N", "Threads to run on; every core by default."),
    callback=lambda _context, _option, value: None if value is None else threads_here(value),
)


def compile_options(command: Command) -> Command:
    """Add for which machine to build, as `compile_spec`, and the tolerances of the checks."""

    @functools.wraps(command)
    def with_spec(**flags: Any) -> Any:
        compile_spec = CompileSpec(
            target=flags.pop("target"), threads=flags.pop("threads"), dump_ir=flags.pop("dump_ir")
        )
        check_threads(compile_spec.target, compile_spec.threads)
        return command(compile_spec=compile_spec, **flags)

    return add(
        with_spec,
        defaulted(
            *("--target", "native", "ISA"),
            "native, x86-64-v2, x86-64-v3 (AVX2), x86-64-v4 (AVX-512), either of these with -vnni, "
            "x86-64-v4-amx, or aarch64.",
        ),
        optional(
            *("--threads", int, "N"),
            "Threads to lay the build out for and to run on; every core by default.",
        ),
        _tolerance_option(
            "--atol",
            "Tolerance of the checks before timing, for outputs up to 1; larger ones scale it.",
        ),
        _tolerance_option("--rtol", "Relative tolerance of the checks."),
        click.option(
            "--dump-ir",
            metavar="DIR",
            type=click.Path(),
            help="Write the module after "
            "every phase of the compiler to DIR; compiles even what the cache has.",
        ),
    )


def build_options(command: Command) -> Command:
    """Add which builds: `dense_only` and `sparse_only`, for `build_names`."""
    return add(
        command,
        click.option("--dense-only", is_flag=True, help="The dense build alone."),
        click.option(
            "--sparse-only",
            is_flag=True,
            help="The sparse build alone; there is nothing to check it against then.",
        ),
    )


def build_names(
    flags: Mapping[str, Any], quantization: QuantizationSpec | None = None
) -> tuple[str, ...]:
    """Return the builds that the flags of `build_options` ask for, and the same of 8 bits.

    Raises click.UsageError if they exclude each other.
    """
    if flags["dense_only"] and flags["sparse_only"]:
        raise click.UsageError(
            "--dense-only and --sparse-only exclude each other: give neither for both builds"
        )
    kinds = [False] if flags["dense_only"] else [True] if flags["sparse_only"] else [False, True]
    schemes = ["", *([quantization.scheme] if quantization else [])]
    return tuple(build_of(is_sparse, scheme).name for scheme in schemes for is_sparse in kinds)


def _tolerance_option(flag: str, described: str) -> Option:
    return defaulted(flag, 1e-4, "X", described, callback=_tolerance)


def _tolerance(_context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not (value >= 0 and math.isfinite(value)):
        raise click.BadParameter(f"{value:g} given: it must be 0 or more", param=parameter)
    return value
