"""What the server says without running a model: its addresses, and what is answered at each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tvm_sparse.serve.descriptions import (
    describe_config,
    describe_model,
    describe_repository,
    describe_server,
    describe_statistics,
)
from tvm_sparse.serve.inference import parse_json, read_parameters
from tvm_sparse.serve.messages import Answer, to_json
from tvm_sparse.serve.metrics import write_metrics
from tvm_sparse.serve.pages import page_file, page_models
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel

_METRICS = b"text/plain; version=0.0.4; charset=utf-8"


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
    """

    method: Literal["GET", "POST"]
    path: str
    answer: Callable[[Visit], Awaitable[Answer]]
    summary: str

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


def find(path: str) -> tuple[Address, dict[str, str]]:
    """Return the address of a path, and what stands for its braces.

    Raises
    ------
    Refusal
        There is none.
    """
    words = path.strip("/").split("/")
    for one in ADDRESSES:
        found = one.match(words)
        if found is not None:
            return one, found
    raise Refusal(404, "Not Found")


def _json(document: Any) -> Answer:
    return Answer(to_json(document))


def _yes_or_no(yes: bool) -> Answer:
    return Answer(b"", 200 if yes else 400)


async def _server(_visit: Visit) -> Answer:
    return _json(describe_server())


async def _live(_visit: Visit) -> Answer:
    return _yes_or_no(True)


async def _ready(visit: Visit) -> Answer:
    return _yes_or_no(visit.repository.ready)


async def _all_stats(visit: Visit) -> Answer:
    return _json(describe_statistics((await visit.repository.statistics()).models))


async def _model_stats(visit: Visit) -> Answer:
    name = visit.model().name
    counts = await visit.repository.statistics()
    return _json(describe_statistics({name: counts.models[name]}))


async def _model_ready(visit: Visit) -> Answer:
    loading = visit.words["name"] in visit.repository.expected
    return _yes_or_no(not loading and visit.model().ready)


async def _model_config(visit: Visit) -> Answer:
    return _json(describe_config(visit.model()))


async def _model(visit: Visit) -> Answer:
    return _json(describe_model(visit.model()))


async def _index(visit: Visit) -> Answer:
    only_ready = parse_json(visit.body).get("ready") is True if visit.body else False
    return _json(describe_repository(visit.repository, only_ready))


async def _load(visit: Visit) -> Answer:
    await visit.repository.load(visit.words["name"], _parameters(visit))
    return Answer(b"")


async def _unload(visit: Visit) -> Answer:
    _parameters(visit)  # those that Triton has mean nothing here
    await visit.repository.unload(visit.words["name"])
    return Answer(b"")


def _parameters(visit: Visit) -> dict[str, Any]:
    return read_parameters(parse_json(visit.body) if visit.body else {})


async def _metrics(visit: Visit) -> Answer:
    return Answer(write_metrics(await visit.repository.statistics()), kind=_METRICS)


async def _config(visit: Visit) -> Answer:
    config = visit.repository.configuration()
    return _json(asdict(config) if config else None)


async def _page(_visit: Visit) -> Answer:
    return page_file("index.html")


async def _page_file(visit: Visit) -> Answer:
    return page_file(visit.words["file"])


async def _page_models(visit: Visit) -> Answer:
    return _json(page_models(visit.repository))


_MODEL = "/v2/models/{name}"
_VERSION = f"{_MODEL}/versions/{{version}}"
_CONTROL = "/v2/repository/models/{name}"
#: The first that fits is taken.
ADDRESSES = (
    Address("GET", "/v2", _server, "the server's name, version and extensions"),
    Address("GET", "/v2/health/live", _live, "whether the server answers"),
    Address("GET", "/v2/health/ready", _ready, "whether every model has answered once"),
    Address("GET", "/v2/models/stats", _all_stats, "what happened to requests, of all models"),
    *(
        address
        for path in (_MODEL, _VERSION)
        for address in (
            Address("GET", path, _model, "inputs and outputs of a model"),
            Address("GET", f"{path}/ready", _model_ready, "whether a model has answered once"),
            Address("GET", f"{path}/config", _model_config, "a model's configuration"),
            Address("GET", f"{path}/stats", _model_stats, "what happened to a model's requests"),
        )
    ),
    Address("POST", "/v2/repository/index", _index, "names and states of all models"),
    Address("POST", f"{_CONTROL}/load", _load, "load a model"),
    Address("POST", f"{_CONTROL}/unload", _unload, "unload a model"),
    Address("GET", "/metrics", _metrics, "metrics in Prometheus' text format"),
    Address("GET", "/config", _config, "the configuration that is served"),
    Address("GET", "/", _page, "a page to ask all models of a task"),
    Address("GET", "/page/models", _page_models, "what the page shows of the models"),
    Address("GET", "/page/{file}", _page_file, "a file of the pages"),
)
