"""`tvm-sparse doctor`: a line a finding, a record of all, and an exit code."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tvm_sparse.diagnosis import diagnose as diagnosing
from tvm_sparse.diagnosis.record import Diagnosis
from tvm_sparse.host import detect_host
from tvm_sparse.records.read import check_record

pytestmark = pytest.mark.unit


def test_nothing_is_broken_here_and_nothing_is_written(invoke, tmp_path):
    cache, path = tmp_path / "cache", tmp_path / "doctor.json"
    result = invoke("doctor", "--cache-dir", cache, "--json", path)
    assert (result.code, result.err) == (0, "")
    diagnosis = check_record(json.loads(path.read_text()), Diagnosis, "doctor", AssertionError, "")
    assert result.out.splitlines() == [f"{f.state:7}{f}" for f in diagnosis.findings]
    assert all(f.advice for f in diagnosis.findings if f.state != "ok")
    assert not cache.exists()


def test_what_is_broken_ends_with_code_1(invoke, monkeypatch):
    host = replace(detect_host(), isa="unknown", features=frozenset({"sse2"}))
    monkeypatch.setattr(diagnosing, "detect_host", lambda: host)
    result = invoke("doctor")
    assert (result.code, result.err) == (1, "")
    (line,) = (line for line in result.out.splitlines() if line.startswith("broken"))
    assert line == (
        f"broken cpu: {host.model} has none of x86-64-v2, x86-64-v3, x86-64-v4, aarch64: "
        "no build runs here, use another machine"
    )
