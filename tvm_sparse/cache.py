"""A content-keyed store of imported modules, compiled libraries and benchmark records.

    <root>/<kind>/<key>/manifest.json         readable, with size and sha256 of every file
    <root>/<kind>/<key>/<files>
    <root>/<kind>/.<key>-<random>.partial     an entry being written; moved into place when whole
    <root>/.locks/<name>.lock                 exists only while somebody holds it

Writers hold an flock on their partial directory. The kernel drops it when they die, however they
die, so the next writer can tell rubbish from work in progress and sweep it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tvm_sparse.errors import CacheError

KINDS = ("ir", "lib", "bench")
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
KEY_HEX_DIGITS = 20

_STAMPS = ".verified.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# A file changed within one clock tick of its last check keeps its time stamps; only older ones
# may stand in for a checksum.
_STAMP_AGE_NS = 2_000_000_000
_LOCK_POLL_S = 0.05

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
        Directory of the cache, created when first written to; None means `$TVM_SPARSE_CACHE`
        or `./cache`.
    on_warning : callable or None
        Receives one line for each entry found damaged; None sends it to the log.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        chosen = root or os.environ.get("TVM_SPARSE_CACHE") or "cache"
        self.root = Path(chosen).expanduser().absolute()
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
        identity = _identity(path)
        entry = _read_entry(kind, path)
        problem = entry.problem or _verify_files(entry, full_check)
        if not problem:
            return entry
        self._warn(f"cache entry {kind}/{key} is damaged and will be rebuilt: {problem}")
        self._discard(path, identity)
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
        staging = Staging(final.with_name(f".{key}-{secrets.token_hex(4)}.partial"))
        owner = -1
        try:
            self.sweep()
            with self._lock_file("store"):
                staging.path.mkdir(parents=True)
                owner = os.open(staging.path, os.O_RDONLY)
                fcntl.flock(owner, fcntl.LOCK_EX)
            free = shutil.disk_usage(staging.path).free
            if needed_bytes > free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(staging.path))
            yield staging
            manifest = _seal(staging, kind, key)
            self._swap(staging.path, final)
            staging.entry = CacheEntry(kind, key, final, manifest)
        except Exception as error:
            failure = self._explain(error, staging.path, max(needed_bytes, 0))
            if failure is error:
                raise
            raise failure from error
        finally:
            shutil.rmtree(staging.path, ignore_errors=True)
            if owner >= 0:
                os.close(owner)

    @contextmanager
    def lock(
        self,
        kind: str,
        key: str,
        on_wait: Callable[[str], None] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[None]:
        """Keep other processes (and threads) from building the same entry; not reentrant.

        `create` does not take it, so a child process may create what its parent has locked.

        Parameters
        ----------
        kind, key : str
            Entry to lock; it need not exist.
        on_wait : callable or None
            Called once, with a line that says who holds the lock, when there is a wait.
        timeout_s : float or None
            Seconds to wait before giving up; None waits as long as it takes.

        Raises
        ------
        CacheError
            The cache cannot be written, or `timeout_s` passed.
        """
        self._entry_path(kind, key)
        with self._lock_file(f"{kind}-{key}", f"{kind}/{key}", on_wait, timeout_s):
            yield

    def ls(self, kind: str | None = None) -> list[CacheEntry]:
        """Return the entries, oldest first within a kind, without hashing their files."""
        entries: list[CacheEntry] = []
        for name in KINDS if kind is None else (self._check_kind(kind),):
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
        matches = self._matching(prefix)
        if len(matches) != 1:
            names = ", ".join(f"{e.kind}/{e.key}" for e in matches)
            what = f"{len(matches)} entries match: {names}; give more" if names else "no such entry"
            raise CacheError(
                f"cache entry {prefix!r} given, {what}; `cache ls` lists what is there"
            )
        return matches[0]

    def clear(self, kind: str | None = None, prefix: str | None = None) -> list[CacheEntry]:
        """Remove the entries of `kind` or matching `prefix` (all by default) and return them."""
        doomed = self.ls(kind) if prefix is None else self._matching(prefix, kind)
        if self.root.is_dir():
            self.sweep()
        for entry in doomed:
            try:
                self._discard(entry.path, _identity(entry.path))
            except OSError as error:
                raise self._explain(error, entry.path) from error
        return doomed

    def sweep(self) -> int:
        """Remove what writers that died left behind; return how many directories that were."""
        swept = 0
        with self._lock_file("store"):
            for kind in KINDS:
                for path in _children(self.root / kind):
                    if path.name.endswith(".partial") and _is_ownerless(path):
                        shutil.rmtree(path, ignore_errors=True)
                        swept += 1
        return swept

    def _check_kind(self, kind: str) -> str:
        if kind not in KINDS:
            raise CacheError(f"cache kind {kind!r} given: use one of {', '.join(KINDS)}")
        return kind

    def _entry_path(self, kind: str, key: str) -> Path:
        if not _NAME.fullmatch(key):
            raise CacheError(f"cache key {key!r} given: use letters, digits, '.', '_' and '-'")
        return self.root / self._check_kind(kind) / key

    def _matching(self, prefix: str, kind: str | None = None) -> list[CacheEntry]:
        return [e for e in self.ls(kind) if f"{e.kind}/{e.key}".startswith(prefix)
                or e.key.startswith(prefix)]  # fmt: skip

    def _swap(self, source: Path, final: Path) -> None:
        """Move `source` to `final`, an older directory there out of the way first."""
        trash = final.with_name(f".{final.name}-{secrets.token_hex(4)}.partial")
        with self._lock_file("store"):
            if final.exists():
                final.rename(trash)
            source.rename(final)
            _fsync(final.parent)
        shutil.rmtree(trash, ignore_errors=True)

    def _discard(self, path: Path, identity: tuple[int, ...]) -> None:
        """Remove an entry unless another process has replaced it since `identity` was taken."""
        trash = path.with_name(f".{path.name}-{secrets.token_hex(4)}.partial")
        with self._lock_file("store"):
            if path.exists() and _identity(path) == identity:
                path.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)

    @contextmanager
    def _lock_file(
        self,
        name: str,
        label: str = "",
        on_wait: Callable[[str], None] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[None]:
        """Hold `.locks/<name>.lock`; its text tells waiting processes who we are."""
        path = self.root / ".locks" / f"{name}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = _try_lock(path)
            deadline = time.monotonic() + timeout_s if timeout_s is not None else float("inf")
            if handle is None and on_wait is not None:
                on_wait(f"waiting for {label}: {_holder(path)} is working on it")
            while handle is None:
                if time.monotonic() > deadline:
                    raise CacheError(
                        f"gave up on {label} in the cache at {self.root} after {timeout_s:g} s: "
                        f"{_holder(path)} is working on it; wait for it or end it"
                    )
                time.sleep(_LOCK_POLL_S)
                handle = _try_lock(path)
        except OSError as error:
            raise self._explain(error, path) from error
        try:
            yield
        finally:
            # Removed while still held; `_try_lock` notices a file that lost its name.
            path.unlink(missing_ok=True)
            os.close(handle)

    def _explain(self, error: Exception, path: Path, needed_bytes: int = 0) -> Exception:
        """Turn a failure to write below `path` into one line; return other errors as they are."""
        elsewhere = "pass --cache-dir or set TVM_SPARSE_CACHE to use another place"
        code = getattr(error, "errno", None)
        # Writers outside of Python (safetensors) report a full disk as text only.
        full = code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        if isinstance(error, CacheError):
            return error
        if full:
            written = _tree_bytes(path)
            need = f"{needed_bytes / 1e6:.1f} MB are needed, " if needed_bytes else ""
            with suppress(OSError):
                need += f"{shutil.disk_usage(self.root).free / 1e6:.1f} MB are free now, "
            return CacheError(
                f"disk full at the cache {self.root}: {need}{written / 1e6:.1f} MB of the new entry "
                f"were written and are removed again; free some space, or {elsewhere}"
            )
        filename = str(getattr(error, "filename", None) or "")
        if isinstance(error, OSError) and filename.startswith(str(self.root)):
            return CacheError(
                f"cannot write the cache at {self.root}: {error.strerror} ({filename}); {elsewhere}"
            )
        return error


def _seal(staging: Staging, kind: str, key: str) -> dict[str, Any]:
    """Checksum and sync every file of `staging`, then write its manifest; return it."""
    paths = sorted(p for p in staging.path.rglob("*") if p.is_file() and p.name != MANIFEST)
    with ThreadPoolExecutor(max_workers=4) as pool:
        digests = list(pool.map(_sha256, paths))
    files = {
        path.relative_to(staging.path).as_posix(): {"sha256": d, "size_bytes": path.stat().st_size}
        for path, d in zip(paths, digests, strict=True)
    }
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    manifest: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "created": created}
    manifest |= staging.manifest | {"kind": kind, "key": key, "files": files}
    manifest["manifest_sha256"] = _manifest_sha256(manifest)
    target = staging.path / MANIFEST
    target.write_text(json.dumps(manifest, indent=2) + "\n")
    for path in [*paths, target, *{p.parent for p in paths}, staging.path]:
        _fsync(path)
    return manifest


def _read_entry(kind: str, path: Path) -> CacheEntry:
    """Read the manifest at `path`; whatever is wrong with it becomes the entry's `problem`."""
    manifest: Any = {}
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        intact = manifest.get("manifest_sha256") == _manifest_sha256(manifest)
        problem = "" if intact else f"{MANIFEST} was edited"
    except FileNotFoundError:
        problem = f"{MANIFEST} is missing"
    except (OSError, ValueError, AttributeError) as error:
        manifest, problem = {}, f"{MANIFEST} cannot be read ({error})"
    return CacheEntry(kind, path.name, path, manifest, problem)


