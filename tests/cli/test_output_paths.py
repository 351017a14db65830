from __future__ import annotations

import pytest

from tvm_sparse.cli.output_paths import (
    check_cache_directory,
    check_output_directory,
    check_output_file,
)
from tvm_sparse.errors import ConfigError

pytestmark = pytest.mark.unit


def test_good_paths_leave_no_trace(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_output_file("--json", None)
    check_output_file("--json", "out.json")
    check_output_file("--json", str(tmp_path / "out.json"))
    check_output_directory("-o", None)
    check_output_directory("-o", "out")
    check_output_directory("-o", str(tmp_path / "a" / "b" / "c"))
    check_output_directory("-o", str(tmp_path))
    check_cache_directory(str(tmp_path / "cache"))
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_kept(tmp_path) -> None:
    path = tmp_path / "out.json"
    path.write_text("older")
    check_output_file("--json", str(path))
    assert path.read_text() == "older"


def test_refusals(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="there is no directory"):
        check_output_file("--json", str(tmp_path / "none" / "out.json"))
    with pytest.raises(ConfigError, match="that is a directory"):
        check_output_file("--json", str(tmp_path))
    with pytest.raises(ConfigError, match="file exists and is no directory"):
        check_output_directory("-o", str(tmp_path / "file" / "out"))
    with pytest.raises(ConfigError, match="dangling exists and is no directory"):
        check_output_directory("-o", str(tmp_path / "dangling"))
    with pytest.raises(ConfigError, match=r"cache directory .*file exists and is no directory"):
        check_cache_directory(str(tmp_path / "file"))


def test_a_cache_that_exists_may_be_read_only() -> None:
    check_cache_directory("/proc")
