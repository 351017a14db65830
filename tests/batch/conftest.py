"""Small builds that take texts, for jobs about files of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from text_artifact import build_text_artifact

from tvm_sparse.batch import parts

TASKS = ("feature-extraction", "text-classification", "zero-shot-classification")


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Artifacts by the task of their models."""
    folder = tmp_path_factory.mktemp("batch")
    return {task: str(build_text_artifact(folder / task, task)) for task in TASKS}


@pytest.fixture
def ferries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Texts of many lengths, one a line, which are cut into as many parts as a test wants."""
    monkeypatch.setattr(parts, "_LEAST_BYTES", 1)
    path = tmp_path / "ferries.txt"
    lines = (f"the ferry {i}{' a' * (i % 4)}\n" for i in range(400))
    path.write_text("".join(lines))
    return path
