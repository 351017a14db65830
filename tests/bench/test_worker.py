from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import Sandbox
from tiny_artifact import tiny_inputs

from tvm_sparse.bench.worker import Worker
from tvm_sparse.bench.worker_process import WorkerProcess

pytestmark = pytest.mark.unit


def test_every_request_is_carried_out(dense_dir: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", **tiny_inputs())
    worker = Worker()
    requests = (
        {"do": "load", "artifact": str(dense_dir), "threads": 2},
        {"do": "bind", "inputs": str(tmp_path / "in.npz")},
        {"do": "run", "outputs": str(tmp_path / "out")},
        {"do": "measure", "seconds": 9, "drop": 1, "max_iterations": 3},
        {"do": "profile", "repeats": 2},
        {"do": "memory"},
    )
    results = [worker.answer(request) for request in requests]
    keys = [sorted(result) for result in results]
    assert keys == [["load_s"], [], [], ["samples_ms"], ["calls"], ["peak_memory_bytes"]]
    assert len(results[3]["samples_ms"]) == 3
    with np.load(tmp_path / "out") as outputs:
        assert outputs.files == ["hidden", "pooled"]


def test_a_worker_imports_neither_tvm_nor_torch(
    dense_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('PyTorch was imported')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name, value in Sandbox(tmp_path).poisoned("tvm").items():
        monkeypatch.setenv(name, value)
    with WorkerProcess(dense_dir, 1) as worker:
        assert worker.load_s > 0
    assert Sandbox(tmp_path).imported_poison() == ""
