"""Notice that something else wants the cores while something is measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

_PROC = Path("/proc")
#: Waiting for longer than this share of the time spoils a measurement.
MOST_WAITING = 0.2


class Contention:
    """Watches from its creation on.

    How long the threads of the measured processes were ready to run and did not tells, where Linux
    does: whoever waits for a core that is none of theirs disturbs nothing. Else it is the time in
    which any task of the system waited for one, Linux's pressure stall information.

    Parameters
    ----------
    pids : sequence of int
        The processes that are measured; they take turns.
    proc : Path
        Where the system tells; one that does not is taken to be quiet.
    """

    def __init__(self, pids: Sequence[int] = (), proc: Path = _PROC) -> None:
        self._pids, self._proc = pids, proc
        self._begin_s, self._waited_s = time.monotonic(), _pressure_s(proc)
        self._delays_s = _delays_s(proc, pids)

    @property
    def share(self) -> float:
        """Share of the time since then in which a task had to wait for a core, 0..1."""
        elapsed_s = time.monotonic() - self._begin_s
        delays_s = _delays_s(self._proc, self._pids)
        waited_s = self._own_s(delays_s) if delays_s else _pressure_s(self._proc) - self._waited_s
        return min(1.0, waited_s / max(elapsed_s, 1e-9))

    @property
    def is_high(self) -> bool:
        """Whether that is too much to rely on what was measured meanwhile."""
        return self.share > MOST_WAITING

    def _own_s(self, delays_s: dict[tuple[int, str], float]) -> float:
        """Return for how long the measured processes waited: each for its slowest thread."""
        slowest = dict.fromkeys(self._pids, 0.0)
        for (pid, thread), delay_s in delays_s.items():
            waited_s = delay_s - self._delays_s.get((pid, thread), 0.0)
            slowest[pid] = max(slowest[pid], waited_s)
        return sum(slowest.values())


def _pressure_s(proc: Path) -> float:
    """Return the seconds in which some task waited since the system started; 0 if unknown."""
    try:
        some = (proc / "pressure" / "cpu").read_text(encoding="ascii").splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0


def _delays_s(proc: Path, pids: Sequence[int]) -> dict[tuple[int, str], float]:
    """Return for how long each thread waited for a core so far; nothing where it is unknown."""
    found = {}
    for pid in pids:
        for path in (proc / str(pid) / "task").glob("*/schedstat"):
            try:
                _ran, waited_ns, _slices = path.read_text(encoding="ascii").split()
                found[pid, path.parent.name] = int(waited_ns) / 1e9
            except (OSError, ValueError):
                continue
    return found
