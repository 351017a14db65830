"""The first and the last moments of the program `tvm-sparse`."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from command_line import Sandbox, command

pytestmark = pytest.mark.e2e

INTERRUPT = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
AT_THE_END = "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT)"


@pytest.mark.parametrize(
    ("module", "program", "code", "said"),
    [
        # While the command line is imported: nothing of ours was there to catch it.
        ("click.py", INTERRUPT, 130, "interrupted\n"),
        # When it is done: what is left is the end of the interpreter.
        ("sitecustomize.py", AT_THE_END, 0, ""),
    ],
)
def test_ctrl_c_at_the_ends_of_the_program(
    module: str, program: str, code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / module).write_text(program)
    done = Sandbox(tmp_path).run("--version", PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[1]}")
    assert (done.returncode, done.stderr) == (code, said)


def test_closed_streams_lead_to_nowhere(tmp_path: Path) -> None:
    line = f"exec {shlex.join(command('models'))} <&- >&- 2>&-"
    environment = Sandbox(tmp_path).environment()
    assert subprocess.run(["sh", "-c", line], env=environment, check=False).returncode == 0
