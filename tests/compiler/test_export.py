from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
from tiny_artifact import WEIGHT, compile_tiny, tiny_inputs, tiny_metadata, tiny_reference

from tvm_sparse.compiler import export
from tvm_sparse.compiler.export import export_artifact
from tvm_sparse.compiler.linker import find_linker
from tvm_sparse.errors import BuildError
from tvm_sparse.processes import directory
from tvm_sparse.runtime.artifact import load

pytestmark = pytest.mark.unit

WEIGHTS = {"w": WEIGHT}


@pytest.fixture(scope="module")
def executable():
    return compile_tiny()


def refusal(executable, out_dir: Path) -> str:
    with pytest.raises(BuildError) as caught:
        export_artifact(executable, WEIGHTS, tiny_metadata(), out_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_artifact_is_two_files_that_know_each_other(executable, tmp_path: Path) -> None:
    out_dir = export_artifact(executable, WEIGHTS, tiny_metadata(), tmp_path / "new" / "artifact")
    assert sorted(path.name for path in out_dir.iterdir()) == ["metadata.json", "model.so"]
    assert [path.name for path in out_dir.parent.iterdir()] == ["artifact"]
    document = json.loads((out_dir / "metadata.json").read_text())
    content = (out_dir / "model.so").read_bytes()
    assert document["schema_version"] == 4
    assert document["files"] == {
        "model.so": {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    }
    first = {"name": "ids", "shape": [2, 4], "dtype": "int32", "below": 9, "axes": []}
    assert document["inputs"][0] == first


def test_an_older_artifact_and_an_empty_directory_are_replaced(executable, tmp_path: Path) -> None:
    out_dir = tmp_path / "artifact"
    out_dir.mkdir()
    for name in ("first", "second"):
        export_artifact(executable, WEIGHTS, tiny_metadata(name=name), out_dir)
        assert load(out_dir).metadata.name == name
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_other_directories_and_files_are_left_alone(executable, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "holds other files and no artifact" in refusal(executable, tmp_path)
    assert "is no directory" in refusal(executable, tmp_path / "notes.txt")
    out_dir = export_artifact(executable, WEIGHTS, tiny_metadata(), tmp_path / "artifact")
    (out_dir / "notes.txt").write_text("mine too")
    assert "no part of an artifact (notes.txt)" in refusal(executable, out_dir)
    assert (out_dir / "notes.txt").read_text() == "mine too"


@pytest.mark.parametrize("linker", ["gcc", "ld"])
def test_any_linker_does(executable, tmp_path: Path, monkeypatch, linker: str) -> None:
    monkeypatch.setenv("CXX", linker)
    out_dir = export_artifact(executable, WEIGHTS, tiny_metadata(), tmp_path / "artifact")
    outputs = load(out_dir).run(**tiny_inputs())
    assert outputs["hidden"] == pytest.approx(tiny_reference(tiny_inputs())["hidden"], rel=1e-5)


def test_no_linker(executable, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_linker("x86-64-v3") is None
    assert "no linker for x86-64-v2 found: install g++" in refusal(executable, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_linker_that_fails(executable, tmp_path: Path, monkeypatch) -> None:
    linker = tmp_path / "bin" / "broken-cc"
    linker.parent.mkdir()
    linker.write_text("#!/bin/sh\necho 'line one' >&2\necho 'out of patience' >&2\nexit 3\n")
    linker.chmod(0o755)
    monkeypatch.setenv("CXX", str(linker))
    message = refusal(executable, tmp_path / "a")
    assert "linking model.so with" in message
    assert "failed: out of patience" in message
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_a_full_disk_leaves_the_old_artifact(executable, tmp_path: Path, monkeypatch) -> None:
    out_dir = export_artifact(executable, WEIGHTS, tiny_metadata(name="old"), tmp_path / "artifact")

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    assert "No space left on device" in refusal(executable, out_dir)
    monkeypatch.undo()
    assert load(out_dir).metadata.name == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_ctrl_c_leaves_nothing_half_written(executable, tmp_path: Path, monkeypatch) -> None:
    out_dir = export_artifact(executable, WEIGHTS, tiny_metadata(name="old"), tmp_path / "artifact")
    rename = Path.rename

    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    def interrupt_second_rename(path: Path, target: Path) -> Path:
        metadata = path / "metadata.json"
        new = metadata.exists() and json.loads(metadata.read_text())["name"] == "tiny"
        if new and Path(target) == out_dir:
            raise KeyboardInterrupt
        return rename(path, target)

    for holder, name, stand_in in (
        (export, "link_library", interrupt),
        (directory, "replace_directory", interrupt),
        (Path, "rename", interrupt_second_rename),
    ):
        monkeypatch.setattr(holder, name, stand_in)
        with pytest.raises(KeyboardInterrupt):
            export_artifact(executable, WEIGHTS, tiny_metadata(), out_dir)
        monkeypatch.undo()
        assert load(out_dir).metadata.name == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


def test_a_place_that_cannot_be_written(executable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refusal(executable, tmp_path / "file" / "artifact")


def test_numbers_json_does_not_have(executable, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        export_artifact(executable, WEIGHTS, tiny_metadata(compile_s=float("nan")), tmp_path / "a")
    assert not list(tmp_path.iterdir())
