"""What requests over HTTP ask of models, and how their answers are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tvm_sparse.serve.access_log import note
from tvm_sparse.serve.ask import Ask
from tvm_sparse.serve.deployment import Route
from tvm_sparse.serve.inference import (
    LENGTH_HEADER,
    parse_json,
    parse_request,
    read_request,
    write_response,
)
from tvm_sparse.serve.messages import JSON, Answer, Headers, pack, to_json
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.tensors import Tensor

_BINARY_TYPE = b"application/octet-stream"


class Question(NamedTuple):
    """A request to a model.

    Attributes
    ----------
    model : ServedModel
        Whom it asks.
    ask : Ask
        What is to be done.
    write : callable
        Returns the response for what came of it.
    """

    model: ServedModel
    ask: Ask
    write: Callable[[Any], Answer]


def read_inference(
    repository: Repository, model: ServedModel, headers: Headers, body: bytes
) -> Question:
    """Return what is asked at a model's address of the protocol.

    Parameters
    ----------
    repository, model : Repository, ServedModel
        The model, and what is served: the words of its pipeline are taken here, too.
    headers, body : dict, bytes
        Of the request.

    Raises
    ------
    Refusal
        It is no request, or none for this model.
    """
    length = headers.get(LENGTH_HEADER)
    if length is None:
        document = parse_json(body)
        route = repository.route_of(model)
        if route is not None and route.takes(document):
            return _in_pipeline_words(route, document)
        request = read_request(document, memoryview(b""))
    else:
        request = parse_request(body, length)
    note(id=request.id)
    accepted = headers.get(b"accept-encoding", b"").decode("latin-1")
    return Question(
        model, model.ask(request), lambda outputs: _written(model.name, request, outputs, accepted)
    )


def read_pipeline(route: Route, body: bytes) -> Question:
    """Return what is asked of a model in the words of its pipeline.

    Raises
    ------
    Refusal
        It is no JSON.
    """
    return _in_pipeline_words(route, parse_json(body))


def _in_pipeline_words(route: Route, document: dict[str, Any]) -> Question:
    ask = Ask(lambda: to_json(route.answer(document)), route.count(document))

    def write(answer: bytes) -> Answer:
        return Answer(answer, more=((b"server-timing", ask.ticket.timing()),))

    return Question(route.model, ask, write)


def _written(model: str, request: Request, outputs: dict[str, Tensor], accepted: str) -> Answer:
    """Return the response with a model's outputs, packed if the client accepts that."""
    body, json_bytes = write_response(model, request, outputs)
    more: tuple[tuple[bytes, bytes], ...] = ()
    if json_bytes is not None:
        more = ((LENGTH_HEADER, b"%d" % json_bytes),)
    if accepted:
        body, packing = pack(body, accepted)
        more += ((b"content-encoding", packing.encode()),) if packing else ()
    return Answer(body, kind=JSON if json_bytes is None else _BINARY_TYPE, more=more)
