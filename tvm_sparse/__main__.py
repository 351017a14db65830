"""The program `tvm-sparse`: what comes before anything is imported that takes time."""

from __future__ import annotations

# What `signal` is made of: that brings `enum` and `collections`, in which Ctrl-C is a traceback.
import _signal as signal  # type: ignore[import-not-found]
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: Exit codes above tell of a signal.
_SIGNALLED = 128


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # As long as nothing has begun, Ctrl-C has nothing to unwind; `cli.main` takes over.
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    _open_closed_streams()
    from tvm_sparse.cli.main import main as run

    try:
        run()
    except SystemExit as ended:
        if not isinstance(ended.code, int) or ended.code <= _SIGNALLED:
            raise
        # A signal ended it, all is cleaned up, and an impatient hand may press once more.
        os._exit(ended.code)


def _end(number: int, _frame: Any) -> NoReturn:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


def _open_closed_streams() -> None:
    """Lead standard streams that are closed to nowhere.

    The next file that is opened would get their numbers, and what a library prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
