"""Temporary directories: removed at the end, and after the death of whoever could not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from tvm_sparse.processes.directory import place_directory
from tvm_sparse.processes.temporary import temporary_directory

pytestmark = pytest.mark.unit

OWNER = """
    import os, signal, sys, time
    from tvm_sparse.processes.directory import place_directory
from tvm_sparse.processes.temporary import temporary_directory
    from pathlib import Path
    out = Path(os.environ["TMPDIR"], "out")
    with temporary_directory() as folder, temporary_directory(beside=out) as staging:
        for path in (folder, staging):
            (path / "file").touch()
            os.utime(path, (0, 0))
        print(folder, staging, flush=True)
        time.sleep(600)
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_directory_goes_with_what_it_holds(place):
    with temporary_directory() as folder:
        (folder / "inner").mkdir()
        assert folder.parent == place
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_nothing_else(place):
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER)],
        stdout=subprocess.PIPE,
        env=os.environ,
        text=True,
    ) as owner:
        left = [Path(path) for path in owner.stdout.readline().split()]
        users = ("tvm_sparse-tmp-results", "tvm_sparse-out", ".out.settings")
        for name in users:
            (place / name).mkdir()
            os.utime(place / name, (0, 0))
        young = place / "tvm_sparse-tmp-abcd1234"
        young.mkdir()
        with temporary_directory():
            assert all(path.is_dir() for path in left)  # their owner lives
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    place_directory(lambda staging: None, place / "another", "it")
    assert not any(path.exists() for path in left)
    names = {path.name for path in place.iterdir()}
    assert names == {*users, "tvm_sparse-tmp-abcd1234", "another"}
