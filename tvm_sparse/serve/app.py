"""The HTTP of the Open Inference Protocol, and of DeepSparse's routes, as an ASGI application.

What runs models is hot and told apart by hand; other addresses are in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, MutableMapping
from typing import Any

from tvm_sparse.serve.access_log import Entry, current, note
from tvm_sparse.serve.address import Visit
from tvm_sparse.serve.addresses import find
from tvm_sparse.serve.at_once import MOST_BYTES
from tvm_sparse.serve.deployment import Route
from tvm_sparse.serve.inference import (
    LENGTH_HEADER,
    parse_json,
    parse_request,
    read_request,
    write_response,
)
from tvm_sparse.serve.messages import (
    JSON,
    Headers,
    Receive,
    Send,
    pack,
    read_body,
    read_headers,
    respond,
    to_json,
)
from tvm_sparse.serve.protocol import refuse
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.ticket import Ticket

_BINARY_TYPE = b"application/octet-stream"
_MODELS = ["v2", "models"]
#: Around the name of a model, in an address without versions.
_PLAIN = (b"/v2/models/", b"/infer")


class App:
    """Answers HTTP requests.

    Parameters
    ----------
    repository : Repository
        What is served.
    most_bytes : int
        Largest body of a request, unpacked.
    """

    def __init__(self, repository: Repository, most_bytes: int) -> None:
        self._repository, self._most_bytes = repository, most_bytes

    def refusal(self, method: bytes, url: bytes) -> bytes | None:
        """Return the answer to a request for a model whose queue is full; None for all others.

        Parameters
        ----------
        method, url : bytes
            Of the request; what is not written plainly, or to be logged, goes the longer way.
        """
        if method != b"POST" or self._repository.access_log is not None:
            return None
        if not (url.startswith(_PLAIN[0]) and url.endswith(_PLAIN[1])):
            return None
        model = self._repository.models.get(url[len(_PLAIN[0]) : -len(_PLAIN[1])].decode("latin-1"))
        if model is None:
            return None
        try:
            model.check_room()
        except Refusal as error:
            return refuse(to_json({"error": error.message}))
        return None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        log = self._repository.access_log
        if log is None:
            await self._answer(scope, receive, send)
            return
        entry = Entry(scope["method"], scope["path"])
        current.set(entry)
        try:
            await self._answer(scope, entry.receiving(receive), entry.sending(send))
        finally:
            log.write(entry)

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        try:
            await self._dispatch(scope, receive, send)
        except Refusal as error:
            if error.reason != "CANCELED":
                more = ((b"allow", error.allow.encode()),) if error.allow else ()
                await respond(send, to_json({"error": error.message}), error.status, more=more)
            # Its frames hold the model, and somewhere hold the error: a circle that would keep a
            # model that is replaced.
            error.__traceback__ = None

    async def _dispatch(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        method, path = scope["method"], scope["path"]
        words = path.strip("/").split("/")
        if words[-1] == "infer" and words[:2] == _MODELS:
            _allow(method, "POST")
            model = self._model(words[2:-1])
            model.check_room()
            await self._infer(model, scope, receive, send)
        elif (route := self._repository.route(path)) is not None:
            _allow(method, "POST")
            route.model.check_room()
            body = await self._body(read_headers(scope["headers"]), receive)
            await _ask(route, parse_json(body), receive, send, _who(scope, body))
        else:
            address, found = find(path)
            _allow(method, address.method)
            body = b""
            if method == "POST":
                body = await self._body(read_headers(scope["headers"]), receive)
            told = await address.answer(Visit(self._repository, found, body))
            await respond(send, told.body, told.status, told.kind, told.more)

    def _model(self, words: list[str]) -> ServedModel:
        """Return the model of an address: its name, or name, `versions`, version."""
        if len(words) == 3 and words[1] == "versions":
            return self._repository.model(words[0], words[2])
        if len(words) != 1:
            raise Refusal(404, "Not Found")
        return self._repository.model(words[0])

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        return await read_body(receive, headers, self._most_bytes)

    async def _infer(
        self, model: ServedModel, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        headers = read_headers(scope["headers"])
        body = await self._body(headers, receive)
        length = headers.get(LENGTH_HEADER)
        if length is None:
            document = parse_json(body)
            route = self._repository.route_of(model)
            if route is not None and route.takes(document):
                await _ask(route, document, receive, send, _who(scope, body))
                return
            request = read_request(document, memoryview(b""))
        else:
            request = parse_request(body, length)
        note(id=request.id)
        model.check(request)
        outputs = await model.infer(request, _gone(receive), who=_who(scope, body))
        answer, json_bytes = write_response(model.name, request, outputs)
        more: tuple[tuple[bytes, bytes], ...] = ()
        if json_bytes is not None:
            more = ((LENGTH_HEADER.encode(), b"%d" % json_bytes),)
        accepted = headers.get("accept-encoding")
        if accepted:
            answer, packing = pack(answer, accepted)
            more += ((b"content-encoding", packing.encode()),) if packing else ()
        kind = JSON if json_bytes is None else _BINARY_TYPE
        await respond(send, answer, kind=kind, more=more)


async def _ask(
    route: Route, document: dict[str, Any], receive: Receive, send: Send, who: Hashable
) -> None:
    """Send the answer of a pipeline to a body, and how long it took."""
    ticket = Ticket()
    answer = await route.model.work(
        lambda: to_json(route.answer(document)),
        _gone(receive),
        items=route.count(document),
        ticket=ticket,
        who=who,
    )
    await respond(send, answer, more=((b"server-timing", ticket.timing()),))


def _who(scope: MutableMapping[str, Any], body: bytes) -> Hashable:
    """Return whose request it is, if it is small."""
    return scope.get("client") if len(body) <= MOST_BYTES else None


def _gone(receive: Receive) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return what waits until the client has left."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    return gone


def _allow(method: str, wanted: str) -> None:
    """Refuse any other method.

    Raises
    ------
    Refusal
        It is another one.
    """
    if method != wanted:
        raise Refusal(405, f"Method Not Allowed: use {wanted}", allow=wanted)
