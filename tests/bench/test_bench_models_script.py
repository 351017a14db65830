"""scripts/bench_models.py: records that are kept, and the page made of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def test_families_are_measured_once_and_those_that_cannot_be_say_why(tmp_path: Path) -> None:
    page = tmp_path / "models.md"
    command = [
        *(sys.executable, "scripts/bench_models.py", "--records", str(tmp_path / "records")),
        *("--work", str(tmp_path / "work"), "--cache-dir", str(tmp_path / "cache")),
        *("--only", "bert-tiny", "--only", "no-such-model", "--seq-len", "8", "--layers", "1"),
    ]
    for options, told in (
        (["--prepare"], ["bert-tiny: prepared", "no-such-model: model"]),
        (["--iterations", "2", "--warmup", "0"], ["bert-tiny, 1 thread: tvm_sparse, 95% 4x1"]),
        (["--page", str(page)], ["wrote"]),
    ):
        done = subprocess.run(
            [*command, *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(line in done.stdout for line in told), done.stdout
    # What is there is neither prepared nor measured again.
    assert done.stdout.count("\n") == 1
    *_, measured, _, refused, _, unmeasured = page.read_text().splitlines()
    # Products, attention and all: nothing of an encoder is left to TVM.
    start = "| bert-tiny | bert-tiny | TensorFlow | batch 1, 8 tokens | 100% | 1 |"
    assert measured.startswith(start)
    assert "nan" not in measured
    assert refused.startswith("- no-such-model: not built: model")
    assert unmeasured.startswith("Not measured yet: BERT, ")
