"""A content-keyed store of imported modules, compiled libraries and benchmark records.

    <root>/<kind>/<key>/manifest.json         readable, with size and sha256 of every file
    <root>/<kind>/<key>/<files>
    <root>/<kind>/.<key>-<random>.partial     an entry being written; moved into place when whole
    <root>/.locks/<name>.lock                 exists only while somebody holds it

Writers hold a lock on their partial directory. The kernel drops it when they die, however they
die, so the next writer can tell rubbish from work in progress and sweep it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tvm_sparse.cache import lock, manifest
from tvm_sparse.cache.root import cache_root
from tvm_sparse.errors import CacheError, TvmSparseError
from tvm_sparse.processes.directory import replace_directory
from tvm_sparse.processes.ownership import is_owned, own_directory
from tvm_sparse.progress import Progress, silent

KINDS = ("ir", "lib", "served", "bench")
SCHEMA_VERSION = 1
KEY_HEX_DIGITS = 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PARTIAL = ".partial"
# Some writers say so in words only: safetensors and TVM, and NumPy's `tofile` and `save`.
_DISK_FULL_TEXTS = ("No space left", " requested and ")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """One entry as its manifest describes it; `problem` says why it cannot be used, if so."""

    kind: str
    key: str
    path: Path
    manifest: dict[str, Any]
    problem: str = ""

    @property
    def size_bytes(self) -> int:
        """Bytes on disk, all files together."""
        return _tree_bytes(self.path)

    def file(self, name: str) -> Path:
        """Return the path of the entry's file `name`."""
        return self.path / name

    def matches(self, prefix: str) -> bool:
        """Whether its `key` or `kind/key` begins so."""
        return self.key.startswith(prefix) or f"{self.kind}/{self.key}".startswith(prefix)


@dataclass
class Staging:
    """An entry being written: put files under `path`, facts into `manifest`."""

    path: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    entry: CacheEntry | None = None


