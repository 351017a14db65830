"""Ctrl-C at every stage of a run: it ends at once, and nothing half-written stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import QUICK, TIMEOUT_S, Sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: First line of progress of a stage, in the order of a run. The import is another test's.
STAGES = [
    "making the weights sparse",
    "compiling the dense build",
    "comparing the dense build with TensorFlow",
    "writing the dense build",
    "compiling the sparse build",
    "comparing sparse with dense",
    "loading sparse",
    "measuring dense and sparse",
]


@pytest.fixture(scope="module")
def imported(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the import and no builds."""
    folder = tmp_path_factory.mktemp("imported") / "cache"
    shutil.copytree(tiny.import_dir, folder / "ir" / tiny.import_dir.name)
    return folder


def stop_at(stage: str, process: subprocess.Popen[str], number: int = signal.SIGINT) -> str:
    """Send a signal to the process's group when it says it begins a stage; return its stderr."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith(stage):
            # As a terminal does: to every process of the group.
            os.killpg(process.pid, number)
            # And once more, as an impatient hand does.
            time.sleep(0.1)
            os.killpg(process.pid, number)
            break
    else:
        pytest.fail(f"it ended before {stage!r}: {''.join(said)}")
    try:
        _, rest = process.communicate(timeout=TIMEOUT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return "".join(said) + rest


@pytest.mark.parametrize("stage", STAGES)
def test_interrupt(stage, imported, tiny, tmp_path) -> None:
    cache_dir = shutil.copytree(imported, tmp_path / "cache")
    sandbox = Sandbox(tmp_path)
    arguments = ("run", *tiny.flags, "--cache-dir", cache_dir, "--time", "600")
    process = sandbox.popen(*arguments, "--json", tmp_path / "out.json")
    said = stop_at(stage, process)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert sandbox.processes() == []
    assert sandbox.leftovers(cache_dir) == []
    assert not (tmp_path / "out.json").exists()


def test_a_run_after_an_interrupt(imported, tiny, tmp_path) -> None:
    cache_dir = shutil.copytree(imported, tmp_path / "cache")
    sandbox = Sandbox(tmp_path)
    arguments = ("run", *tiny.flags, "--cache-dir", cache_dir)
    process = sandbox.popen(*arguments, *QUICK)
    stop_at("compiling the sparse build", process, signal.SIGTERM)
    assert process.returncode == 143
    done = sandbox.run(*arguments, *QUICK)
    assert done.returncode == 0, done.stderr
    # What was finished before is used.
    assert "dense build taken from the cache" in done.stderr


def test_interrupted_bench(tiny, tmp_path) -> None:
    sandbox, cache_dir = Sandbox(tmp_path), tmp_path / "cache"
    entry = next(tiny.cache_dir.glob("lib/*/artifact")).parent
    shutil.copytree(entry, cache_dir / "lib" / entry.name)
    process = sandbox.popen("bench", cache_dir / "lib" / entry.name / "artifact", "--time", "600")
    said = stop_at("measuring", process)
    assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
    assert sandbox.processes() == []
    assert sandbox.leftovers(cache_dir) == []


def test_interrupted_export_leaves_the_older_artifact(tiny, imported, tmp_path) -> None:
    cache_dir = shutil.copytree(imported, tmp_path / "cache")
    out = shutil.copytree(next(tiny.cache_dir.glob("lib/*/artifact")), tmp_path / "out")
    before = (out / "metadata.json").read_bytes()
    sandbox = Sandbox(tmp_path)
    process = sandbox.popen("export", *tiny.flags, "--cache-dir", cache_dir, "-o", out)
    stop_at("writing the sparse build", process)
    assert process.returncode == 130
    assert (out / "metadata.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out", "tmp"]
    assert sandbox.leftovers(cache_dir) == []
