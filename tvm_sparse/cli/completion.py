"""`tvm-sparse completion`: commands, options, values and presets at the Tab key."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from tvm_sparse.cli.options.choice import Choice
from tvm_sparse.errors import BuildError, ConfigError

_PROGRAM, _VARIABLE = "tvm-sparse", "_TVM_SPARSE_COMPLETE"
#: Where each shell's script goes, and what its start-up file has to say; fish finds it by itself.
_SCRIPTS = {
    "bash": ".local/share/tvm_sparse/completion.bash",
    "zsh": ".local/share/tvm_sparse/completion.zsh",
    "fish": ".config/fish/completions/tvm-sparse.fish",
}
_STARTUP = {"bash": ".bashrc", "zsh": ".zshrc"}


@click.command("completion")
@click.argument("shell", type=Choice(tuple(_SCRIPTS)), required=False)
@click.option(
    "--install",
    is_flag=True,
    help="Write the script into your home directory, and have your shell read it at its start.",
)
def command(shell: str | None, install: bool) -> None:
    """Print what makes SHELL complete commands, options, their values and presets.

    SHELL is bash, zsh or fish; by default the one in $SHELL. One command sets it up:
    `tvm-sparse completion --install`.
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in _SCRIPTS:
        raise ConfigError(
            f"$SHELL is {shell or 'not set'}: name the shell, one of {', '.join(_SCRIPTS)}"
        )
    maker = get_completion_class(shell)
    assert maker is not None  # click knows all three
    context = click.get_current_context().find_root()
    script = maker(context.command, {}, _PROGRAM, _VARIABLE).source()
    click.echo(_install(shell, script) if install else script)


def _install(shell: str, script: str) -> str:
    """Write the script, have the shell read it, and return what was done."""
    from tvm_sparse.records.write import write_text

    path = Path.home() / _SCRIPTS[shell]
    write_text(path, f"{script}\n")
    if shell in _STARTUP:
        startup, line = Path.home() / _STARTUP[shell], f'. "{path}"'
        try:
            said = startup.read_text() if startup.exists() else ""
            if line not in said.splitlines():
                with startup.open("a") as stream:
                    stream.write(f"{'' if said.endswith(chr(10)) or not said else chr(10)}{line}\n")
        except OSError as error:
            raise BuildError(f"{startup} cannot be written: {error.strerror}") from None
    return f"wrote {path}: new {shell} sessions complete {_PROGRAM}"