def _verify_files(entry: CacheEntry, full_check: bool) -> str:
    """Compare all files with the manifest; return what is wrong, empty when nothing is."""
    stamps: dict[str, list[int]] = {}
    with suppress(OSError, ValueError):
        stamps = {} if full_check else json.loads((entry.path / _STAMPS).read_text())
    now_ns = time.time_ns()
    seen: dict[str, list[int]] = {}
    problems, to_hash = [], []
    for name, facts in entry.manifest["files"].items():
        try:
            stat = entry.file(name).stat()
        except OSError as error:
            problems.append(f"{name} is missing ({error.strerror})")
            continue
        if stat.st_size != facts["size_bytes"]:
            change = "truncated" if stat.st_size < facts["size_bytes"] else "longer than written"
            problems.append(f"{name} is {change} ({stat.st_size} of {facts['size_bytes']} bytes)")
            continue
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        if stamps.get(name) != stamp:
            to_hash.append(name)
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < now_ns - _STAMP_AGE_NS:
            seen[name] = stamp
    if to_hash and not problems:
        try:
            with ThreadPoolExecutor(max_workers=4) as pool:
                digests = list(pool.map(_sha256, [entry.file(name) for name in to_hash]))
        except OSError as error:
            return f"{error.filename} cannot be read ({error.strerror})"
        wanted = [entry.manifest["files"][name]["sha256"] for name in to_hash]
        changed = [n for n, d, w in zip(to_hash, digests, wanted, strict=True) if d != w]
        problems += [f"{name} was edited (its checksum differs)" for name in changed]
    if seen != stamps and not problems:
        with suppress(OSError):  # a cache one may only read still works
            fresh = entry.path / f"{_STAMPS}.{secrets.token_hex(4)}"
            fresh.write_text(json.dumps(seen))
            fresh.replace(entry.path / _STAMPS)
    return ", ".join(problems)


def _manifest_sha256(manifest: Mapping[str, Any]) -> str:
    body = {name: value for name, value in manifest.items() if name != "manifest_sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def _identity(path: Path) -> tuple[int, ...]:
    """Tell one generation of an entry from the next by its manifest, or by its directory."""
    for candidate in (path / MANIFEST, path):
        with suppress(OSError):
            stat = candidate.stat()
            return stat.st_ino, stat.st_mtime_ns
    return ()


def _try_lock(path: Path) -> int | None:
    """Lock `path` and write who we are into it; None when somebody else holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last holder may have removed the file between our open and our flock.
        if os.fstat(handle).st_ino != path.stat().st_ino:
            raise BlockingIOError
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": shlex.join(sys.argv),
              "since": datetime.now().strftime("%H:%M:%S")}  # fmt: skip
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps(holder).encode())
    return handle


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text())
        return f"process {who['pid']} on {who['host']} ({who['command']}, since {who['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"


def _is_ownerless(path: Path) -> bool:
    """Whether no living process holds the partial directory `path`."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _children(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []


def _tree_bytes(path: Path) -> int:
    total = 0
    for child in path.rglob("*"):
        with suppress(OSError):
            total += child.stat().st_size if child.is_file() else 0
    return total
