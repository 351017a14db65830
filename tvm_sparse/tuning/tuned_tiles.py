"""The tuned tiles of this machine, kept among its records."""

from __future__ import annotations

from typing import Any

from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.tiles import NO_TILES, Tiles
from tvm_sparse.tuning.records import Records

_WHAT = "tiles"


def load_tiles(records: Records) -> Tiles:
    """Return what tuning found for the kernels as they are now; nothing if nobody tuned."""
    return records.load(_WHAT, _identity(), Tiles) or NO_TILES


def save_tiles(records: Records, tiles: Tiles) -> None:
    """Keep tiles beside those that are kept already; for the same product they win."""
    records.save(_WHAT, _identity(), load_tiles(records).updated(tiles))


def _identity() -> dict[str, Any]:
    return {"code": code_fingerprint("race")}
