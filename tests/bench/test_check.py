from __future__ import annotations

from pathlib import Path

import pytest
from tiny_artifact import build_tiny_artifact, tiny_inputs

from tvm_sparse.bench.check import check_builds
from tvm_sparse.errors import CheckError

pytestmark = pytest.mark.e2e


def test_builds_that_agree(dense_dir: Path, tmp_path: Path) -> None:
    twin = build_tiny_artifact(tmp_path / "twin", "sparse")
    gaps = check_builds(dense_dir, twin, tiny_inputs(), 2, 0, 0)
    assert gaps == {"hidden": 0.0, "pooled": 0.0}


def test_builds_within_the_tolerances(dense_dir: Path, other_dir: Path) -> None:
    gaps = check_builds(dense_dir, other_dir, tiny_inputs(), 2, 10, 0)
    assert 0 < gaps["hidden"] < gaps["pooled"] < 10


def test_a_mismatch_names_the_first_differing_layer(dense_dir: Path, other_dir: Path) -> None:
    with pytest.raises(CheckError, match=r"in hidden.*first differing layer: layer_0/dense"):
        check_builds(dense_dir, other_dir, tiny_inputs(), 2, 1e-5, 1e-5)
