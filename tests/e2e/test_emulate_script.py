from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "emulate.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("emulate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def fake_bochs(folder: Path, body: str) -> Path:
    """Make a program that stands for the emulator: it writes what the guest's console would say."""
    program = folder / "bochs"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program


def test_lines_come_once_and_the_last_ends_it(script: ModuleType, tmp_path: Path) -> None:
    body = """echo 'boot noise' > serial
echo 'CASE 8-16-dense ok: y: differs by at most 0' >> serial
sleep 1.5; printf 'CASE 8-16-4x1 FAI' >> serial; sleep 1.5; echo 'LED: no' >> serial
echo 'CASES DONE' >> serial; echo end >> serial; exec sleep 60"""
    start = time.monotonic()
    lines = list(script.emulate(fake_bochs(tmp_path, body), tmp_path, "cpu", tmp_path, 30))
    assert lines == ["CASE 8-16-dense ok: y: differs by at most 0", "CASE 8-16-4x1 FAILED: no"]
    assert time.monotonic() - start < 30


def test_an_emulator_that_stops_early_ends_it(script: ModuleType, tmp_path: Path) -> None:
    program = fake_bochs(tmp_path, "echo 'CASE a ok: ' > serial; echo noise >> serial; exit 1")
    assert list(script.emulate(program, tmp_path, "cpu", tmp_path, 30)) == ["CASE a ok: "]


def test_a_missing_emulator_is_one_line() -> None:
    command = [sys.executable, SCRIPT, "--bochs", "nowhere", "--linux", str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "File 'nowhere' does not exist" in done.stderr
    assert "Traceback" not in done.stderr
