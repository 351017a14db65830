from __future__ import annotations

import io
import re
import shutil

import pytest

from tvm_sparse.cache.store import Cache

pytestmark = pytest.mark.e2e


@pytest.fixture
def copied(tiny, tmp_path):
    """A copy of the cache, to damage and to clear."""
    # What another worker writes there just now is hidden.
    others = shutil.ignore_patterns(".*")
    return shutil.copytree(tiny.cache_dir, tmp_path / "cache", ignore=others)


def test_ls(invoke, tiny) -> None:
    result = invoke("cache", "ls", "--cache-dir", tiny.cache_dir)
    assert (result.code, result.err) == (0, "")
    assert str(tiny.cache_dir) in result.out
    entries = Cache(tiny.cache_dir).ls()
    for entry in entries:
        assert f"{entry.kind}/{entry.key}" in result.out
    assert re.search(rf"^{len(entries)} entr(?:y|ies), [\d.]+ [kM]B$", result.out, re.MULTILINE)
    # Other tests may have left measurements, which widen the table: look at the builds alone.
    builds = invoke("cache", "ls", "--kind", "lib", "--cache-dir", tiny.cache_dir).out
    assert "sparse, x86-64" in builds or "sparse, aarch64" in builds
    assert "random 1x1" in builds


def test_ls_of_one_kind(invoke, tiny) -> None:
    result = invoke("cache", "ls", "--kind", "ir", "--cache-dir", tiny.cache_dir)
    assert "ir/" in result.out
    assert "lib/" not in result.out
    assert "batch 1, 16 tokens, random weights" in " ".join(result.out.split())


def test_ls_of_nothing(invoke, tmp_path) -> None:
    result = invoke("cache", "ls", "--cache-dir", tmp_path / "none")
    assert (result.code, result.out) == (0, f"{tmp_path / 'none'} is empty\n")
    assert not (tmp_path / "none").exists()


def test_the_variable_names_the_cache(invoke, tiny, monkeypatch) -> None:
    monkeypatch.setenv("TVM_SPARSE_CACHE", str(tiny.cache_dir))
    assert str(tiny.cache_dir) in invoke("cache", "ls").out


def test_info(invoke, tiny) -> None:
    for entry in Cache(tiny.cache_dir).ls():
        result = invoke("cache", "info", entry.key[:12], "--cache-dir", tiny.cache_dir)
        assert (result.code, result.err) == (0, "")
        assert f"entry      {entry.kind}/{entry.key}" in result.out
        assert "state      intact" in result.out
        for name in entry.manifest["files"]:
            assert f"file       {name}, " in result.out
    first = Cache(tiny.cache_dir).ls("ir")[0]
    result = invoke("cache", "info", f"ir/{first.key}", "--cache-dir", tiny.cache_dir)
    assert "weights    seeded random weights (seed 0): asked for" in result.out
    assert "inputs     input_ids int32[1, 16], attention_mask" in result.out


def test_info_finds_damage(invoke, copied) -> None:
    entry = Cache(copied).ls("ir")[0]
    path = entry.file("params.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    result = invoke("cache", "info", entry.key, "--cache-dir", copied)
    assert result.code == 0
    assert re.search(r"^state +damaged: .*params.safetensors", result.out, re.MULTILINE)


def test_ls_shows_a_damaged_manifest(invoke, copied) -> None:
    entry = Cache(copied).ls("ir")[0]
    entry.file("manifest.json").write_text("{")
    result = invoke("cache", "ls", "--cache-dir", copied)
    assert result.code == 0
    assert "damaged: " in result.out
    assert invoke("cache", "info", entry.key, "--cache-dir", copied).code == 0


def test_info_of_nothing(invoke, tiny) -> None:
    result = invoke("cache", "info", "zzz", "--cache-dir", tiny.cache_dir)
    assert result.code == 2
    assert result.err.startswith("error: cache entry 'zzz' given, which no entry matches")


def test_clear_one_kind_then_all(invoke, copied) -> None:
    builds = len(Cache(copied).ls("lib"))
    result = invoke("cache", "clear", "--kind", "lib", "--yes", "--cache-dir", copied)
    assert re.match(rf"removed {builds} entr(y|ies), [\d.]+ [kM]B, from ", result.out)
    assert "lib" not in {entry.kind for entry in Cache(copied).ls()}
    assert Cache(copied).ls("ir")
    assert invoke("cache", "clear", "--yes", "--cache-dir", copied).code == 0
    assert Cache(copied).ls() == []


def test_clear_one_entry(invoke, copied) -> None:
    doomed, *others = Cache(copied).ls()
    prefix = f"{doomed.kind}/{doomed.key}"
    result = invoke("cache", "clear", prefix, "-y", "--cache-dir", copied)
    assert result.out.startswith("removed 1 entry, ")
    assert [entry.key for entry in Cache(copied).ls()] == [entry.key for entry in others]


@pytest.mark.parametrize(
    ("terminal", "answer", "code", "said"),
    [
        (False, "y\n", 2, "error: removing "),
        (True, "y\n", 0, "? [y/N]: "),
        (True, "n\n", 1, "? [y/N]: "),
        (True, "\n", 1, "? [y/N]: "),
    ],
)
def test_clear_asks_where_somebody_is(
    invoke, copied, monkeypatch, terminal, answer, code, said
) -> None:
    stdin = io.StringIO(answer)
    stdin.isatty = lambda: terminal
    monkeypatch.setattr("sys.stdin", stdin)
    before = Cache(copied).ls()
    result = invoke("cache", "clear", "--cache-dir", copied)
    assert result.code == code
    assert said in result.err
    assert str(copied) in result.err
    assert Cache(copied).ls() == ([] if code == 0 else before)


def test_clear_of_nothing_asks_nobody(invoke, copied) -> None:
    result = invoke("cache", "clear", "--older-than", "9w", "--cache-dir", copied)
    assert (result.code, result.out) == (0, f"removed 0 entries, 0 B, from {copied}\n")
    size = invoke("cache", "clear", "--max-size", "1TB", "--cache-dir", copied)
    assert (size.code, size.out) == (0, result.out)


def test_clear_down_to_a_size(invoke, copied) -> None:
    entries = sorted(Cache(copied).ls(), key=lambda entry: entry.manifest["created"])
    most = sum(entry.size_bytes for entry in entries[1:])
    size = f"{most / 1e6 + 1e-3:.3f}MB"
    assert invoke("cache", "clear", "--max-size", size, "-y", "--cache-dir", copied).code == 0
    assert entries[0].key not in {entry.key for entry in Cache(copied).ls()}


def test_an_age_that_is_none(invoke, copied) -> None:
    result = invoke("cache", "clear", "--older-than", "old", "--cache-dir", copied)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.startswith("error: age 'old' given: write 90m")
