from __future__ import annotations

from pathlib import Path

import pytest
from tiny_artifact import WEIGHT, build_tiny_artifact, tiny_inputs

from tvm_sparse.bench.check import check_builds, check_rounded
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


def test_rounding_is_judged_by_outputs_as_a_whole(
    dense_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    errors = check_rounded(dense_dir, other_dir, tiny_inputs(), 2)
    assert errors.keys() == {"hidden", "pooled"}
    assert 0 < errors["hidden"] < 0.1
    wrong = build_tiny_artifact(tmp_path / "wrong", "int8", -WEIGHT)
    with pytest.raises(CheckError, match=r"the int8 build differs .* rounding explains 50%"):
        check_rounded(dense_dir, wrong, tiny_inputs(), 2)
