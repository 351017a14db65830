"""What the program is doing, on stderr: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tvm_sparse.cli.console import PrintableConsole
from tvm_sparse.cli.terminal import width_of

#: On a terminal, a step that took at least this long leaves a line behind.
_WORTH_A_LINE_S = 1.0
#: Elsewhere, a measurement says at most this often how far it is.
_PLAIN_INTERVAL_S = 5.0


class ProgressDisplay:
    """Shows one step at a time; a context manager.

    Parameters
    ----------
    quiet : bool
        Show nothing at all.
    stream : text file or None
        Where to; stderr by default.
    """

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        stream = stream or sys.stderr
        width = width_of(stream)
        self._console = PrintableConsole(file=stream, width=width, highlight=False, quiet=quiet)
        self._live: Progress | None = None
        if self._console.is_terminal and not quiet:
            self._live = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
        self._text = ""
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> ProgressDisplay:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            if error is None:
                self._leave_line()
            self._live.stop()

    def step(self, line: str) -> None:
        """Show that a step begins, and that the one before has ended.

        Parameters
        ----------
        line : str
            What is done. `<line of the step before>: <phase>` is a phase of it, which a terminal
            alone shows.
        """
        if self._text and line.startswith(f"{self._text}: "):
            self._describe(line)
            return
        if self._live is None:
            self._print(line)
        else:
            self._leave_line()
            for task in self._live.task_ids:
                self._live.remove_task(task)
            self._live.add_task(line, total=None)
        self._text = line
        self._started = self._shown = time.monotonic()

    def measure(self, text: str, share: float) -> None:
        """Show how far a measurement is, and how long it will go on.

        Parameters
        ----------
        text : str
            What is being measured.
        share : float
            Finished share, 0..1.
        """
        if text != self._text:
            self.step(text)
        if not 0 < share < 1:
            return
        left_s = (time.monotonic() - self._started) * (1 - share) / share
        self.update(text, f"{text}: {share:.0%}, {left_s:.0f} s left")

    def update(self, text: str, line: str) -> None:
        """Show how far a long step is.

        Parameters
        ----------
        text : str
            The step.
        line : str
            The same, and how far it is.
        """
        if text != self._text:
            self.step(text)
        self._describe(line)
        now = time.monotonic()
        if self._live is None and now - self._shown >= _PLAIN_INTERVAL_S:
            self._print(line)
            self._shown = now

    def _describe(self, line: str) -> None:
        """Change the text of the step under way; a terminal alone shows that."""
        if self._live is not None:
            self._live.update(self._live.task_ids[-1], description=line)

    def _leave_line(self) -> None:
        """Print the step that has ended, with its time, unless it was short."""
        elapsed_s = time.monotonic() - self._started
        if self._text and elapsed_s >= _WORTH_A_LINE_S:
            self._print(f"{elapsed_s:6.1f} s  {self._text}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)
