"""Two ends of a conversation between processes of a server."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from tvm_sparse.serve.peer import GoneError, Peer

pytestmark = pytest.mark.unit


def test_an_answer_that_nobody_waits_for_any_more_ends_nothing() -> None:
    async def play() -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def answer(what: str, fields: dict[str, Any]) -> Any:
            if what == "wait":
                asked.set()
                await go.wait()
            return [what, fields]

        ours, theirs = (Peer(one, answer) for one in socket.socketpair())
        talks = [asyncio.create_task(one.run()) for one in (ours, theirs)]
        left = asyncio.create_task(ours.ask("wait"))
        await asked.wait()
        left.cancel()
        await asyncio.wait([left])
        go.set()
        assert await ours.ask("say", n=1) == ["say", {"n": 1}]
        talks[1].cancel()  # as with a process that ends
        await asyncio.wait(talks)
        with pytest.raises(GoneError):
            await ours.ask("say")

    asyncio.run(play())
