"""Requests that are answered where they are read, without a task of their own.

Most of what a short request costs is what lies between the parser of HTTP and the model. So what
the event loop may answer itself (`serve.at_once`) goes there and back in one call, and what finds
no place is refused before its body is read. All else goes through the application.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from dataclasses import dataclass

from tvm_sparse.serve.access_log import Entry, current
from tvm_sparse.serve.at_once import Busy
from tvm_sparse.serve.deployment import Route
from tvm_sparse.serve.messages import Answer, Headers, on_the_wire, refused
from tvm_sparse.serve.questions import read_inference, read_pipeline
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel

#: Around the name of a model, in an address without versions.
_BEFORE, _BEHIND = b"/v2/models/", b"/infer"


@dataclass(frozen=True, slots=True)
class Target:
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


class Direct:
    """Answers requests in one call, where that is possible.

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

    def answer(self, target: Target, headers: Headers, body: bytes, who: Hashable) -> Answer | None:
        """Return the answer to a request; None where it needs a thread.

        Parameters
        ----------
        target : Target
            Where it goes.
        headers, body : dict, bytes
            Of the request; the body is small, and not packed.
        who : hashable
            The connection.
        """
        if not target.model.is_free(who):
            return None
        log = self._repository.access_log
        if log is None:
            return self._answer(target, headers, body)
        entry = Entry("POST", target.url.decode("latin-1"), received=len(body))
        token = current.set(entry)
        try:
            answer = self._answer(target, headers, body)
        finally:
            current.reset(token)
        if answer is not None:
            entry.status, entry.sent = answer.status, len(answer.body)
            log.write(entry)
        return answer

    def pass_by(self, target: Target) -> None:
        """Take note of a request that is not to be answered here."""
        target.model.is_free(None)

    def _answer(self, target: Target, headers: Headers, body: bytes) -> Answer | None:
        try:
            if target.route is not None:
                question = read_pipeline(target.route, body)
            else:
                question = read_inference(self._repository, target.model, headers, body)
            return question.write(question.model.answer_now(question.ask))
        except Busy:
            return None
        except Refusal as error:
            return _refused(error)
        except Exception:  # of ours: the application says so
            return None


@functools.lru_cache(maxsize=64)
def _refusal(status: int, message: str) -> bytes:
    """Return what all those are told that find no place; often the same."""
    return on_the_wire(refused(Refusal(status, message)))


def _refused(error: Refusal) -> Answer:
    # Its frames hold the model, and somewhere hold the error: a circle that would keep a model
    # that is replaced.
    error.__traceback__ = None
    return refused(error)
