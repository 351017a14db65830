"""A short slice of scripts/soak_serve.py: reloads of every kind, kills and an end, under load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Sandbox
from text_artifact import build_text_artifact

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak_serve.py"


def test_nothing_is_lost_while_models_change(tmp_path, artifacts) -> None:
    other = build_text_artifact(tmp_path / "other", seed=1)
    options = "--seconds 6 --reloads 8 --clients 3 --workers 2 --cores 2 --kills 2 --growth-mb 40"
    done = subprocess.run(
        [sys.executable, SCRIPT, artifacts["encoder"], other, *options.split()],
        env=Sandbox(tmp_path).environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done
    assert "killed: 2, back after" in done.stdout
    assert "'answered'" in done.stdout
