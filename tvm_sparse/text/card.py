"""The header of a model's card: whose it is, and under which license."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.model.text_facts import CardFacts
from tvm_sparse.records.yaml_file import parse_yaml

CARD_FILE = "README.md"
_FENCE = "---"
_MOST_CHARACTERS = 1 << 16


def read_card(folder: Path) -> CardFacts:
    """Return what the card in a model's directory says in its header.

    People write cards by hand: one without a header, or with one that is no YAML, says nothing.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        return CardFacts()
    with path.open(encoding="utf-8", errors="replace") as stream:
        begin, *rest = stream.read(_MOST_CHARACTERS).split(f"{_FENCE}\n", 2)
    if begin.strip("\ufeff \n") or len(rest) < 2:
        return CardFacts()
    try:
        header = parse_yaml(rest[0], str(path), TvmSparseError)
    except TvmSparseError:
        return CardFacts()
    if not isinstance(header, dict):
        return CardFacts()
    return CardFacts(
        license="".join(_texts(header.get("license"))[:1]),
        languages=_texts(header.get("language")),
        base_models=_texts(header.get("base_model")),
    )


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in values if isinstance(one, str))
