"""A served model that answers when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Hashable
from typing import Any

from tvm_sparse.errors import InputError
from tvm_sparse.serve.at_once import Busy
from tvm_sparse.serve.lanes import Lane
from tvm_sparse.serve.model_config import QueueConfig
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.signature import Signature
from tvm_sparse.serve.streams import Streams
from tvm_sparse.serve.tensors import Tensor, TensorPlace, of_texts
from tvm_sparse.serve.ticket import get_ticket

_PLACES = [(TensorPlace(name, "BYTES", (-1,)),) for name in ("TEXT", "OUT")]


class Slow:
    """Texts in, their lengths below zero out; it keeps which lengths ran together, and on what."""

    def __init__(self, streams: int = 1, shared: bool = False, **queue: int) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[int] = []
        self.go, self.begun = threading.Event(), threading.Event()
        self.streams = Streams(streams, shared=shared)
        self.lane: Lane[int, int] = Lane(self._run, lambda length: length, 4, 100)
        self.served = ServedModel(
            "slow",
            Signature("slow", *_PLACES),
            self._answer,
            self.streams,
            QueueConfig(**queue),
            self.lane.statistics,
        )
        self.served.ready = True

    def _run(self, lengths: list[int], threads: int) -> list[int]:
        self.batches.append(lengths)
        self.threads.append(threads)
        self.begun.set()
        assert self.go.wait(20)
        if 13 in lengths:
            raise InputError("13 given")
        if 66 in lengths:
            raise RuntimeError("broken")
        return [-length for length in lengths]

    def _answer(self, request: Request) -> dict[str, Tensor]:
        lengths = [len(text) for text in request.inputs["TEXT"].texts("TEXT")]
        return {
            "OUT": of_texts(list(map(str, self.streams.submit(self.lane, lengths, get_ticket()))))
        }

    async def ask(
        self, *lengths: int, gone: Any = None, who: Hashable = None, **parameters: Any
    ) -> list[int]:
        texts = of_texts(["x" * length for length in lengths])
        request = Request({"TEXT": texts}, {}, parameters)
        answer = await self._answered(request, gone or _never, who)
        return list(map(int, answer["OUT"].values))

    async def _answered(self, request: Request, gone: Any, who: Hashable) -> Any:
        """Ask as a connection does."""
        ask = self.served.ask(request)
        if self.served.is_free(who):
            with contextlib.suppress(Busy):
                return self.served.answer_now(ask)
        return await self.served.answer(ask, gone)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(4000):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it never came to that")


async def _never() -> None:
    await asyncio.Event().wait()
