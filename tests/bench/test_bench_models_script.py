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
        *("--only", "bert-tiny", "--only", "no-such-model", "--page", str(page)),
        *("--seq-len", "8", "--layers", "1", "--iterations", "2"),
        *("--cache-dir", str(tmp_path / "cache")),
    ]
    for told in ("tvm_sparse, 95% 4x1", "bert-tiny, 1 thread: measured before"):
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert told in done.stdout
    measured, refused = page.read_text().splitlines()[-2:]
    # Products, attention and all: nothing of an encoder is left to TVM.
    assert measured.startswith("| bert-tiny | TensorFlow | batch 1, 8 tokens | 1 | 100% |")
    assert refused.startswith("| no-such-model | model")
    assert measured.count("|") == refused.count("|")
