"""The OpenAPI document of a server: what its addresses and its models say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import tvm_sparse
from tvm_sparse.serve.address import Address
from tvm_sparse.serve.deployment import Route
from tvm_sparse.serve.openapi.bodies import body_example, body_schemas, refer_to_body
from tvm_sparse.serve.openapi.documents import document_schemas
from tvm_sparse.serve.openapi.inference import request_example, request_schema, response_schema
from tvm_sparse.serve.openapi.parts import TEXT, Schema, either, refer
from tvm_sparse.serve.refusal import REASONS
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel

_JSON = "application/json"
_ABOUT = (
    "Texts in, answers out, in the Open Inference Protocol, version 2, and in the JSON of "
    "DeepSparse's pipelines. Tensors may also follow the JSON of an inference request in binary, "
    "and what is at /v2/models/{name} is at /v2/models/{name}/versions/1 too."
)


def describe_api(repository: Repository, addresses: Iterable[Address]) -> dict[str, Any]:
    """Return the OpenAPI document, version 3.1.

    Parameters
    ----------
    repository : Repository
        Whose models have addresses of their own.
    addresses : iterable of Address
        The others.
    """
    models, routes = dict(repository.models), dict(repository.routes)
    paths: dict[str, Any] = {}
    for path, route in routes.items():
        paths[path] = {"post": _ask(route)}
    asked = {route.model.name: route for route in routes.values()}
    for name, model in models.items():
        paths[f"/v2/models/{name}/infer"] = {"post": _infer(model, asked.get(name))}
    config = repository.config
    controlled = config is not None and config.control.load_unload
    for one in addresses:
        if one.tag and (controlled or one.tag != "control"):
            paths.setdefault(one.path, {})[one.method.lower()] = _look(one, list(models))
    return {
        "openapi": "3.1.0",
        "info": {"title": "tvm_sparse", "version": tvm_sparse.__version__, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": {**document_schemas(), **body_schemas()}},
    }


def _ask(route: Route) -> dict[str, Any]:
    task = route.card.task
    asked, answered = refer_to_body(task)
    return {
        "tags": ["pipelines"],
        "operationId": f"predict_{_identifier(route.card.path)}",
        "summary": f"{route.card.name}: {task}",
        "requestBody": _content(asked, body_example(task)),
        "responses": _responses(answered),
    }


def _infer(model: ServedModel, route: Route | None) -> dict[str, Any]:
    task = route.card.task if route else None
    asked, answered = request_schema(model.signature, task), response_schema(model.signature)
    if task is not None:  # pipeline JSON is told apart by the body
        body, reply = refer_to_body(task)
        asked, answered = either(asked, body), either(answered, reply)
    responses = _responses(answered)
    # JSON with binary data behind it, where that is asked for.
    responses["200"]["content"]["application/octet-stream"] = {}
    return {
        "tags": ["inference"],
        "operationId": f"infer_{_identifier(model.name)}",
        "summary": f"{model.name}: {task or 'tensors'}",
        "requestBody": _content(asked, request_example(model.signature)),
        "responses": responses,
    }


def _look(one: Address, models: list[str]) -> dict[str, Any]:
    known: dict[str, Schema] = {"name": {"enum": models}, "version": {"enum": ["1"]}}
    if one.tag == "control":  # one that is not loaded may be named
        known["name"] = TEXT
    names = re.findall(r"{(\w+)}", one.path)
    found: dict[str, Any] = {
        "tags": [one.tag],
        "operationId": f"{one.method.lower()}_{_identifier(one.path)}",
        "summary": one.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": known[name]} for name in names
        ],
        "responses": _responses(one.says),
    }
    if one.asks:
        found["requestBody"] = {**_content(refer(one.asks), {}), "required": False}
    return found


def _content(schema: Schema, example: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {_JSON: {"schema": schema, "example": example}}}


def _responses(answered: Schema | str) -> dict[str, Any]:
    """Return the responses: of a schema, of one of that name, or of a media type."""
    errors = {
        str(status): {"description": reason, "content": {_JSON: {"schema": refer("Error")}}}
        for status, reason in REASONS.items()
    }
    if answered == "":  # yes and no
        plain = {"200": {"description": "yes, or done"}, "400": {"description": "no"}}
        return {**errors, **plain}
    if isinstance(answered, str) and "/" in answered:
        content = {answered: {"schema": TEXT if answered.startswith("text/") else {}}}
    else:
        schema = refer(answered) if isinstance(answered, str) else answered
        content = {_JSON: {"schema": schema}}
    return {"200": {"description": "the answer", "content": content}, **errors}


def _identifier(path: str) -> str:
    return re.sub(r"\W+", "_", path).strip("_")
