"""The manifest of a cache entry: size and sha256 of every file, and the check against them.

A checksum of all of a model's weights takes about a second, on every run. So a file that passed
once is remembered by its size, times and inode in a small file beside the manifest, and hashed
again only when one of them changed. The change time cannot be set back by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

from tvm_sparse.errors import CacheError
from tvm_sparse.records.read import check_types, read_json
from tvm_sparse.records.write import json_text

MANIFEST = "manifest.json"

_STAMPS = ".verified.json"
# A file changed within one clock tick of its last check keeps its time stamps; only older ones
# may stand in for a checksum.
_STAMP_AGE_NS = 2_000_000_000
_HASH_THREADS = 4
_HASH_CHUNK_BYTES = 1 << 20


class _File(TypedDict):
    sha256: str
    size_bytes: int


class _Manifest(TypedDict):
    files: dict[str, _File]
    manifest_sha256: str


def seal(directory: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Checksum and sync every file below the directory of a complete entry, and write its manifest.

    Returns `facts`, JSON-ready values, then `files` {name: {sha256, size_bytes}} and
    `manifest_sha256`.
    """
    paths = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != MANIFEST)
    files = {
        path.relative_to(directory).as_posix(): {"sha256": d, "size_bytes": path.stat().st_size}
        for path, d in zip(paths, _sha256_of(paths), strict=True)
    }
    manifest = {**facts, "files": files}
    manifest["manifest_sha256"] = _own_sha256(manifest)
    target = directory / MANIFEST
    target.write_text(json_text(manifest), encoding="utf-8")
    for path in [*paths, target, *{p.parent for p in paths}, directory]:
        sync(path)
    return manifest


def read(directory: Path) -> tuple[dict[str, Any], str]:
    """Return the manifest of `directory` and what is wrong with it, empty when nothing is."""
    path = directory / MANIFEST
    if not path.exists():
        return {}, f"{MANIFEST} is missing"
    try:
        manifest = read_json(path, CacheError)
        check_types(manifest, _Manifest, str(path), CacheError)
    except CacheError as error:
        return {}, str(error).removeprefix(f"{directory}/")
    intact = manifest.get("manifest_sha256") == _own_sha256(manifest)
    return manifest, "" if intact else f"{MANIFEST} was edited"


def verify(directory: Path, manifest: Mapping[str, Any], full_check: bool = False) -> str:
    """Return every file of an entry that is missing, truncated or edited; empty when none is.

    `manifest` is as `read` returned it. A full check hashes those unchanged since the last one,
    too.
    """
    remembered: Any = {}
    with suppress(CacheError):
        remembered = {} if full_check else read_json(directory / _STAMPS, CacheError)
    if not isinstance(remembered, dict):
        remembered = {}
    settled_ns = time.time_ns() - _STAMP_AGE_NS
    stamps: dict[str, list[int]] = {}
    problems, unsure = [], []
    for name, facts in manifest["files"].items():
        try:
            stat = (directory / name).stat()
        except OSError as error:
            problems.append(f"{name} is missing ({error.strerror})")
            continue
        if stat.st_size != facts["size_bytes"]:
            change = "truncated" if stat.st_size < facts["size_bytes"] else "longer than written"
            problems.append(f"{name} is {change} ({stat.st_size} of {facts['size_bytes']} bytes)")
            continue
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        if remembered.get(name) != stamp:
            unsure.append(name)
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < settled_ns:
            stamps[name] = stamp
    if not problems:
        try:
            digests = _sha256_of([directory / name for name in unsure])
        except OSError as error:
            return f"{error.filename} cannot be read ({error.strerror})"
        for name, digest in zip(unsure, digests, strict=True):
            if digest != manifest["files"][name]["sha256"]:
                problems.append(f"{name} was edited (its checksum differs)")
    if stamps != remembered and not problems:
        with suppress(OSError):  # a cache one may only read still works
            fresh = directory / f"{_STAMPS}.{secrets.token_hex(4)}"
            fresh.write_text(json.dumps(stamps))
            fresh.replace(directory / _STAMPS)
    return ", ".join(problems)


def generation(directory: Path) -> tuple[int, ...]:
    """Tell an entry from one that replaced it, by the inode and time of its manifest."""
    for path in (directory / MANIFEST, directory):
        with suppress(OSError):
            stat = path.stat()
            return stat.st_ino, stat.st_mtime_ns
    return ()


def sync(path: Path) -> None:
    """Have the file or directory `path` written to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _own_sha256(manifest: Mapping[str, Any]) -> str:
    body = {name: value for name, value in manifest.items() if name != "manifest_sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sha256_of(paths: Sequence[Path]) -> list[str]:
    """Hash files side by side; hashlib lets go of the interpreter lock."""
    with ThreadPoolExecutor(max_workers=_HASH_THREADS) as pool:
        return list(pool.map(_sha256, paths))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_HASH_CHUNK_BYTES))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
