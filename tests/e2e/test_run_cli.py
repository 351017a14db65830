"""`tvm-sparse run` in fresh processes, from an empty cache to a second run without TensorFlow."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from command_line import QUICK, TIMEOUT_S, Sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODEL = (
    *("--model", "bert-tiny", "--layers", "1", "--seq-len", "16", "--weights", "auto"),
    *("--threshold", "0.5"),  # times no kernels
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Sandbox(tmp_path_factory.mktemp("run-cli"))


@pytest.fixture(scope="module")
def cache_dir(sandbox: Sandbox) -> Path:
    """A cache after an interrupted import and a first run."""
    cache = sandbox.folder / "cache"
    process = sandbox.popen("run", *MODEL, "--cache-dir", cache)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("building the TensorFlow model"):
            os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert sandbox.processes() == []
    assert sandbox.leftovers(cache) == []
    first = sandbox.run("run", *MODEL, "--cache-dir", cache, *QUICK)
    assert first.returncode == 0, first.stderr
    assert "starting TensorFlow" in first.stderr
    assert "weights: seeded random weights (seed 0): no checkpoint of google/" in first.stdout
    return cache


def test_second_run_imports_neither_tensorflow_nor_transformers(sandbox, cache_dir) -> None:
    json_path = sandbox.folder / "second.json"
    arguments = ("run", *MODEL, "--cache-dir", cache_dir, *QUICK, "--json", json_path)
    poison = sandbox.poisoned("tensorflow", "tf_keras", "keras", "transformers")
    second = sandbox.run(*arguments, **poison)
    assert second.returncode == 0, second.stderr
    assert sandbox.imported_poison() == ""
    assert "TensorFlow" not in second.stderr
    assert "dense build taken from the cache" in second.stderr
    record = json.loads(json_path.read_text())
    # The import's outputs were compared when the build was made, the builds just now.
    assert max(record["check"]["dense_against_tensorflow"].values()) < 1e-4
    assert max(record["check"]["sparse_against_dense"].values()) < 1e-4
    assert sandbox.processes() == []
    assert sandbox.leftovers(cache_dir) == []


def test_another_pattern_is_compiled_without_tensorflow(sandbox, cache_dir) -> None:
    arguments = ("run", *MODEL, "--cache-dir", cache_dir, *QUICK, "--bs-r", "4")
    poison = sandbox.poisoned("tensorflow", "tf_keras", "keras", "transformers")
    done = sandbox.run(*arguments, **poison)
    assert done.returncode == 0, done.stderr
    assert "compiling the sparse build" in done.stderr
    assert sandbox.imported_poison() == ""


def test_another_shape_needs_tensorflow(sandbox, cache_dir) -> None:
    arguments = ("run", *MODEL, "--cache-dir", cache_dir, *QUICK, "--batch", "2", "-q")
    done = sandbox.run(*arguments, **sandbox.poisoned("tensorflow"))
    assert "tensorflow" in sandbox.imported_poison()
    assert done.returncode == 1
    assert "tensorflow" in done.stderr
    assert done.stderr.count("\n") == 1
    assert sandbox.leftovers(cache_dir) == []
