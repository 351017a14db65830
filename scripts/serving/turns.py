"""Processes that take turns: each has one thing to measure, and rests while another one does."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from serving.generators import TritonClient, times_of

import tvm_sparse


class Turn:
    """A child process with something to call."""

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._child.start()

    def times(self, seconds: float) -> list[float]:
        """Return how long its calls take, in milliseconds."""
        self._pipe.send(seconds)
        found: list[float] = self._pipe.recv()
        return found

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._child.join()


@contextlib.contextmanager
def turn(make: Callable[..., Any], *arguments: Any) -> Iterator[Turn]:
    """Yield a child process that has what `make` returns."""
    made = Turn(make, *arguments)
    try:
        made.times(0.2)
        yield made
    finally:
        made.close()


def _serve(pipe: Connection, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    call = make(*arguments)
    call()
    while (seconds := pipe.recv()) is not None:
        pipe.send(times_of(call, seconds))


def client(address: str, model: str, text: str) -> Callable[[], Any]:
    """Return what asks a server."""
    return TritonClient(address, model, text)


def raw(artifact: str, threads: int, batch: list[list[int]]) -> Callable[[], Any]:
    """Return what runs some sequences in one run."""
    model = tvm_sparse.load(artifact, threads)
    return lambda: model.run_ragged(batch)


def raw_each(artifact: str, threads: int, texts: list[list[int]]) -> Callable[[], Any]:
    """Return what runs sequences one after the other, the whole list at each call."""
    model = tvm_sparse.load(artifact, threads)

    def call() -> None:
        for ids in texts:
            model.run_ragged([ids])

    return call
