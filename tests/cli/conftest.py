"""The command line in this process, and a cache in which the smallest model is imported."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import QUICK, Sandbox, write_config

from tvm_sparse.cli.main import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def invoke(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    """Run the command line in this process."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("TVM_SPARSE_CACHE", raising=False)
    monkeypatch.delenv("TVM_SPARSE_TRACEBACK", raising=False)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in signals}

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(int(end.value.code or 0), captured.out, captured.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@dataclass(frozen=True)
class TinyModel:
    """A model directory, the flags to use it with, and a cache that holds its import."""

    directory: Path
    cache_dir: Path
    #: The import that `flags` asks for; other tests may add more to the cache.
    import_dir: Path

    @property
    def flags(self) -> tuple[str, ...]:
        shape = ("--model", str(self.directory), "--weights", "random", "--seq-len", "16")
        # A threshold decides alike on every machine, and times no layer.
        build = ("--threads", "1", "--threshold", "0.5")
        return (*shape, *build, "--cache-dir", str(self.cache_dir))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """The smallest model, imported once for each test worker: tests look at all of its cache."""
    root = tmp_path_factory.getbasetemp() / "tiny-model"
    directory, cache_dir = root / "tiny-bert", root / "cache"
    write_config(directory)
    flags = TinyModel(directory, cache_dir, root).flags
    done = Sandbox(root).run("run", *flags, *QUICK)
    assert done.returncode == 0, done.stderr
    [entry] = (cache_dir / "ir").iterdir()
    return TinyModel(directory, cache_dir, entry)
