"""The pages of the server: files of this package, which load nothing from elsewhere."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import PurePath
from typing import Any

import tvm_sparse
from tvm_sparse.serve.messages import Answer
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository

#: Nothing that a model answers can become more than text.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)
_KINDS = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
}
#: Colours and tables are those of the report of a study.
_STYLE = ("tvm_sparse.report", "tvm_sparse.serve")


def page_file(name: str) -> Answer:
    """Return a file of the pages.

    Raises
    ------
    Refusal
        There is none of that name.
    """
    found = _files().get(name)
    if found is None:
        raise Refusal(404, "Not Found")
    return found


def page_models(repository: Repository) -> dict[str, Any]:
    """Return what the page shows of the models, those that take texts."""
    cards = [route.card for route in repository.routes.values()]
    config = repository.config
    places = {one.name: place for place, one in enumerate(config.models if config else ())}
    return {
        "version": tvm_sparse.__version__,
        "loading": sorted(repository.expected),
        "models": sorted(cards, key=lambda card: places.get(card.name, len(places))),
    }


@functools.cache
def _files() -> dict[str, Answer]:
    """Read all files, once."""
    folder = resources.files("tvm_sparse.serve") / "page"
    texts = {one.name: one.read_text(encoding="utf-8") for one in folder.iterdir()}
    styles = (resources.files(room) / "page" / "style.css" for room in _STYLE)
    texts["style.css"] = "".join(one.read_text(encoding="utf-8") for one in styles)
    return {
        name: Answer(text.encode(), kind=_KINDS[PurePath(name).suffix], more=_HEADERS)
        for name, text in texts.items()
    }
