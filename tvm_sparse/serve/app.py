"""The HTTP of the Open Inference Protocol, and of DeepSparse's routes, as an ASGI application.

What runs models is told apart by hand; other addresses are in a table. Small requests to models
are answered before they come here: see `serve.protocol`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any

from tvm_sparse.serve.access_log import Entry, current
from tvm_sparse.serve.address import Visit
from tvm_sparse.serve.addresses import find
from tvm_sparse.serve.direct import Direct
from tvm_sparse.serve.messages import Answer, Headers, Receive, Send, read_body, refused, respond
from tvm_sparse.serve.questions import Question, read_inference, read_pipeline
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel

_MODELS = ["v2", "models"]


class App:
    """Answers HTTP requests.

    Parameters
    ----------
    repository : Repository
        What is served.
    most_bytes : int
        Largest body of a request, unpacked.

    Attributes
    ----------
    direct : Direct
        Answers small requests to models.
    """

    def __init__(self, repository: Repository, most_bytes: int) -> None:
        self._repository, self._most_bytes = repository, most_bytes
        self.direct = Direct(repository)

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
            answer = refused(error)
            if error.reason != "CANCELED":
                await respond(send, answer)

    async def _dispatch(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        method, path = scope["method"], scope["path"]
        words = path.strip("/").split("/")
        if words[-1] == "infer" and words[:2] == _MODELS:
            _allow(method, "POST")
            model = self._model(words[2:-1])
            model.check_room()
            headers, body = await self._read(scope, receive)
            question = read_inference(self._repository, model, headers, body)
            await respond(send, await _answered(question, receive))
        elif (route := self._repository.route(path)) is not None:
            _allow(method, "POST")
            route.model.check_room()
            _, body = await self._read(scope, receive)
            await respond(send, await _answered(read_pipeline(route, body), receive))
        else:
            address, found = find(path)
            _allow(method, address.method)
            body = b""
            if method == "POST":
                _, body = await self._read(scope, receive)
            await respond(send, await address.answer(Visit(self._repository, found, body)))

    def _model(self, words: list[str]) -> ServedModel:
        """Return the model of an address: its name, or name, `versions`, version."""
        if len(words) == 3 and words[1] == "versions":
            return self._repository.model(words[0], words[2])
        if len(words) != 1:
            raise Refusal(404, "Not Found")
        return self._repository.model(words[0])

    async def _read(
        self, scope: MutableMapping[str, Any], receive: Receive
    ) -> tuple[Headers, bytes]:
        """Return the headers and the body of a request."""
        headers = dict(scope["headers"])
        return headers, await read_body(receive, headers, self._most_bytes)


async def _answered(question: Question, receive: Receive) -> Answer:
    """Return the response to a request, which a thread makes."""
    question.model.is_free(None)  # counted: who else asks does not ask alone
    return question.write(await question.model.answer(question.ask, _gone(receive)))


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
