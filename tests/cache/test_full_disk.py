"""A cache that cannot be written: one line that says so, and nothing half-written."""

from __future__ import annotations

import errno

import pytest
from cache_entries import fill, leftovers, write_and_raise

from tvm_sparse.cache import manifest
from tvm_sparse.cache.store import Cache
from tvm_sparse.errors import BuildError, CacheError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError('IoError(Os { code: 28, message: "No space left on device" })'),
        OSError("3000000 requested and 1048576 written"),
    ],
)
def test_full_disk_is_one_line(cache, error):
    with pytest.raises(CacheError) as caught:
        write_and_raise(cache, error, needed_bytes=1000)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"disk full at the cache {cache.root}: 0.0 MB are needed")
    assert "3.0 MB of the entry were written and are removed again" in message
    assert "--cache-dir" in message
    assert leftovers(cache) == []
    assert fill(cache).path.is_dir()


def test_full_disk_while_sealing(cache, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(manifest, "sync", full)
    with pytest.raises(CacheError, match="disk full"):
        fill(cache)
    assert leftovers(cache) == []


def test_entry_larger_than_the_disk_is_refused_before_writing(cache):
    with (
        pytest.raises(CacheError, match=r"1000000000000\.0 MB are needed, .* MB are free"),
        cache.create("ir", "k1", needed_bytes=10**18),
    ):
        pytest.fail("the block must not start")
    assert leftovers(cache) == []


def test_foreign_errors_pass_unchanged(cache, tmp_path):
    with pytest.raises(FileNotFoundError), cache.create("ir", "k1"):
        (tmp_path / "not there").read_text()
    elsewhere = OSError(errno.ENOSPC, "No space left on device", "/somewhere/else")
    with pytest.raises(OSError, match="somewhere"), cache.create("ir", "k1"):
        raise elsewhere
    with pytest.raises(BuildError, match="linker"), cache.create("ir", "k1"):
        raise BuildError("linker: No space left on device")


@pytest.mark.parametrize(
    "action",
    [Cache.sweep, fill, lambda cache: cache.lock("ir", "k1").__enter__()],
    ids=["sweep", "create", "lock"],
)
def test_unwritable_cache_is_one_line(tmp_path, action):
    (tmp_path / "file").write_text("a file where a directory is needed")
    cache = Cache(tmp_path / "file" / "cache")
    assert cache.get("ir", "k1") is None
    with pytest.raises(CacheError) as caught:
        action(cache)
    message = str(caught.value)
    assert message.startswith(f"cannot write the cache at {cache.root}: Not a directory")
    assert "\n" not in message
    assert "TVM_SPARSE_CACHE" in message


def test_writer_whose_directory_vanishes_is_told_so(cache):
    with pytest.raises(CacheError, match="cannot write the cache"), cache.create("ir", "k1") as s:
        (s.path / "sub" / "params.bin").write_bytes(b"no such directory")
    assert leftovers(cache) == []
