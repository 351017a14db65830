"""The parent's side: start a child process, ask it, raise its errors, end it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from tvm_sparse.errors import BuildError
from tvm_sparse.processes.channel import Channel
from tvm_sparse.processes.failures import death, revive
from tvm_sparse.processes.start import Environment, start
from tvm_sparse.progress import silent

#: What a child says last is at the end; a library may have filled the rest.
_STDERR_TAIL_BYTES = 1 << 16

#: Receives an event of the child: what it gave to `report`.
OnEvent = Callable[[Any], None]

log = logging.getLogger(__name__)


class Child:
    """A process that answers requests; a context manager that ends it.

    It never outlives this process, not even one that is killed, and Ctrl-C at the terminal does
    not reach it: this process decides when it ends. It is ended on any exception of this process
    while it is asked, an interrupt included.

    Parameters
    ----------
    module : str
        What it runs (`python -m`); calls `processes.serve.serve`.
    purpose : str
        What it does, for messages: "the process that ...".
    environment : mapping of str to str or None, optional
        Changes to the environment of this process, which it gets.
    rests : bool
        Keep it and what it started stopped (SIGSTOP) whenever it is not carrying out a request.

    Raises
    ------
    BuildError
        It cannot be started.
    """

    def __init__(
        self,
        module: str,
        purpose: str,
        environment: Environment | None = None,
        *,
        rests: bool = False,
    ) -> None:
        self._purpose, self._rests = purpose, rests
        with contextlib.ExitStack() as stack:
            try:
                self._stderr = stack.enter_context(tempfile.TemporaryFile())
                ours, theirs = socket.socketpair()
                self._channel = stack.enter_context(contextlib.closing(Channel(ours)))
                stack.enter_context(theirs)
                self._process = start(module, theirs, stack, environment, self._stderr)
            except OSError as error:
                raise BuildError(f"the process that {purpose} cannot be started: {error}") from None
            self._open = stack.pop_all()

    @property
    def pid(self) -> int:
        """Process id, also of its process group."""
        return self._process.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, request: Mapping[str, Any], on_event: OnEvent = silent) -> Any:
        """Have a request carried out and return its result.

        Parameters
        ----------
        request : mapping
            JSON-ready.
        on_event : callable
            Receives each event while the request is carried out.

        Raises
        ------
        TvmSparseError, OSError
            What the child raised, of the same class.
        BuildError
            The child died or failed in a way nobody foresaw.
        """
        try:
            answer = self._exchange(request, on_event)
        except BaseException:
            self.close()
            raise
        if "error" in answer:
            raise revive(answer["error"], self._purpose)
        return answer["result"]

    def close(self) -> None:
        """End the process and what it started; safe to call twice."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._open.close()

    def _exchange(self, request: Mapping[str, Any], on_event: OnEvent) -> dict[str, Any]:
        """Return the message that ends the answer to a request."""
        if self._rests:
            self._signal(signal.SIGCONT)
        self._channel.send(request)
        while (message := self._channel.receive()) is not None:
            if "event" not in message:
                if self._rests:
                    self._signal(signal.SIGSTOP)
                return message
            on_event(message["event"])
        status = self._process.wait()
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - _STDERR_TAIL_BYTES))
        said = self._stderr.read().decode(errors="replace")
        log.debug("the process that %s ended with status %s: %s", self._purpose, status, said)
        raise death(status, said, self._purpose)

    def _signal(self, number: signal.Signals) -> None:
        # Once it was waited for, its number may be somebody else's.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def call(
    module: str,
    purpose: str,
    request: Mapping[str, Any],
    environment: Environment | None = None,
    on_event: OnEvent = silent,
) -> Any:
    """Have a child process carry out one request and return the result; see `Child`.

    Raises
    ------
    TvmSparseError, OSError
        What the child raised, of the same class.
    BuildError
        The child could not be started, died, or failed in a way nobody foresaw.
    """
    with Child(module, purpose, environment) as child:
        return child.ask(request, on_event)
