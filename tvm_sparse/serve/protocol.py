"""HTTP of one connection, with a short way for requests to models.

A request that finds no place is answered when its headers have come; of its body nothing is kept.
A small one is held until its body is there, and answered at once if that can be, else by a task
that waits for a thread (`serve.direct`). Of several that come in one piece the first alone is
answered at once: others wait for the event loop, too. All else goes through uvicorn to the
application, what is behind an answer that is not yet written among it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tvm_sparse.serve.at_once import MOST_BYTES
from tvm_sparse.serve.direct import Direct, Later, Target
from tvm_sparse.serve.messages import Answer, Headers, closing, on_the_wire

_LENGTH = b"content-length"
#: Who sends these wants more than an answer to a body that comes as it is.
_UNUSUAL = (b"content-encoding", b"expect", b"transfer-encoding", b"upgrade")


class _Cycle:
    """What uvicorn asks of a request, and tells it."""

    def __init__(self, keep_alive: bool, response_complete: bool = False) -> None:
        self.keep_alive, self.response_complete = keep_alive, response_complete
        self.disconnected = False
        self.message_event = asyncio.Event()

    async def gone(self) -> None:
        """Return when the client has left."""
        await self.message_event.wait()


#: Of all requests that have been answered; nobody waits for its event.
_ANSWERED = _Cycle(keep_alive=True, response_complete=True)


class Protocol(HttpToolsProtocol):  # type: ignore[misc]
    """Parses requests, and answers small ones to models."""

    _held: tuple[Target, Headers] | None = None
    _body = b""
    _idle_since: float | None = None
    _at_once = True

    @property
    def _direct(self) -> Direct:
        found: Direct = self.app.direct
        return found

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._at_once = True
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Have the application see that the client has left, and write that down."""
        self._let_go()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """Refuse the request, hold it, or have the application answer it."""
        target = self._target()
        if target is None:
            super().on_headers_complete()
            return
        refusal = self._direct.refuse(target)
        if refusal is not None:
            self.cycle: Any = _ANSWERED
            self._send(refusal, self._keeps_alive())
            return
        headers = dict(self.headers)
        length = headers.get(_LENGTH, b"")
        small = length.isdigit() and len(length) < 8 and int(length) <= MOST_BYTES
        if small and not any(name in headers for name in _UNUSUAL):
            self._held, self._body = (target, headers), b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """Answer a request that was held, at once or when a thread has done so."""
        if self._held is None:
            super().on_message_complete()
            if self.cycle.response_complete:  # of one that was refused before
                self._idle_since = self.loop.time()
            return
        (target, headers), body, self._held = self._held, self._body, None
        who = self.client if self._at_once else None
        self._at_once = False
        answer = self._direct.answer(target, headers, body, who)
        if isinstance(answer, Answer):
            self.cycle = _ANSWERED
            self._send(on_the_wire(answer), self._keeps_alive())
            return
        self.cycle = _Cycle(self._keeps_alive())
        task = self.loop.create_task(self._answer_later(self.cycle, answer))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _answer_later(self, cycle: _Cycle, later: Later) -> None:
        answer = await self._direct.answer_later(later, cycle.gone)
        cycle.response_complete = True
        if answer is not None and not self.transport.is_closing():
            self._send(on_the_wire(answer), cycle.keep_alive)

    def shutdown(self) -> None:
        """Answer a request whose body is on its way, and no further ones."""
        self._let_go()
        super().shutdown()

    def _let_go(self) -> None:
        """Have the application answer the request that is held, if there is one."""
        if self._held is not None:
            self._held = None
            super().on_headers_complete()
            super().on_body(self._body)

    def _target(self) -> Target | None:
        """Return where the request goes, if it may be answered here."""
        before = self.cycle
        if (before is not None and not before.response_complete) or self.flow.write_paused:
            return None  # answers keep the order of requests, and wait for who reads slowly
        return self._direct.find(self.parser.get_method(), self.url)

    def _keeps_alive(self) -> bool:
        """Tell whether the client wants the connection for further requests."""
        return bool(self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0")

    def _send(self, answer: bytes, keep: bool) -> None:
        self.transport.write(answer if keep else closing(answer))
        if not keep:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with what waits, or wait for the next request."""
        if self.pipeline or self.timeout_keep_alive_task is None:
            super().on_response_complete()
        else:  # its timer still runs: a new one for each request costs more
            self.server_state.total_requests += 1
            self.flow.resume_reading()
        self._idle_since = self.loop.time()

    def _unset_keepalive_if_required(self) -> None:
        """Take note that something came, or that the connection is at its end."""
        self._idle_since = None
        if self.transport.is_closing():
            super()._unset_keepalive_if_required()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if nothing came for long enough, or look again later."""
        left_s = self.timeout_keep_alive
        if self._idle_since is not None and self.cycle.response_complete:
            left_s -= self.loop.time() - self._idle_since
        if left_s <= 0:
            super().timeout_keep_alive_handler()
        elif not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                left_s, self.timeout_keep_alive_handler
            )
