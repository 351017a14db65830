"""Small model directories."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_dirs import config_dir
from source_checkpoints import make_checkpoint

__all__ = ["config_dir"]


@pytest.fixture
def empty_hub_cache(tmp_path, monkeypatch):
    """No checkpoint in the hub's cache and no network, whatever the machine has."""
    path = tmp_path / "hub-cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return path


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return make_checkpoint(tmp_path / "model")
