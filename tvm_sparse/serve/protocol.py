"""HTTP of one connection, with a short way for requests that find no place.

Under overload most requests are refused, and what each of them costs is taken from those that are
answered. So a request for a model whose queue is full is answered when its headers have come, as
bytes that are ready, without a task; of its body nothing is kept. All else is uvicorn's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tvm_sparse.serve.messages import JSON

_HEAD = b"HTTP/1.1 503 Service Unavailable\r\n"
_LAST_HEAD = _HEAD + b"connection: close\r\n"


class _Answered:
    """What uvicorn asks of a request that has been answered."""

    response_complete = True
    message_event = asyncio.Event()  # nobody waits for it


class Protocol(HttpToolsProtocol):  # type: ignore[misc]
    """Parses requests, and answers those that are refused for want of a place."""

    def on_headers_complete(self) -> None:
        """Refuse the request, or have the application answer it."""
        refused = self._refused()
        if refused is None:
            super().on_headers_complete()
            return
        self.cycle: Any = _Answered
        keep = self.parser.should_keep_alive()
        self.transport.write(refused if keep else refused.replace(_HEAD, _LAST_HEAD, 1))
        if not keep:
            self.transport.close()
        self.on_response_complete()

    def _refused(self) -> bytes | None:
        """Return the answer to a request that finds no place."""
        before = self.cycle
        if (before is not None and not before.response_complete) or self.flow.write_paused:
            return None  # answers keep the order of requests, and wait for who reads slowly
        found: bytes | None = self.app.refusal(self.parser.get_method(), self.url)
        return found


def refuse(body: bytes) -> bytes:
    """Return an answer with status 503 as it goes over the wire."""
    return b"%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (_HEAD, JSON, len(body), body)
