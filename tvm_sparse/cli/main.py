"""The command line: the group of commands, and how it ends.

    exit code 0      done
              1      it failed: a build, a check, or something nobody foresaw
              2      wrong use: a flag, a model, a cache or an artifact that cannot be used
              128+N  ended by signal N: 130 after Ctrl-C

An error is one line on stderr. TVM_SPARSE_TRACEBACK=1 shows where it came from.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import click

import tvm_sparse
from tvm_sparse.cli.printable import printable
from tvm_sparse.errors import TvmSparseError, did_you_mean
from tvm_sparse.processes.memory import is_lack_of_memory, memory_limit
from tvm_sparse.processes.temporary import temporary_directory

#: What `--help` says of each command: its module is imported when the command is asked for.
_COMMANDS = {
    "run": "Measure dense and sparse builds of a model side by side.",
    "export": "Write a build as a directory to deploy.",
    "bench": "Measure an exported build.",
    "predict": "Ask an exported build about texts.",
    "serve": "Answer requests over HTTP with exported builds.",
    "batch": "Answer files of texts, on many cores and machines.",
    "compare": "Measure an exported build beside other engines.",
    "tune": "Search the fastest register tiles on this machine.",
    "analyze": "Tell what each layer costs and what would run sparse.",
    "what-if": "Tell at which sparsity and block shape pruning pays.",
    "prune": "Write a model with pruned weights.",
    "evaluate": "Compare a pruned model with the dense one on texts.",
    "cache": "List, explain and remove what is kept on disk.",
    "models": "List the models known by a short name.",
    "doctor": "Tell whether this installation works on this machine.",
    "completion": "Complete commands, options and presets in your shell.",
}
_SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
#: A second Ctrl-C so soon after the first must not stop the cleaning up.
_CLEAN_UP_S = 1.0


class _Commands(click.Group):
    """Finds the commands in modules of their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"tvm_sparse.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in _COMMANDS and not word.startswith("-"):
            raise click.UsageError(f"No such command {word!r}{did_you_mean(word, _COMMANDS)}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(tvm_sparse.__version__, prog_name="tvm-sparse")
def cli() -> None:
    """Tell whether pruning a model pays, and how fast it would be on this CPU.

    A Hugging Face transformer goes in; dense and block-sparse CPU builds of it come out, checked
    against each other, measured side by side, and exported as a .so that runs without Python.

    \b
      tvm-sparse run --model bert-mini --sparsity 0.95 --bs-r 4
      tvm-sparse export --model bert-mini --bs-r 4 -o bert-mini-sparse
      tvm-sparse bench bert-mini-sparse

    Models, weights and builds are kept in ./cache, in $TVM_SPARSE_CACHE or in --cache-dir.
    TVM_SPARSE_TRACEBACK=1 shows where an error came from.
    """  # noqa: D301 - the \b is what tells click to keep the lines that follow it


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code.

    Parameters
    ----------
    arguments : sequence of str or None
        Instead of the process's own.
    """
    received: list[int] = []
    with _temporary_files():
        _install_signal_handlers(received)
        try:
            code = cli.main(arguments, prog_name="tvm-sparse", standalone_mode=False)
            # Here, where a closed pipe or a full disk can still be told.
            sys.stdout.flush()
        except (SystemExit, KeyboardInterrupt, Exception) as error:
            code = _report(error, received)
        # What is left is the end of the interpreter, which a Ctrl-C would make a death.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


@contextlib.contextmanager
def _temporary_files() -> Iterator[None]:
    """Give all temporary files of the command one directory, which goes with it.

    A signal may come between the making of a directory and the line that remembers to remove it.
    """
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    with contextlib.ExitStack() as stack:
        try:
            folder = str(stack.enter_context(temporary_directory()))
        except OSError:
            # Whoever needs temporary files says so.
            yield
            return
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
            os.environ.pop("TMPDIR")
            if variable is not None:
                os.environ["TMPDIR"] = variable


def _install_signal_handlers(received: list[int]) -> None:
    """Make every deadly signal unwind the program, so that nothing half-written stays.

    The number is also put into `received`: an exception that leaves a callback of TVM comes out
    as another one.
    """
    last_s = -math.inf

    def handle(number: int, _frame: Any) -> None:
        nonlocal last_s
        received.append(number)
        impatient = time.monotonic() - last_s < _CLEAN_UP_S
        last_s = time.monotonic()
        if not impatient:
            raise KeyboardInterrupt

    for number in _SIGNALS:
        # A shell starts background jobs with SIGINT ignored, nohup with SIGHUP: let it be.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)


def _report(error: BaseException, received: Sequence[int]) -> int:
    """Say on stderr how the program failed and return the exit code."""
    if os.environ.get("TVM_SPARSE_TRACEBACK") and not isinstance(error, SystemExit):
        traceback.print_exception(error)
    if received:
        _say(_SIGNALS[signal.Signals(received[0])])
        return 128 + received[0]
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has seen enough. The rest must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, click.ClickException):
        shown = io.StringIO()
        error.show(shown)
        _say(shown.getvalue().rstrip())
        return error.exit_code
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        _say("interrupted")
        return 130
    if isinstance(error, TvmSparseError):
        _say(f"error: {_one_line(error)}")
        return 2 if _is_disk_full(error) else error.exit_code
    if _is_disk_full(error):
        where = getattr(error, "filename", None) or "the output"
        _say(f"error: {where} cannot be written: the disk is full")
        return 2
    if is_lack_of_memory(error):
        _say(
            f"error: out of memory{memory_limit()}: give --batch, --seq-len or --layers a "
            "smaller value"
        )
        return 1
    _say(
        f"error: {type(error).__name__}: {_one_line(error)} (this should not happen; "
        "TVM_SPARSE_TRACEBACK=1 shows where)"
    )
    return 1


def _is_disk_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is behind an error, however far."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # stderr is closed: nobody listens
        print(printable(line), file=sys.stderr, flush=True)
