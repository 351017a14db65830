from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from tvm_sparse.errors import BuildError
from tvm_sparse.records.write import json_text, write_json, write_text

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Record:
    samples: tuple[float, ...]
    names: tuple[str, ...] = ("[1,\n 2]",)


def test_lists_of_numbers_are_one_line_and_strings_are_left_alone() -> None:
    record = Record(tuple(n / 8 for n in range(1000)))
    text = json_text({"records": [record.__dict__], "pairs": [[1, 2], [3, None]], "none": []})
    assert json.loads(text) == json.loads(
        json.dumps({"records": [record.__dict__], "pairs": [[1, 2], [3, None]], "none": []})
    )
    assert len(text.splitlines()) < 20
    assert "[3, null]" in text


def test_a_dataclass_is_written_with_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    write_json(path, Record((1.5,)))
    assert json.loads(path.read_text()) == {"samples": [1.5], "names": ["[1,\n 2]"]}
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, Record((float("nan"),)))

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BuildError, match=f"^{path} cannot be written: No space left on device$"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "record.json"):
        with pytest.raises(BuildError, match=f"^{path} cannot be written: [^\n]*$"):
            write_text(path, "")


def test_links_and_pipes_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"
    reader, writer = os.pipe()
    write_text(f"/proc/self/fd/{writer}", "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    os.close(writer)
