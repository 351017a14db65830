"""What the Tab key offers, and how a shell gets to know."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from tvm_sparse.cli.main import cli

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("words", "incomplete", "offered"),
    [
        ((), "ex", ["export"]),
        (("run",), "--threa", ["--threads"]),
        (("export", "--build"), "", ["sparse", "dense"]),
        (("cache",), "cl", ["clear"]),
        (("run", "--model"), "bert-t", ["bert-t", "bert-tiny"]),
        (("prune",), "mini", ["mini", "minilm-l6"]),
    ],
)
def test_words_are_completed(words, incomplete, offered) -> None:
    shell = ShellComplete(cli, {}, "tvm-sparse", "_TVM_SPARSE_COMPLETE")
    found = shell.get_completions(list(words), incomplete)
    values = [item.value for item in found]
    assert [value for value in values if value in offered] == offered
    # The directories of the shell come with the presets.
    assert [item.type for item in found if item.value == incomplete] == ["dir"] * (
        incomplete in offered
    )


def test_install_is_one_command_and_may_be_repeated(invoke, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    (tmp_path / ".bashrc").write_text("alias ll='ls -l'")
    for _ in range(2):
        result = invoke("completion", "--install")
        assert (result.code, result.err) == (0, "")
    script = tmp_path / ".local/share/tvm_sparse/completion.bash"
    assert result.out == f"wrote {script}: new bash sessions complete tvm-sparse\n"
    assert (tmp_path / ".bashrc").read_text() == f"alias ll='ls -l'\n. \"{script}\"\n"
    line = f". {tmp_path}/.bashrc && complete -p tvm-sparse"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert "_tvm_sparse_completion" in done.stdout
    assert invoke("completion", "fish").out.startswith("function _tvm_sparse_completion")


def test_a_shell_that_is_not_known(invoke, monkeypatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    result = invoke("completion")
    assert result.code == 2
    assert "$SHELL is tcsh: name the shell, one of bash, zsh, fish" in result.err
