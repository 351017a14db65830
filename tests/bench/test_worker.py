from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import tiny_inputs

from tvm_sparse.bench.worker import Worker, serve

pytestmark = pytest.mark.unit


def ask(*requests: dict) -> list[dict]:
    answers = io.StringIO()
    serve(
        Worker(), io.StringIO("".join(json.dumps(request) + "\n" for request in requests)), answers
    )
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_every_command_is_answered_in_order(dense_dir: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", **tiny_inputs())
    answers = ask(
        {"do": "load", "artifact": str(dense_dir), "threads": 2},
        {"do": "bind", "inputs": str(tmp_path / "in.npz")},
        {"do": "run", "outputs": str(tmp_path / "out")},
        {"do": "measure", "seconds": 9, "drop": 1, "max_iterations": 3},
        {"do": "profile", "repeats": 2},
        {"do": "memory"},
    )
    keys = [sorted(answer) for answer in answers]
    assert keys == [["load_s"], [], [], ["samples_ms"], ["calls"], ["peak_memory_bytes"]]
    assert len(answers[3]["samples_ms"]) == 3
    with np.load(tmp_path / "out") as outputs:
        assert outputs.files == ["hidden", "pooled"]


def test_an_error_is_an_answer_and_the_worker_goes_on(dense_dir: Path) -> None:
    failed, loaded = ask(
        {"do": "load", "artifact": "/nowhere", "threads": 1},
        {"do": "load", "artifact": str(dense_dir), "threads": 1},
    )
    assert failed["error"] == "ArtifactError"
    assert "/nowhere" in failed["message"]
    assert loaded["load_s"] > 0


def test_a_worker_imports_neither_tvm_nor_torch(dense_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('PyTorch was imported')\n")
    program = f"""
import io, json, sys
import tvm_sparse.bench.worker as worker
sys.stdin = io.StringIO(json.dumps({{"do": "load", "artifact": {str(dense_dir)!r}, "threads": 1}}))
worker.main()
assert "tvm" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
    )
    assert done.returncode == 0, done.stderr
    assert "load_s" in done.stdout
