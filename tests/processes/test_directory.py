from __future__ import annotations

from pathlib import Path

import pytest

from tvm_sparse.errors import BuildError
from tvm_sparse.processes.directory import place_directory

pytestmark = pytest.mark.unit


def fill(staging: Path) -> None:
    (staging / "file").write_text("new")


def broken(staging: Path) -> None:
    fill(staging)
    raise OSError(28, "No space left on device")


def test_a_directory_is_made_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "there" / "place"
    place_directory(fill, path, "it")
    (path / "older").write_text("")
    place_directory(fill, path, "it")
    assert [file.name for file in path.iterdir()] == ["file"]
    assert [file.name for file in path.parent.iterdir()] == ["place"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_what_was_there_stays_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place_directory(fill, tmp_path / "place", "it")
    with pytest.raises(BuildError, match=f"^the thing cannot be written to {path}: No space left"):
        place_directory(broken, path, "the thing")
    rename = Path.rename

    def refuse_the_new(source: Path, target: Path) -> Path:
        if source.name == "new":
            raise OSError(13, "Permission denied")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(BuildError, match="Permission denied"):
        place_directory(fill, path, "the thing")
    assert (path / "file").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["place"]


def test_a_place_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match=f"^it cannot be written to {tmp_path / 'file'}/place: "):
        place_directory(fill, tmp_path / "file" / "place", "it")
