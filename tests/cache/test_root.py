from __future__ import annotations

import pytest

from tvm_sparse.cache.root import cache_root

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("chosen", "variable", "place"),
    [
        (None, None, "work/cache"),
        (None, "", "work/cache"),
        (None, "elsewhere", "work/elsewhere"),
        (None, "user", "home/.cache/tvm_sparse"),
        ("user", "elsewhere", "home/.cache/tvm_sparse"),
        ("./user", None, "work/user"),
        ("~/mine", None, "home/mine"),
    ],
)
def test_where_the_cache_is(tmp_path, monkeypatch, chosen, variable, place) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("TVM_SPARSE_CACHE", raising=False)
    if variable is not None:
        monkeypatch.setenv("TVM_SPARSE_CACHE", variable)
    assert cache_root(chosen) == tmp_path / place


def test_the_users_cache_follows_the_system(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root("user") == tmp_path / "tvm_sparse"
