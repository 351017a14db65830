from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import build_tiny_artifact, tiny_inputs, tiny_metadata, tiny_reference

from tvm_sparse.errors import ArtifactError, InputError
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.metadata import CallTime, KernelCall

pytestmark = pytest.mark.unit


def test_every_listed_call_is_timed(dense_dir: Path) -> None:
    model = load(dense_dir)
    profile = model.profile(tiny_inputs(), repeats=3)
    listed = [CallTime(**vars(call), latency_ms=0.0) for call in tiny_metadata().calls]
    assert [replace(call, latency_ms=0.0) for call in profile] == listed
    assert all(call.latency_ms > 0 for call in profile)


def test_trace_hands_out_results_in_order(dense_dir: Path) -> None:
    model = load(dense_dir)
    inputs = tiny_inputs()
    seen: dict[str, np.ndarray] = {}
    model.trace(inputs, lambda call, result: seen.update({call.kernel: result.copy()}))
    assert list(seen) == [call.kernel for call in tiny_metadata().calls]
    reference = tiny_reference(inputs)
    np.testing.assert_allclose(seen["fused_matmul_add"], reference["hidden"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(seen["sum"], reference["pooled"], rtol=1e-5, atol=1e-5)


def test_the_model_itself_stays_unwatched(dense_dir: Path) -> None:
    model = load(dense_dir)
    seen = []
    model.trace(tiny_inputs(), lambda call, _result: seen.append(call.index))
    model.run(**tiny_inputs())
    assert seen == [0, 1, 2]


def test_unlisted_calls_have_no_layer(tmp_path: Path) -> None:
    model = load(build_tiny_artifact(tmp_path / "a", calls=()))
    assert [call.layer for call in model.profile(tiny_inputs(), 1)] == ["", "", ""]


def test_other_calls_than_listed(tmp_path: Path) -> None:
    calls = (KernelCall(0, "softmax", "layer_0"),)
    model = load(build_tiny_artifact(tmp_path / "a", calls=calls))
    with pytest.raises(ArtifactError, match="lists 1 kernel calls, the model makes 3"):
        model.profile(tiny_inputs(), 1)


def test_wrong_use(dense_dir: Path) -> None:
    model = load(dense_dir)
    with pytest.raises(ValueError, match="at least 1"):
        model.profile(tiny_inputs(), 0)
    with pytest.raises(InputError, match="missing x"):
        model.profile({"ids": tiny_inputs()["ids"]}, 1)


def test_an_observer_that_fails_is_heard(dense_dir: Path) -> None:
    model = load(dense_dir)

    def fail(_call: KernelCall, _result: np.ndarray) -> None:
        raise ValueError("seen enough")

    with pytest.raises(ValueError, match="seen enough"):
        model.trace(tiny_inputs(), fail)
