"""Measurements kept in the cache, one entry each, and never mixed between machines.

The key of an entry holds the machine, so that a cache shared by several keeps what each measured.
What another machine measured is found all the same and refused with the reason, so that nobody
wonders why a point that "is there" is measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from tvm_sparse.cache.store import Cache, CacheEntry
from tvm_sparse.errors import CacheError
from tvm_sparse.progress import Progress, silent
from tvm_sparse.records.read import Record, check_record, read_record
from tvm_sparse.records.write import json_text
from tvm_sparse.tuning.machine import MachineId, this_machine

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_FILE = "record.json"
_KIND = "bench"


@dataclass(frozen=True)
class Kept:
    """One measurement as it is kept.

    Attributes
    ----------
    what, created
        Kind of measurement; ISO 8601 in UTC.
    machine
        What it was measured on.
    identity
        Everything the result depends on, but for the machine.
    data
        The result.
    """

    schema_version: Literal[2] = field(default=2, kw_only=True)
    what: str
    created: str
    machine: MachineId
    identity: dict[str, Any]
    data: dict[str, Any]


class Records:
    """Reads and writes measurements, in the cache under the kind "bench".

    Parameters
    ----------
    cache : Cache
        Where they lie.
    warn : callable
        Receives one line for each record that cannot be used.
    machine : MachineId, optional
        The machine they are for; this one by default.
    """

    def __init__(
        self, cache: Cache, warn: Progress = silent, machine: MachineId | None = None
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
            {"what": what, "identity": dict(identity), "machine": asdict(self.machine)}
        )

    def load(self, what: str, identity: Mapping[str, Any], kind: type[Record]) -> Record | None:
        """Return what was measured, None when nothing usable was.

        A damaged record is named and counts as missing. One that another machine measured is
        refused: it is named in `refused`.

        Parameters
        ----------
        what : str
            Kind of measurement.
        identity : mapping
            JSON-ready; everything the result depends on, but for the machine.
        kind : type
            The dataclass that was saved.
        """
        key = self.key(what, identity)
        entry = self.cache.get(_KIND, key)
        if entry is None:
            return None
        try:
            kept = read_record(entry.file(_FILE), Kept, CacheError, "")
            if mismatch := self.machine.mismatch(asdict(kept.machine)):
                raise CacheError(f"it was measured on another machine: {mismatch}")
            return check_record(kept.data, kind, f"the {what}", CacheError)
        except CacheError as error:
            self._warn(f"record {_KIND}/{key} cannot be used and is measured again: {error}")
            return None

    def save(
        self,
        what: str,
        identity: Mapping[str, Any],
        data: DataclassInstance,
        spec: Mapping[str, Any] | None = None,
    ) -> str:
        """Keep a measurement and return its key; lists of the cache's contents show `spec`."""
        key = self.key(what, identity)
        machine = asdict(self.machine)
        text = json_text(
            Kept(
                what=what,
                created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                machine=self.machine,
                identity=dict(identity),
                data=asdict(data),
            )
        )
        with self.cache.create(_KIND, key, needed_bytes=len(text)) as staging:
            (staging.path / _FILE).write_text(text, encoding="utf-8")
            staging.manifest.update(
                build=what,
                isa=self.machine.isa,
                spec=dict(spec or {}),
                machine=machine,
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
