from __future__ import annotations

from pathlib import Path

import pytest
from tiny_artifact import WEIGHT, build_tiny_artifact


@pytest.fixture(scope="session")
def dense_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_artifact(tmp_path_factory.mktemp("tiny") / "dense")


@pytest.fixture(scope="session")
def other_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with another weight."""
    return build_tiny_artifact(tmp_path_factory.mktemp("tiny") / "sparse", "sparse", WEIGHT * 1.01)
