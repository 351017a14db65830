"""Where things are kept, and what is said and written."""

from __future__ import annotations

import click

from tvm_sparse.cli.options.declare import Command, Option, add

cache_option = click.option(
    "--cache-dir",
    type=click.Path(),
    metavar="DIR",
    envvar="TVM_SPARSE_CACHE",
    show_envvar=True,
    help="Where imported models and builds are kept: a directory, or `user` for the one in your "
    "home directory; ./cache by default.",
)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="No progress: print the result only."
)


def json_option(described: str) -> Option:
    """Return what adds `json_path`, the file that receives what `described` says."""
    return click.option("--json", "json_path", type=click.Path(), metavar="FILE", help=described)


def output_options(command: Command) -> Command:
    """Add `verbose` and `quiet`."""
    return add(
        command,
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            help="Print for every layer whether it runs sparse, and why not.",
        ),
        quiet_option,
    )
