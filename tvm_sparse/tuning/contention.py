"""Notice that something else wants the cores while something is measured."""

from __future__ import annotations

import time
from pathlib import Path

#: Linux's pressure stall information: time in which some task waited for a core.
PRESSURE_FILE = Path("/proc/pressure/cpu")
#: Waiting for longer than this share of the time spoils a measurement.
_MOST_WAITING = 0.2


class Contention:
    """Watches from its creation on; a system that does not tell at `path` is taken to be quiet."""

    def __init__(self, path: Path = PRESSURE_FILE) -> None:
        self._path = path
        self._begin_s, self._waited_s = time.monotonic(), _waited_s(path)

    @property
    def share(self) -> float:
        """Share of the time since then in which a task had to wait for a core, 0..1."""
        elapsed_s = time.monotonic() - self._begin_s
        return min(1.0, (_waited_s(self._path) - self._waited_s) / max(elapsed_s, 1e-9))

    @property
    def is_high(self) -> bool:
        """Whether that is too much to rely on what was measured meanwhile."""
        return self.share > _MOST_WAITING


def _waited_s(path: Path) -> float:
    """Return the seconds in which some task waited since the system started; 0 if unknown."""
    try:
        some = path.read_text(encoding="ascii").splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0
