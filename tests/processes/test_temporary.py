"""Temporary directories: removed at the end, and after the death of whoever could not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap

import pytest

from tvm_sparse.processes.temporary import temporary_directory

pytestmark = pytest.mark.unit

OWNER = """
    import os, signal, sys, time
    from tvm_sparse.processes.temporary import temporary_directory
    with temporary_directory() as folder:
        (folder / "file").touch()
        os.utime(folder, (0, 0))
        print(folder, flush=True)
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
        left = place / owner.stdout.readline().strip()
        for name in ("tvm_sparse-tmp-results", "tvm_sparse-out"):  # a user's, by their names
            (place / name).mkdir()
            os.utime(place / name, (0, 0))
        young = place / "tvm_sparse-tmp-abcd1234"
        young.mkdir()
        with temporary_directory():
            assert left.is_dir()  # its owner lives
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    with temporary_directory():
        assert not left.exists()
    assert sorted(path.name for path in place.iterdir()) == [
        *("tvm_sparse-out", "tvm_sparse-tmp-abcd1234", "tvm_sparse-tmp-results"),
    ]
