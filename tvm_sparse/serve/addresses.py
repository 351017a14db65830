"""What the server says without running a model: its addresses, and what is answered at each."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tvm_sparse.serve.address import Address, Visit
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
from tvm_sparse.serve.openapi.describe import describe_api
from tvm_sparse.serve.pages import page_file, page_models
from tvm_sparse.serve.refusal import Refusal

_METRICS = b"text/plain; version=0.0.4; charset=utf-8"


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
    return _json(describe_statistics(counts.of(name)))


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


async def _openapi(visit: Visit) -> Answer:
    return _json(describe_api(visit.repository, ADDRESSES))


async def _docs(_visit: Visit) -> Answer:
    return page_file("docs.html")


_MODEL = "/v2/models/{name}"
_VERSION = f"{_MODEL}/versions/{{version}}"
_CONTROL = "/v2/repository/models/{name}"
_SERVER, _MODELS, _CONTROLS = "server", "models", "control"
#: The first that fits is taken.
ADDRESSES = (
    Address("GET", "/v2", _server, "name, version and extensions", _SERVER, "Server"),
    Address("GET", "/v2/health/live", _live, "whether the server answers", _SERVER),
    Address("GET", "/v2/health/ready", _ready, "whether every model has answered once", _SERVER),
    Address("GET", "/v2/models/stats", _all_stats, "counts of all models", _MODELS, "Statistics"),
    *(
        address
        for path in (_MODEL, _VERSION)
        for address in (
            Address("GET", path, _model, "inputs and outputs of a model", _MODELS, "Model"),
            Address("GET", f"{path}/ready", _model_ready, "whether it has answered once", _MODELS),
            Address(
                "GET", f"{path}/config", _model_config, "its settings", _MODELS, "ModelSettings"
            ),
            Address(
                "GET",
                f"{path}/stats",
                _model_stats,
                "its counts",
                _MODELS,
                "Statistics",
            ),
        )
    ),
    Address(
        *("POST", "/v2/repository/index", _index, "names and states of all models", _MODELS),
        *("Index", "IndexRequest"),
    ),
    Address("POST", f"{_CONTROL}/load", _load, "load a model", _CONTROLS, "", "LoadRequest"),
    Address("POST", f"{_CONTROL}/unload", _unload, "unload a model", _CONTROLS, "", "LoadRequest"),
    Address("GET", "/metrics", _metrics, "metrics for Prometheus", _SERVER, "text/plain"),
    Address("GET", "/config", _config, "the configuration", _SERVER, "ServeConfig"),
    Address("GET", "/", _page, "a page to ask all models of a task", _SERVER, "text/html"),
    Address("GET", "/docs", _docs, "a page of this description", _SERVER, "text/html"),
    Address("GET", "/openapi.json", _openapi, "this description", _SERVER, "application/json"),
    Address("GET", "/page/models", _page_models, "what the page shows", _SERVER, "Page"),
    Address("GET", "/page/{file}", _page_file, "a file of the pages"),
)