class Cache:
    """The store under one root directory, shared safely with other processes.

    Parameters
    ----------
    root : path-like or None
        Directory of the cache, see `cache_root`; created when first written to.
    on_warning : callable or None
        Receives one line for each entry found damaged; None sends it to the log.
    """

    def __init__(
        self, root: str | os.PathLike[str] | None = None, on_warning: Progress | None = None
    ) -> None:
        self.root = cache_root(root)
        self._warn = on_warning or log.warning

    @staticmethod
    def key(payload: Mapping[str, Any]) -> str:
        """Return the key of JSON-ready `payload`; equal contents give equal keys."""
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_HEX_DIGITS]

    def get(self, kind: str, key: str, full_check: bool = False) -> CacheEntry | None:
        """Return a verified entry, or None when there is none to use.

        A damaged entry is named in a warning and removed, so that the caller builds it anew.
        Files unchanged since their last check (size, times, inode) are not hashed again
        unless `full_check` is set.
        """
        path = self._entry_path(kind, key)
        if not path.is_dir():
            return None
        generation = manifest.generation(path)
        entry = _read_entry(kind, path)
        problem = entry.problem or manifest.verify(path, entry.manifest, full_check)
        if not problem:
            return entry
        self._warn(f"cache entry {kind}/{key} is damaged and will be rebuilt: {problem}")
        self._discard(path, generation)
        return None

    @contextmanager
    def create(self, kind: str, key: str, needed_bytes: int = 0) -> Iterator[Staging]:
        """Write an entry whole or not at all, replacing an older one of the same key.

        Parameters
        ----------
        kind, key : str
            Where the entry goes.
        needed_bytes : int
            Size the entry will have, if known: too small a disk is then refused at once.

        Yields
        ------
        Staging
            Its `entry` is set after the block ends without an exception.

        Raises
        ------
        CacheError
            The directory cannot be written or the disk is full.
        """
        final = self._entry_path(kind, key)
        staging = Staging(_beside(final))
        owner = -1
        try:
            self.sweep()
            with self._hold("store"):
                staging.path.mkdir(parents=True)
                owner = own_directory(staging.path)
            if needed_bytes > shutil.disk_usage(staging.path).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(staging.path))
            yield staging
            created = datetime.now(timezone.utc).isoformat(timespec="seconds")
            facts = {"schema_version": SCHEMA_VERSION, "created": created, **staging.manifest}
            sealed = manifest.seal(staging.path, {**facts, "kind": kind, "key": key})
            self._replace(final, manifest.generation(final), staging.path)
            staging.entry = CacheEntry(kind, key, final, sealed)
        except Exception as error:
            if not self._is_write_failure(error):
                raise
            raise self._explain(error, staging.path, needed_bytes) from error
        finally:
            shutil.rmtree(staging.path, ignore_errors=True)
            if owner >= 0:
                os.close(owner)

    @contextmanager
    def lock(
        self, kind: str, key: str, on_wait: Progress = silent, timeout_s: float | None = None
    ) -> Iterator[None]:
        """Keep other processes (and threads) from building the same entry; not reentrant.

        `create` does not take it, so a child process may create what its parent has locked. The
        entry need not exist; see `lock.hold`.

        Raises
        ------
        CacheError
            The cache cannot be written, or `timeout_s` passed.
        """
        self._entry_path(kind, key)
        with self._hold(f"{kind}-{key}", f"cache entry {kind}/{key}", on_wait, timeout_s):
            yield

    def ls(self, kind: str | None = None) -> list[CacheEntry]:
        """Return the entries, oldest first within a kind, without hashing their files."""
        entries: list[CacheEntry] = []
        for name in KINDS if kind is None else (_checked_kind(kind),):
            paths = [p for p in _children(self.root / name) if _NAME.fullmatch(p.name)]
            found = [_read_entry(name, path) for path in paths if path.is_dir()]
            entries += sorted(found, key=lambda e: (str(e.manifest.get("created")), e.key))
        return entries

    def info(self, prefix: str) -> CacheEntry:
        """Return the one entry whose `key` or `kind/key` begins with `prefix`.

        Raises
        ------
        CacheError
            No entry matches, or more than one.
        """
        matches = [entry for entry in self.ls() if entry.matches(prefix)]
        if len(matches) == 1:
            return matches[0]
        names = ", ".join(f"{e.kind}/{e.key}" for e in matches)
        what = f"which {len(matches)} entries match: {names}" if names else "which no entry matches"
        raise CacheError(
            f"cache entry {prefix!r} given, {what}; `tvm-sparse cache ls` lists what is there"
        )

    def clear(self, kind: str | None = None, prefix: str = "") -> list[CacheEntry]:
        """Remove the entries of `kind` that match `prefix`, all by default, and return them."""
        doomed = [entry for entry in self.ls(kind) if entry.matches(prefix)]
        self.remove(doomed)
        return doomed

    def remove(self, entries: Iterable[CacheEntry]) -> None:
        """Remove entries, and what writers that died left behind."""
        if self.root.is_dir():
            self.sweep()
        for entry in entries:
            self._discard(entry.path, manifest.generation(entry.path))

    def sweep(self) -> int:
        """Remove what writers that died left behind; return how many directories that were."""
        swept = 0
        with self._hold("store"):
            for path in [p for kind in KINDS for p in _children(self.root / kind)]:
                if path.name.endswith(_PARTIAL) and not is_owned(path):
                    shutil.rmtree(path, ignore_errors=True)
                    swept += 1
        return swept

    def _entry_path(self, kind: str, key: str) -> Path:
        if not _NAME.fullmatch(key):
            raise CacheError(f"cache key {key!r} given: use letters, digits, '.', '_' and '-'")
        return self.root / _checked_kind(kind) / key

    def _discard(self, path: Path, generation: tuple[int, ...]) -> None:
        try:
            self._replace(path, generation, None)
        except OSError as error:
            raise self._explain(error, path) from error

    def _replace(self, path: Path, generation: tuple[int, ...], fresh: Path | None) -> None:
        """Put `fresh` at `path`, or nothing unless another process has put a new entry there."""
        trash = _beside(path)
        with self._hold("store"):
            if fresh:
                replace_directory(fresh, path, trash)
            elif path.exists() and manifest.generation(path) == generation:
                path.rename(trash)
            manifest.sync(path.parent)
        shutil.rmtree(trash, ignore_errors=True)

    @contextmanager
    def _hold(
        self,
        name: str,
        label: str = "the cache",
        on_wait: Progress = silent,
        timeout_s: float | None = None,
    ) -> Iterator[None]:
        path = self.root / ".locks" / f"{name}.lock"
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.hold(path, label, on_wait, timeout_s))
            except OSError as error:
                raise self._explain(error, path) from error
            yield

    def _is_write_failure(self, error: Exception) -> bool:
        """Tell a disk that refuses our files from whatever else a caller's block may raise."""
        if isinstance(error, TvmSparseError):
            return False
        filename = str(getattr(error, "filename", None) or "")
        here = filename.startswith(str(self.root))
        return (isinstance(error, OSError) and here) or (_is_disk_full(error) and not filename)

    def _explain(self, error: Exception, path: Path, needed_bytes: int = 0) -> CacheError:
        """Say in one line why nothing could be written at or below `path`."""
        elsewhere = "pass --cache-dir or set TVM_SPARSE_CACHE to use another place"
        if not _is_disk_full(error):
            return CacheError(
                f"cannot write the cache at {self.root}: {getattr(error, 'strerror', error)} "
                f"({getattr(error, 'filename', None) or path}); {elsewhere}"
            )
        need = f"{needed_bytes / 1e6:.1f} MB are needed, " if needed_bytes else ""
        with suppress(OSError):
            need += f"{shutil.disk_usage(self.root).free / 1e6:.1f} MB are free, "
        return CacheError(
            f"disk full at the cache {self.root}: {need}{_tree_bytes(path) / 1e6:.1f} MB of "
            f"the entry were written and are removed again; free some space, or {elsewhere}"
        )


def _is_disk_full(error: Exception) -> bool:
    code = getattr(error, "errno", None)
    return code in (errno.ENOSPC, errno.EDQUOT) or any(t in str(error) for t in _DISK_FULL_TEXTS)


def _read_entry(kind: str, path: Path) -> CacheEntry:
    return CacheEntry(kind, path.name, path, *manifest.read(path))


def _checked_kind(kind: str) -> str:
    if kind not in KINDS:
        raise CacheError(f"cache kind {kind!r} given: use one of {', '.join(KINDS)}")
    return kind


def _beside(path: Path) -> Path:
    """Name a partial directory next to `path`, new on every call."""
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}{_PARTIAL}")


def _children(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []


def _tree_bytes(path: Path) -> int:
    total = 0
    for child in path.rglob("*"):
        with suppress(OSError):
            total += child.stat().st_size if child.is_file() else 0
    return total
