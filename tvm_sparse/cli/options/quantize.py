"""Whether products are rounded to 8 bits, and how."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, get_args

import click

from tvm_sparse.cli.options.choice import Choice
from tvm_sparse.cli.options.declare import Command, add, optional
from tvm_sparse.config.quantization import BUILT_IN, QuantizationSpec, QuantizeScheme

#: The scheme alone, as `quantize`, for commands that take builds as they come.
quantize_option = click.option(
    "--quantize",
    type=Choice(get_args(QuantizeScheme)),
    help="Builds whose products have 8 bits besides. int8: what integers give, to the bit; "
    "int8-fast: coarser weights, which AVX2 adds up faster.",
)


def quantize_options(command: Command) -> Command:
    """Add what to round and how, as `quantization_spec`, None without --quantize."""

    @functools.wraps(command)
    def with_spec(**flags: Any) -> Any:
        scheme, calibration = flags.pop("quantize"), flags.pop("calibration")
        max_error, rescale = flags.pop("int8_error"), flags.pop("rescale")
        if scheme is None:
            _refuse_alone(
                {
                    "--calibration": calibration is not None,
                    "--int8-error": max_error is not None,
                    "--rescale": rescale,
                }
            )
        elif calibration not in (None, BUILT_IN):
            from tvm_sparse.text.texts import read_texts

            read_texts(calibration)  # before the work: a file of the wrong kind is told at once
        spec = None
        if scheme is not None:
            spec = QuantizationSpec(
                scheme, calibration=calibration, max_error=max_error, rescale=rescale
            )
        return command(quantization_spec=spec, **flags)

    return add(
        with_spec,
        quantize_option,
        click.option(
            "--calibration",
            metavar="FILE",
            type=click.Path(),
            help="Plain text, one passage a line, by which inputs are smoothed before they are "
            "rounded, or `built-in` for a small sample; without it, nothing is smoothed.",
        ),
        optional(
            *("--int8-error", float, "FRACTION"),
            "Layers whose outputs 8 bits would change by more, relative in L2 norm, stay float32.",
        ),
        click.option(
            "--rescale",
            is_flag=True,
            help="Of weights that come quantised: round rows anew that are too fine for the "
            "machine's sums of 8 bits; without it, their layers take 16 bits, which are slower, "
            "or stay float32.",
        ),
    )


def _refuse_alone(given: Mapping[str, bool]) -> None:
    for flag, is_given in given.items():
        if is_given:
            raise click.UsageError(f"{flag} given without --quantize: give int8 or int8-fast")
