from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from command_line import Sandbox, command

import tvm_sparse
from tvm_sparse.cli import models
from tvm_sparse.errors import BuildError, ConfigError

pytestmark = pytest.mark.unit

HEAVY = ("tvm", "tvm_ffi", "tensorflow", "transformers", "numpy", "scipy", "rich")


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",)])
def test_help_imports_nothing_heavy(arguments, tmp_path) -> None:
    sandbox = Sandbox(tmp_path)
    done = sandbox.run(*arguments, **sandbox.poisoned(*HEAVY))
    assert (done.returncode, done.stderr) == (0, "")
    assert sandbox.imported_poison() == ""


def test_poison_works(tmp_path) -> None:
    sandbox = Sandbox(tmp_path)
    done = sandbox.run("models", **sandbox.poisoned("rich"))
    assert done.returncode == 1
    assert "must not be imported here" in done.stderr
    assert sandbox.imported_poison().startswith("rich")


def test_version(invoke) -> None:
    result = invoke("--version")
    assert (result.code, result.out) == (0, f"tvm-sparse, version {tvm_sparse.__version__}\n")


def test_unknown_command_is_wrong_use(invoke) -> None:
    for word, hint in (("walk", ""), ("rnu", " (did you mean run?)")):
        result = invoke(word)
        assert result.code == 2
        assert f"No such command {word!r}{hint}." in result.err


@pytest.fixture
def failing(monkeypatch):
    """Let `tvm-sparse models` raise an error."""

    def fail(error: BaseException) -> None:
        def callback() -> None:
            raise error

        monkeypatch.setattr(models.command, "callback", callback)

    return fail


def full_disk(path: str | None = None) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("batch 0 given"), 2, "error: batch 0 given"),
        (BuildError("g++ failed:\n  no such file"), 1, "error: g++ failed: no such file"),
        (MemoryError(), 1, "error: out of memory: give --batch, --seq-len or --layers a smaller"),
        (full_disk("/x/y"), 2, "error: /x/y cannot be written: the disk is full"),
        (full_disk(), 2, "error: the output cannot be written: the disk is full"),
        (ValueError("a\nb"), 1, "error: ValueError: a b (this should not happen; TVM_SPARSE_TR"),
        (SystemExit(3), 3, ""),
    ],
)
def test_errors_are_one_line(error, code, line, failing, invoke) -> None:
    failing(error)
    result = invoke("models")
    assert result.code == code
    assert result.err.startswith(line)
    assert result.err.count("\n") == (1 if line else 0)
    assert result.out == ""


def test_full_disk_behind_an_error_of_ours_is_wrong_use(failing, invoke) -> None:
    error = BuildError("/x cannot be written")
    error.__context__ = full_disk("/x")
    failing(error)
    result = invoke("models")
    assert (result.code, result.err) == (2, "error: /x cannot be written\n")


def test_traceback_on_request(failing, invoke, monkeypatch) -> None:
    monkeypatch.setenv("TVM_SPARSE_TRACEBACK", "1")
    failing(BuildError("g++ failed"))
    result = invoke("models")
    assert result.code == 1
    assert result.err.startswith("Traceback")
    assert result.err.endswith("error: g++ failed\n")


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signals_unwind(number, code, line, invoke, monkeypatch) -> None:
    cleaned = []

    def callback() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            # Impatient: what cleans up must come to its end.
            os.kill(os.getpid(), number)
            time.sleep(0.1)
            cleaned.append(True)

    monkeypatch.setattr(models.command, "callback", callback)
    result = invoke("models")
    assert cleaned
    assert (result.code, result.err.split()) == (code, [line])


def test_interrupt_that_comes_out_as_another_error(invoke, monkeypatch) -> None:
    def callback() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:  # as a callback of TVM does
            raise RuntimeError("KeyboardInterrupt in a callback") from None

    monkeypatch.setattr(models.command, "callback", callback)
    result = invoke("models")
    assert (result.code, result.err) == (130, "interrupted\n")


def test_ignored_signals_stay_ignored(invoke) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    invoke("--version")
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_closed_pipe_is_quiet(tmp_path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("models"),
        env=Sandbox(tmp_path).environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_full_disk_behind_stdout(tmp_path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("models"),
            env=Sandbox(tmp_path).environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "error: the output cannot be written: the disk is full\n"


def test_wrong_versions_are_one_line(invoke, monkeypatch, tmp_path) -> None:
    from tvm_sparse import dependencies

    monkeypatch.setattr(dependencies, "RUNTIME", ())
    wrong = dependencies.Requirement(("click",), (0,), (1,), "click<1", "it is only a test")
    check = dependencies.check_dependencies
    monkeypatch.setattr(
        "tvm_sparse.importers.import_model.check_dependencies", lambda *_: check([wrong])
    )
    result = invoke("run", "--model", "bert-tiny", "--cache-dir", tmp_path)
    assert result.code == 2
    assert result.err.startswith("error: installed packages do not work together: click ")
    assert result.err.count("\n") == 1


def test_temporary_files_go_even_those_nobody_knows_of(invoke, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    made = []

    def interrupted() -> None:
        # Before a line that would remember to remove it.
        made.append(Path(tempfile.mkdtemp()))
        raise KeyboardInterrupt

    monkeypatch.setattr(models.command, "callback", interrupted)
    assert invoke("models").code == 130
    assert made[0].is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert os.environ["TMPDIR"] == str(tmp_path)
    assert tempfile.tempdir is None
