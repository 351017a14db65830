"""Records of comparisons on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tvm_sparse.bench.peers.record import PeersRecord
from tvm_sparse.errors import BuildError, ConfigError


def save_peers_record(record: PeersRecord, path: Path) -> None:
    """Write a record as JSON; the file appears complete or not at all.

    Raises
    ------
    BuildError
        If the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(_dump(record.to_json()) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BuildError(f"{path} cannot be written: {error.strerror or error}") from None


def load_peers_record(path: Path) -> PeersRecord:
    """Read a record that `save_peers_record` wrote.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no record of this schema version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from None
    return PeersRecord.from_json(document, str(path))


def _dump(document: dict[str, Any]) -> str:
    """Return indented JSON with one line per result, which samples would make thousands."""
    results = ",\n  ".join(json.dumps(r, allow_nan=False) for r in document["results"])
    rest = json.dumps({**document, "results": []}, indent=1, allow_nan=False)
    return rest.replace('"results": []', f'"results": [\n  {results}\n ]', 1)
