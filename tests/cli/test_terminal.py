"""The width of the output, whatever the environment says."""

from __future__ import annotations

import os

import pytest

from tvm_sparse.cli.terminal import width_of

pytestmark = pytest.mark.unit


class Stream:
    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def fileno(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("columns", "terminal", "size", "width"),
    [
        (None, False, 70, 160),
        (None, True, 70, 70),
        ("100", True, 70, 100),
        ("100", False, 70, 100),
        # Nothing would be printed in no columns.
        ("0", True, 70, 70),
        ("0", False, 70, 160),
        ("many", True, 70, 70),
        (None, True, 0, 80),
        (None, True, None, 80),
    ],
)
def test_width(monkeypatch, columns, terminal, size, width) -> None:
    def told(_descriptor: int) -> os.terminal_size:
        if size is None:
            raise OSError("no terminal")
        return os.terminal_size((size, 24))

    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(os, "get_terminal_size", told)
    assert width_of(Stream(terminal)) == width


def test_no_columns_print_all(invoke, monkeypatch) -> None:
    wide = invoke("models").out
    monkeypatch.setenv("COLUMNS", "0")
    assert invoke("models").out == wide


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_hub_ids_stay_in_one_piece(invoke, monkeypatch, columns) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = invoke("models").out
    assert "sentence-transformers/all-MiniLM-L6-v2" in out
    assert max(map(len, out.splitlines())) <= columns


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_keys_stay_in_one_piece(invoke, tiny, monkeypatch, columns) -> None:
    wide = invoke("cache", "ls", "--cache-dir", tiny.cache_dir).out
    keys = [word for word in wide.split() if word.startswith(("ir/", "lib/", "bench/"))]
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = invoke("cache", "ls", "--cache-dir", tiny.cache_dir).out
    assert keys
    assert all(key in narrow for key in keys)
