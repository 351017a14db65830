"""The HTTP of the Open Inference Protocol, and of DeepSparse's routes, as an ASGI application.

Addresses are few and the one for inference is hot: they are told apart by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any

from tvm_sparse.serve.descriptions import (
    describe_config,
    describe_model,
    describe_repository,
    describe_server,
)
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
    respond_json,
    to_json,
)
from tvm_sparse.serve.metrics import write_metrics
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository, Route
from tvm_sparse.serve.served_model import ServedModel

_BINARY_TYPE = b"application/octet-stream"
_METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_MODELS = ["v2", "models"]


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

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            await self._dispatch(scope, receive, send)
        except Refusal as error:
            if error.reason != "CANCELED":
                await respond_json(send, {"error": error.message}, error.status)

    async def _dispatch(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        method, path = scope["method"], scope["path"]
        words = path.strip("/").split("/")
        if words[-1] == "infer" and words[:2] == _MODELS:
            _allow(method, "POST")
            model = self._model(words[2:-1])
            await self._infer(model, read_headers(scope["headers"]), receive, send)
        elif path in self._repository.routes:
            _allow(method, "POST")
            body = await self._body(read_headers(scope["headers"]), receive)
            answer = await _ask(self._repository.routes[path], parse_json(body), receive)
            await respond(send, answer)
        elif path == "/metrics":
            _allow(method, "GET")
            page = write_metrics(self._repository.models.values())
            await respond(send, page, kind=_METRICS_TYPE)
        elif words == ["v2", "repository", "index"]:
            _allow(method, "POST")
            body = await self._body(read_headers(scope["headers"]), receive)
            only_ready = parse_json(body).get("ready") is True if body else False
            await respond_json(send, describe_repository(self._repository, only_ready))
        elif words[:3] == ["v2", "repository", "models"] and words[-1] in ("load", "unload"):
            _allow(method, "POST")
            raise Refusal(503, "explicit model load / unload is not allowed")
        else:
            described = self._describe(words)
            _allow(method, "GET")
            if isinstance(described, bool):
                await respond(send, b"", 200 if described else 400)
            else:
                await respond_json(send, described)

    def _describe(self, words: list[str]) -> Any:
        """Return what is said at an address that is only read: a document, or yes and no."""
        repository = self._repository
        if words == ["v2"]:
            return describe_server()
        if words == ["v2", "health", "live"]:
            return True
        if words == ["v2", "health", "ready"]:
            return repository.ready
        if words == ["v2", "models", "stats"]:
            models = list(repository.models.values())
            return {"model_stats": [one.statistics.document(one.name, one.runs) for one in models]}
        if words[:2] == _MODELS and len(words) > 2:
            last = words[-1] if len(words) > 3 else ""
            what = last if last in ("ready", "config", "stats") else ""
            name = words[2 : -1 if what else None]
            if what == "ready" and name[0] in repository.expected:
                return False
            model = self._model(name)
            if what == "ready":
                return model.ready
            if what == "config":
                return describe_config(model)
            if what == "stats":
                return {"model_stats": [model.statistics.document(model.name, model.runs)]}
            return describe_model(model)
        raise Refusal(404, "Not Found")

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
        self, model: ServedModel, headers: Headers, receive: Receive, send: Send
    ) -> None:
        body = await self._body(headers, receive)
        length = headers.get(LENGTH_HEADER)
        if length is None:
            document = parse_json(body)
            route = self._repository.route_of(model)
            if route is not None and route.takes(document):
                await respond(send, await _ask(route, document, receive))
                return
            request = read_request(document, memoryview(b""))
        else:
            request = parse_request(body, length)
        model.check(request)
        outputs = await model.infer(request, _gone(receive))
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


async def _ask(route: Route, document: dict[str, Any], receive: Receive) -> bytes:
    """Return the answer of a pipeline to a body."""
    return await route.model.work(lambda: to_json(route.answer(document)), _gone(receive))


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
        raise Refusal(405, f"Method Not Allowed: use {wanted}")
