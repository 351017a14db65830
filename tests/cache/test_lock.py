"""Locks leave nothing behind, whenever their holder is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_sparse.cache import lock

pytestmark = pytest.mark.unit


def test_stopped_while_it_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(lock.socket, "gethostname", stop)
    with pytest.raises(KeyboardInterrupt), lock.hold(tmp_path / "x.lock", "x"):
        pytest.fail("it was stopped before")
    assert list(tmp_path.iterdir()) == []


def test_stopped_beside_a_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.lock"

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lock.time, "sleep", stop)
    with lock.hold(path, "x"):
        with pytest.raises(KeyboardInterrupt), lock.hold(path, "x"):
            pytest.fail("it is held")
        assert path.exists()
    assert list(tmp_path.iterdir()) == []
