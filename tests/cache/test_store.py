"""The cache: whole or absent, shared between processes, damage noticed and named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from cache_entries import CONTENT, fill, leftovers, write_and_raise

from tvm_sparse.cache import manifest
from tvm_sparse.cache.store import Cache, CacheEntry
from tvm_sparse.errors import BuildError, CacheError

pytestmark = pytest.mark.unit


def age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files count as old enough for their time stamps to be trusted."""
    time.sleep(0.03)  # some ticks of the file system's clock
    monkeypatch.setattr(manifest, "_STAMP_AGE_NS", 0)


def start(code: str, cache: Cache, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(cache.root), *args], stdout=subprocess.PIPE, text=True
    )


def wait_for_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def test_key_depends_on_content_not_order():
    assert Cache.key({"a": 1, "b": (2, 3)}) == Cache.key({"b": [2, 3], "a": 1})
    assert Cache.key({"a": 1}) != Cache.key({"a": 2})


def test_root_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TVM_SPARSE_CACHE", str(tmp_path / "elsewhere"))
    assert Cache().root == tmp_path / "elsewhere"
    monkeypatch.delenv("TVM_SPARSE_CACHE")
    monkeypatch.chdir(tmp_path)
    assert Cache().root == tmp_path / "cache"


def test_reading_creates_nothing(cache):
    assert cache.get("ir", "k1") is None
    assert cache.ls() == []
    assert cache.clear() == []
    assert not cache.root.exists()


def test_written_entry_comes_back(cache, warnings_seen):
    written = fill(cache)
    entry = cache.get("ir", "k1")
    assert entry == written
    assert entry.file("params.bin").read_bytes() == CONTENT
    assert entry.manifest["model"] == {"name": "tiny"}
    assert entry.manifest["files"]["params.bin"]["size_bytes"] == len(CONTENT)
    assert (entry.path / "manifest.json").read_text().startswith('{\n "schema_version": 1,\n')
    assert warnings_seen == []
    assert leftovers(cache) == []


def test_second_create_replaces_the_first(cache):
    fill(cache, content=b"old")
    fill(cache, content=b"new")
    assert cache.get("ir", "k1").file("params.bin").read_bytes() == b"new"
    assert leftovers(cache) == []


def test_bad_kind_and_key_are_refused(cache):
    kinds = "ir, lib, served, bench"
    with pytest.raises(CacheError, match=f"cache kind 'irr' given: use one of {kinds}"):
        cache.get("irr", "k")
    with pytest.raises(CacheError, match="cache key"):
        cache.get("ir", "../outside")


def truncate(entry: CacheEntry) -> None:
    os.truncate(entry.file("params.bin"), 100)


def lengthen(entry: CacheEntry) -> None:
    with entry.file("params.bin").open("ab") as stream:
        stream.write(b"x")


def edit(entry: CacheEntry) -> None:
    """Flip a byte; size and modification time stay."""
    path = entry.file("params.bin")
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"\xff\xfe")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap_in_another_file(entry: CacheEntry) -> None:
    path = entry.file("params.bin")
    path.unlink()
    path.write_bytes(bytes(len(CONTENT)))


def edit_manifest(entry: CacheEntry) -> None:
    path = entry.path / "manifest.json"
    path.write_text(path.read_text().replace("tiny", "huge"))


