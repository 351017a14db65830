"""What a diagnosis says of the places where files are kept."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tvm_sparse.diagnosis.record import Finding
from tvm_sparse.processes.temporary import PREFIX
from tvm_sparse.words import counted

#: What importing BERT-base and two builds of it take, rounded up.
_ROOM_BYTES = 2 << 30


def look_at_places(cache_root: Path, entries: int, size_bytes: int) -> Iterator[Finding]:
    """Yield the findings.

    Parameters
    ----------
    cache_root : Path
        Where the cache is.
    entries, size_bytes : int
        What it holds.
    """
    held = f"{counted(entries, 'entry')}, {size_bytes / 1e6:.0f} MB"
    yield _look_at_place("cache", cache_root, held, "name another with --cache-dir")
    # The command line has a place of its own there.
    temporary = Path(tempfile.gettempdir())
    if temporary.name.startswith(PREFIX):
        temporary = temporary.parent
    yield _look_at_place("temporary files", temporary, "", "name another place with TMPDIR")


def _look_at_place(subject: str, place: Path, held: str, remedy: str) -> Finding:
    """Return whether files can be written to a directory, or it can be made, and loaded."""
    existing = next(path for path in (place, *place.parents) if path.exists())
    found = f"{place}{held and ', '}{held}"
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(subject, "broken", f"{found}, cannot be written", remedy)
    free = shutil.disk_usage(existing).free
    found += f", {free / 1e9:.1f} GB free"
    if subject == "cache" and os.statvfs(existing).f_flag & os.ST_NOEXEC:
        return Finding(subject, "broken", f"{found}, mounted noexec: no build loads", remedy)
    if free < _ROOM_BYTES:
        return Finding(
            subject,
            "note",
            found,
            f"a model of BERT-base's size wants 2 GB: make room, or {remedy}",
        )
    return Finding(subject, "ok", found)
