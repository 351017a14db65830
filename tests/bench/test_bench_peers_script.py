from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tvm_sparse.bench.peers.engine import ENGINES
from tvm_sparse.bench.peers.record import load_peers_record

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def run_script(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "scripts/bench_peers.py", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_builds_and_engines_in_one_record(tmp_path: Path) -> None:
    out = tmp_path / "new" / "peers.json"
    done = run_script(
        *("--model", "bert-tiny", "--seq-len", "8", "--cache-dir", str(tmp_path / "cache")),
        *("--sparsity", ".75", "--block-shapes", "4x1", "--engines", "onnxruntime"),
        *("--iterations", "2", "--warmup", "0", "--out", str(out)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = load_peers_record(out)
    dense, sparse, other = record.results
    assert (dense.status, sparse.status) == ("measured", "measured")
    assert (sparse.sparsity, sparse.block_shape) == (0.75, (4, 1))
    # Whether peers are installed is the environment's business; both must end well.
    missing = ENGINES["onnxruntime"].missing()
    assert other.status == ("not installed" if missing else "measured")
    for result in record.results:
        if result.status == "measured":
            assert result.max_absolute_error is not None
            assert result.max_absolute_error < 1e-4
    assert out.with_suffix(".png").is_file()
    assert "tvm_sparse, 75% 4x1" in done.stdout


def test_an_unknown_engine_is_told_before_anything_is_done(tmp_path: Path) -> None:
    done = run_script("--engines", "deepsparse", "--cache-dir", str(tmp_path / "cache"))
    assert done.returncode == 2
    assert "engine 'deepsparse' given" in done.stdout
    assert not (tmp_path / "cache").exists()