@pytest.mark.parametrize("known_good", [False, True], ids=["first-get", "already-verified"])
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (truncate, "params.bin is truncated (100 of 16384 bytes)"),
        (lengthen, "params.bin is longer than written"),
        (edit, "params.bin was edited"),
        (swap_in_another_file, "params.bin was edited"),
        (lambda entry: entry.file("module.json").unlink(), "module.json is missing"),
        (edit_manifest, "manifest.json was edited"),
        (
            lambda entry: (entry.path / "manifest.json").write_text("{"),
            "is not valid JSON",
        ),
        (
            lambda entry: (entry.path / "manifest.json").write_text("[]"),
            "Expected object, got array",
        ),
        (
            lambda entry: (entry.path / "manifest.json").write_text('{"files": {"a": [1]}}'),
            "files.a: Expected object, got array",
        ),
        (lambda entry: (entry.path / "manifest.json").unlink(), "manifest.json is missing"),
    ],
)
def test_damage_is_named_and_discarded(
    cache, warnings_seen, monkeypatch, damage, named, known_good
):
    entry = fill(cache)
    if known_good:
        age(monkeypatch)
        assert cache.get("ir", "k1") is not None
        assert (entry.path / ".verified.json").exists()
    damage(entry)
    assert cache.get("ir", "k1") is None
    assert len(warnings_seen) == 1
    assert "cache entry ir/k1 is damaged and will be rebuilt" in warnings_seen[0]
    assert named in warnings_seen[0]
    assert cache.ls() == []
    assert leftovers(cache) == []
    fill(cache)
    assert cache.get("ir", "k1") is not None


def test_unchanged_files_are_hashed_once(cache, monkeypatch):
    hashed = []
    real = manifest._sha256
    monkeypatch.setattr(manifest, "_sha256", lambda path: hashed.append(path.name) or real(path))
    fill(cache)
    hashed.clear()
    cache.get("ir", "k1")
    cache.get("ir", "k1")
    assert sorted(hashed) == sorted(["params.bin", "module.json"] * 2)  # too young to trust
    age(monkeypatch)
    cache.get("ir", "k1")
    hashed.clear()
    assert cache.get("ir", "k1") is not None
    assert hashed == []
    assert cache.get("ir", "k1", full_check=True) is not None
    assert sorted(hashed) == ["module.json", "params.bin"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), BuildError("no")])
def test_interrupted_create_leaves_nothing(cache, error):
    fill(cache, content=b"old")
    with pytest.raises(type(error)):
        write_and_raise(cache, error)
    assert leftovers(cache) == []
    assert cache.get("ir", "k1").file("params.bin").read_bytes() == b"old"


