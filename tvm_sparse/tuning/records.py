"""Measurements kept in the cache, one entry each, and never mixed between machines.

The key of an entry holds the machine, so that a cache shared by several keeps what each measured.
What another machine measured is found all the same and refused with the reason, so that nobody
wonders why a point that "is there" is measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import cache as memoize
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tvm_sparse
from tvm_sparse.cache.store import Cache, CacheEntry
from tvm_sparse.tuning.machine import MachineId, this_machine

SCHEMA_VERSION = 1
_FILE = "record.json"
_KIND = "bench"
#: The code that decides how fast a kernel is, what a machine reaches, how fast a build is.
KERNEL_CODE = (
    *("kernels", "host.py", "target.py", "tiles.py"),
    *("tuning/kernel_job.py", "tuning/micro_benchmark.py", "tuning/pace.py"),
)
MACHINE_CODE = ("bench/machine.py", "host.py", "target.py")
BUILD_CODE = ("compiler", "kernels", "passes", "sparsity", "host.py", "target.py", "tiles.py")


class Records:
    """Reads and writes measurements.

    Parameters
    ----------
    cache : Cache
        Where they lie, under the kind "bench".
    warn : callable
        Receives one line for each record that cannot be used.
    machine : MachineId, optional
        The machine they are for; this one by default.
    """

    def __init__(
        self,
        cache: Cache,
        warn: Callable[[str], None] = lambda line: None,
        machine: MachineId | None = None,
    ) -> None:
        self.cache, self.machine = cache, machine or this_machine()
        self._warn = warn
        self._refused: dict[str, str] = {}

    @property
    def refused(self) -> list[str]:
        """Why records that were met cannot be compared with this machine's, one line each."""
        return list(self._refused.values())

    def key(self, what: str, identity: Mapping[str, Any]) -> str:
        """Return the key of a measurement on this machine."""
        return Cache.key(
            {"what": what, "identity": dict(identity), "machine": self.machine.to_json()}
        )

    def load(self, what: str, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what was measured, None when nothing usable was.

        A damaged record is named and counts as missing. One that another machine measured is
        refused: it is named in `refused`.

        Parameters
        ----------
        what : str
            Kind of measurement.
        identity : mapping
            JSON-ready; everything the result depends on, but for the machine.
        """
        key = self.key(what, identity)
        entry = self.cache.get(_KIND, key)
        if entry is None:
            return None
        try:
            document = json.loads(entry.file(_FILE).read_text(encoding="utf-8"))
            problem = self.problem(document)
            data = document["data"] if not problem else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problem, data = f"it is no record ({type(error).__name__}: {error})", None
        if data is None:
            self._warn(f"record {_KIND}/{key} cannot be used and is measured again: {problem}")
            return None
        return dict(data)

    def problem(self, document: Mapping[str, Any]) -> str:
        """Say why a record cannot stand beside this machine's; empty if it can."""
        found = document.get("schema_version")
        if found != SCHEMA_VERSION:
            return f"it has schema version {found}, {SCHEMA_VERSION} is needed"
        mismatch = self.machine.mismatch(document["machine"])
        return f"it was measured on another machine: {mismatch}" if mismatch else ""

    def save(
        self,
        what: str,
        identity: Mapping[str, Any],
        data: Mapping[str, Any],
        spec: Mapping[str, Any] | None = None,
    ) -> str:
        """Keep a measurement and return its key.

        Parameters
        ----------
        what, identity
            As `load` takes them.
        data : mapping
            JSON-ready result.
        spec : mapping, optional
            Model and sparsity, for lists of the cache's contents.
        """
        key = self.key(what, identity)
        document = {
            "schema_version": SCHEMA_VERSION,
            "what": what,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": self.machine.to_json(),
            "identity": dict(identity),
            "data": dict(data),
        }
        text = json.dumps(document, allow_nan=False)
        with self.cache.create(_KIND, key, needed_bytes=len(text)) as staging:
            (staging.path / _FILE).write_text(text, encoding="utf-8")
            staging.manifest.update(
                build=what,
                isa=self.machine.isa,
                spec=dict(spec or {}),
                machine=self.machine.to_json(),
                subject=Cache.key({"what": what, "identity": dict(identity)}),
            )
        return key

    def note_foreign(self, what: str, identities: list[Mapping[str, Any]]) -> None:
        """Look for measurements of the same things by other machines, and note the refusals."""
        subjects = {Cache.key({"what": what, "identity": dict(i)}) for i in identities}
        for entry in self.cache.ls(_KIND):
            if not entry.problem and entry.manifest.get("subject") in subjects:
                self._note(entry)

    def _note(self, entry: CacheEntry) -> None:
        mismatch = self.machine.mismatch(entry.manifest.get("machine") or {})
        if mismatch:
            self._refused[entry.key] = (
                f"record {_KIND}/{entry.key} is left out: it was measured on another machine "
                f"({mismatch})"
            )


@memoize
def code_fingerprint(rooms: tuple[str, ...]) -> str:
    """Return a hash of this package's source in the given rooms, and of TVM's version.

    Parameters
    ----------
    rooms : tuple of str
        Directories or files below the package.
    """
    digest = hashlib.sha256(_tvm_version().encode())
    package = Path(tvm_sparse.__path__[0])
    for room in rooms:
        path = package / room
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:20]


def _tvm_version() -> str:
    try:
        return version("apache-tvm")
    except PackageNotFoundError:
        return "not installed"
