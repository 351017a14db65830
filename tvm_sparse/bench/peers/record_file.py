"""Records of comparisons on disk."""

from __future__ import annotations

import json
from pathlib import Path

from tvm_sparse.bench.peers.record import PeersRecord
from tvm_sparse.errors import ConfigError


def load_peers_record(path: Path) -> PeersRecord:
    """Read a record that `scripts/bench_peers.py` or `tvm-sparse compare --json` wrote.

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
