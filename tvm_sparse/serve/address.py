"""An address of the server, and a request at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from tvm_sparse.serve.messages import Answer
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel


@dataclass(frozen=True)
class Visit:
    """A request at an address.

    Attributes
    ----------
    repository : Repository
        What is served.
    words : dict of str to str
        What stands in the address where its pattern has braces.
    body : bytes
        Of the request.
    """

    repository: Repository
    words: dict[str, str]
    body: bytes = b""

    def model(self) -> ServedModel:
        """Return the model that the address names.

        Raises
        ------
        Refusal
            There is none, or not yet.
        """
        return self.repository.model(self.words["name"], self.words.get("version", "1"))


@dataclass(frozen=True)
class Address:
    """An address, and what is answered there.

    Attributes
    ----------
    method : {"GET", "POST"}
        Of HTTP.
    path : str
        Words in braces stand for any.
    answer : callable
        Answers a visit.
    summary : str
        What it is for, in a few words.
    tag : str
        What it belongs to in the description of the interface; empty for what is left out of it.
    says, asks : str
        Names of the schemas of the answer and of the body in `openapi.documents`. The answer may
        also be of a media type, or nothing but yes or no: empty.
    """

    method: Literal["GET", "POST"]
    path: str
    answer: Callable[[Visit], Awaitable[Answer]]
    summary: str
    tag: str = ""
    says: str = ""
    asks: str = ""

    def match(self, words: list[str]) -> dict[str, str] | None:
        """Return what stands for the braces in the words of a path; None where it is another."""
        pattern = self.path.strip("/").split("/")
        if len(pattern) != len(words):
            return None
        found = {}
        for ours, given in zip(pattern, words, strict=True):
            if ours.startswith("{"):
                found[ours[1:-1]] = given
            elif ours != given:
                return None
        return found
