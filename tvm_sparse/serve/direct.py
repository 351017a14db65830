"""Requests that go from the parser of HTTP to their model, and past the application.

Most of what a short request costs is what lies between the two. So what the event loop may answer
itself (`serve.at_once`) goes there and back in one call, and what a thread answers takes one task.
What finds no place is refused before its body is read; where there is an access log, a small
request afterwards. All else goes through the application.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Hashable
from typing import NamedTuple

from tvm_sparse.serve.access_log import Entry, current
from tvm_sparse.serve.at_once import Busy
from tvm_sparse.serve.deployment import Route
from tvm_sparse.serve.messages import Answer, Headers, on_the_wire, refused
from tvm_sparse.serve.questions import Question, read_inference, read_pipeline
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.thread_turns import Gone

#: Around the name of a model, in an address without versions.
_BEFORE, _BEHIND = b"/v2/models/", b"/infer"
#: Where errors of the application go, too.
_log = logging.getLogger("uvicorn.error")


class Target(NamedTuple):
    """Where a request goes.

    Attributes
    ----------
    url : bytes
        As it was sent.
    model : ServedModel
        Whom it asks.
    route : Route or None
        Where the model is asked in the words of its pipeline, if the request goes there.
    """

    url: bytes
    model: ServedModel
    route: Route | None = None


class Later(NamedTuple):
    """A request that has been read, and needs a thread.

    Attributes
    ----------
    question : Question
        What it asks.
    entry : Entry or None
        What the access log has of it.
    """

    question: Question
    entry: Entry | None


class Direct:
    """Answers requests to models.

    Parameters
    ----------
    repository : Repository
        What is served.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def find(self, method: bytes, url: bytes) -> Target | None:
        """Return where a request goes; None where that is no model, or not written plainly."""
        if method != b"POST":
            return None
        if url.startswith(_BEFORE) and url.endswith(_BEHIND):
            name = url[len(_BEFORE) : -len(_BEHIND)].decode("latin-1")
            model = self._repository.models.get(name)
            return None if model is None else Target(url, model)
        route = self._repository.routes.get(url.decode("latin-1"))
        return None if route is None else Target(url, route.model, route)

    def refuse(self, target: Target) -> bytes | None:
        """Return what goes over the wire to a request that finds no place; None where it does."""
        if self._repository.access_log is not None:
            return None  # it is written down the longer way
        try:
            target.model.check_room()
        except Refusal as error:
            return _refusal(error.status, error.message)
        return None

    def answer(
        self, target: Target, headers: Headers, body: bytes, who: Hashable
    ) -> Answer | Later:
        """Return the answer to a request, or what `answer_later` takes where it needs a thread.

        Parameters
        ----------
        target : Target
            Where it goes.
        headers, body : dict, bytes
            Of the request; the body is small, and not packed.
        who : hashable
            The connection; None where the request may not be answered in the event loop.
        """
        free = target.model.is_free(who)
        entry = self._entry(target, body)
        token = current.set(entry)
        try:
            question = self._read(target, headers, body)
            answer = _at_once(question) if free else None
        except Refusal as error:
            answer = refused(error)
        except Exception as error:  # of ours: the server goes on
            answer = _failed(error)
        finally:
            current.reset(token)
        if answer is None:
            return Later(question, entry)
        self._write_down(entry, answer)
        return answer

    async def answer_later(self, later: Later, gone: Gone) -> Answer | None:
        """Return the answer to a request, which a thread makes; None if the client has left.

        Parameters
        ----------
        later : Later
            The request.
        gone : callable
            Returns what is awaited until the client has left.
        """
        (question, entry), answer = later, None
        current.set(entry)  # of the task
        try:
            answer = question.write(await question.model.answer(question.ask, gone))
        except Refusal as error:
            told = refused(error)
            answer = None if error.reason == "CANCELED" else told
        except Exception as error:
            answer = _failed(error)
        finally:
            self._write_down(entry, answer)
        return answer

    def _entry(self, target: Target, body: bytes) -> Entry | None:
        """Return what the access log has of a request, if there is one."""
        if self._repository.access_log is None:
            return None
        return Entry("POST", target.url.decode("latin-1"), received=len(body))

    def _write_down(self, entry: Entry | None, answer: Answer | None) -> None:
        log = self._repository.access_log
        if entry is None or log is None:
            return
        if answer is not None:
            entry.status, entry.sent = answer.status, len(answer.body)
        log.write(entry)

    def _read(self, target: Target, headers: Headers, body: bytes) -> Question:
        if target.route is not None:
            return read_pipeline(target.route, body)
        return read_inference(self._repository, target.model, headers, body)


@functools.lru_cache(maxsize=64)
def _refusal(status: int, message: str) -> bytes:
    """Return what all those are told that find no place; often the same."""
    return on_the_wire(refused(Refusal(status, message)))


def _at_once(question: Question) -> Answer | None:
    """Return the answer to a question, None where it needs a thread after all."""
    try:
        return question.write(question.model.answer_now(question.ask))
    except Busy:
        return None


def _failed(error: Exception) -> Answer:
    """Return what a client is told of an error of ours, which is logged."""
    _log.error("Exception in the answer to a request\n", exc_info=error)
    return refused(Refusal(500, f"{type(error).__name__}: {error}"))
