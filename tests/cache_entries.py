"""Cache entries to try things on."""

from __future__ import annotations

from tvm_sparse.cache.store import Cache, CacheEntry

CONTENT = bytes(range(256)) * 64


def fill(cache: Cache, key: str = "k1", kind: str = "ir", content: bytes = CONTENT) -> CacheEntry:
    with cache.create(kind, key) as staging:
        (staging.path / "params.bin").write_bytes(content)
        (staging.path / "module.json").write_text("{}")
        staging.manifest = {"model": {"name": "tiny"}}
    assert staging.entry is not None
    return staging.entry


def write_and_raise(cache: Cache, error: BaseException, needed_bytes: int = 0) -> None:
    with cache.create("ir", "k1", needed_bytes) as staging:
        (staging.path / "params.bin").write_bytes(bytes(3_000_000))
        raise error


def leftovers(cache: Cache) -> list[str]:
    """Everything in the cache but whole entries and empty directories."""
    found = [p.relative_to(cache.root).as_posix() for p in cache.root.rglob("*") if p.is_file()]
    whole = tuple(f"{e.kind}/{e.key}/" for e in cache.ls())
    return [name for name in found if not name.startswith(whole)]