def test_interrupt_while_sealing_leaves_nothing(cache, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "sync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(cache)
    assert cache.ls() == []
    assert leftovers(cache) == []


KILLED_WRITER = """
import sys, time
from tvm_sparse.cache.store import Cache
cache = Cache(sys.argv[1])
with cache.lock("ir", "k1"), cache.create("ir", "k1") as staging:
    (staging.path / "params.bin").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_killed_writer_is_swept_and_its_lock_free(cache):
    child = start(KILLED_WRITER, cache)
    assert wait_for_line(child) == "writing"
    assert cache.sweep() == 0  # still alive: not ours to remove
    assert any("params.bin" in name for name in leftovers(cache))
    kill(child)
    assert cache.get("ir", "k1") is None
    with cache.lock("ir", "k1", on_wait=pytest.fail, timeout_s=10):
        fill(cache)
    assert cache.get("ir", "k1") is not None
    assert leftovers(cache) == []


def test_lock_says_who_holds_it_and_gives_up(cache):
    child = start(KILLED_WRITER, cache)
    wait_for_line(child)
    lines: list[str] = []
    with (
        pytest.raises(CacheError, match=r"gave up on cache entry ir/k1 after 0\.1 s"),
        cache.lock("ir", "k1", on_wait=lines.append, timeout_s=0.1),
    ):
        pytest.fail("the lock is held by the child")
    assert len(lines) == 1
    assert f"process {child.pid} on " in lines[0]
    with cache.lock("ir", "k2", on_wait=pytest.fail):
        pass  # another entry is free
    kill(child)


BUILDER = """
import sys, time
from tvm_sparse.cache.store import Cache
cache = Cache(sys.argv[1])
with cache.lock("ir", "k1"):
    entry = cache.get("ir", "k1")
    if entry is None:
        with cache.create("ir", "k1") as staging:
            (staging.path / "params.bin").write_bytes(b"x" * 100000)
            time.sleep(0.3)
        print("built", flush=True)
    else:
        print("found", flush=True)
"""


def test_processes_build_one_entry_once(cache):
    children = [start(BUILDER, cache) for _ in range(3)]
    outcomes = sorted(child.communicate()[0].strip() for child in children)
    assert outcomes == ["built", "found", "found"]
    assert all(child.returncode == 0 for child in children)
    assert cache.get("ir", "k1") is not None
    assert leftovers(cache) == []


RACER = """
import sys
from tvm_sparse.cache.store import Cache
cache = Cache(sys.argv[1], on_warning=lambda line: sys.exit(line))
for turn in range(15):
    with cache.create("ir", "k1") as staging:
        (staging.path / "a.bin").write_bytes(sys.argv[2].encode() * 5000)
        (staging.path / "b.bin").write_bytes(sys.argv[2].encode() * 5000)
"""


def test_writers_without_a_lock_never_mix(cache, warnings_seen):
    children = [start(RACER, cache, letter) for letter in "xy"]
    assert [child.communicate()[0] for child in children] == ["", ""]
    assert [child.returncode for child in children] == [0, 0]
    entry = cache.get("ir", "k1")
    assert entry.file("a.bin").read_bytes() == entry.file("b.bin").read_bytes()
    assert warnings_seen == []
    assert leftovers(cache) == []


def test_discard_spares_an_entry_that_replaced_the_damaged_one(cache, monkeypatch):
    truncate(fill(cache))
    real = manifest.verify

    def verify_then_replace(*args):
        problem = real(*args)
        monkeypatch.undo()
        fill(cache, content=b"fresh from another process")
        return problem

    monkeypatch.setattr(manifest, "verify", verify_then_replace)
    assert cache.get("ir", "k1") is None
    assert cache.get("ir", "k1").file("params.bin").read_bytes().startswith(b"fresh")


def test_ls_info_and_clear(cache):
    for kind, key in [("ir", "aa1"), ("ir", "aa2"), ("lib", "aa1"), ("bench", "bb")]:
        fill(cache, key, kind)
    assert [(e.kind, e.key) for e in cache.ls()] == [
        ("ir", "aa1"), ("ir", "aa2"), ("lib", "aa1"), ("bench", "bb"),
    ]  # fmt: skip
    assert [e.key for e in cache.ls("lib")] == ["aa1"]
    assert cache.info("bb").kind == "bench"
    assert cache.info("lib/a").kind == "lib"
    assert cache.info("aa2").size_bytes > len(CONTENT)
    with pytest.raises(CacheError, match="which 2 entries match: ir/aa1, lib/aa1"):
        cache.info("aa1")
    with pytest.raises(CacheError, match="which no entry matches; `tvm-sparse cache ls`"):
        cache.info("zz")
    assert [e.key for e in cache.clear(kind="ir", prefix="aa2")] == ["aa2"]
    assert [e.kind for e in cache.clear(prefix="aa")] == ["ir", "lib"]
    assert [e.kind for e in cache.clear()] == ["bench"]
    assert cache.ls() == []
    assert leftovers(cache) == []


def test_ls_shows_what_is_wrong_with_an_entry(cache):
    entry = fill(cache)
    (entry.path / "manifest.json").unlink()
    (listed,) = cache.ls()
    assert listed.problem == "manifest.json is missing"
    assert cache.clear() == [listed]


def test_nested_files_are_checked(cache):
    with cache.create("lib", "k") as staging:
        (staging.path / "devc").mkdir()
        (staging.path / "devc" / "part.o").write_bytes(b"object")
    assert json.loads((staging.entry.path / "manifest.json").read_text())["files"].keys() == {
        "devc/part.o"
    }
    (staging.entry.path / "devc" / "part.o").write_bytes(b"abject")
    assert cache.get("lib", "k") is None


def test_lock_is_free_again_after_an_error(cache):
    for _ in range(2):
        with pytest.raises(ValueError, match="boom"), cache.lock("ir", "k1", timeout_s=1):
            raise ValueError("boom")
    with cache.lock("ir", "k1", on_wait=pytest.fail):
        assert leftovers(cache) == [".locks/ir-k1.lock"]
    assert leftovers(cache) == []
