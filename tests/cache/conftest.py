"""A cache in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_sparse.cache.store import Cache


@pytest.fixture
def warnings_seen() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, warnings_seen: list[str]) -> Cache:
    return Cache(tmp_path / "cache", on_warning=warnings_seen.append)
