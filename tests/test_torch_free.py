from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_SAY = "print('PyTorch is imported')\n"


def _said_by(program: str, packages: Path) -> str:
    """Return what a program prints that finds another PyTorch in `packages`."""
    (packages / "torch").mkdir()
    (packages / "torch" / "__init__.py").write_text(_SAY + "raise ImportError('not whole')\n")
    path = os.pathsep.join([str(packages), *(entry for entry in sys.path if entry)])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_tvm_comes_without_torch(tmp_path: Path) -> None:
    assert _said_by("import tvm_sparse, tvm_ffi", tmp_path) == ""


def test_torch_can_be_imported_after_tvm(tmp_path: Path) -> None:
    program = """
import tvm_sparse, tvm_ffi
try:
    import torch
except ImportError as error:
    print(error)
"""
    assert _said_by(program, tmp_path) == _SAY[7:-3] + "\nnot whole\n"


def test_torch_comes_with_tvm_alone(tmp_path: Path) -> None:
    # What the other tests are for: to be deleted with the finder when this is no more so.
    assert "PyTorch is imported" in _said_by("import tvm_ffi", tmp_path)
