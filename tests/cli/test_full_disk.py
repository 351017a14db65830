"""A disk that fills up at every place that is written: one line, exit code 2, no rubbish."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import QUICK

pytestmark = pytest.mark.e2e

SIZE_BYTES = 256 << 10


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own with hardly any space."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill_up(folder: Path) -> Path:
    """Leave no space."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        for _ in range(SIZE_BYTES // 4096):
            try:
                stream.write(bytes(4096))
            except OSError:
                break
    with pytest.raises(OSError, match="No space left"):
        (folder / "one more").write_bytes(bytes(4096))
    (folder / "one more").unlink()
    return ballast


def test_build_does_not_fit_into_the_cache(small_disk, invoke, tiny) -> None:
    shutil.copytree(tiny.import_dir, small_disk / "cache" / "ir" / tiny.import_dir.name)
    fill_up(small_disk)
    result = invoke("run", *tiny.flags, "--cache-dir", small_disk / "cache", *QUICK, "-q")
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert "disk full at the cache" in result.err or "No space left on device" in result.err
    names = [path.name for path in (small_disk / "cache").rglob("*")]
    assert not [name for name in names if name.endswith((".partial", ".so"))]


def test_import_does_not_fit_into_the_cache(small_disk, invoke, tiny) -> None:
    ballast = fill_up(small_disk)
    with ballast.open("r+b") as stream:  # room for directories and nothing else
        stream.truncate(ballast.stat().st_size - (16 << 10))
    result = invoke("run", *tiny.flags, "--cache-dir", small_disk / "cache", *QUICK, "-q")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: disk full at the cache")
    assert result.err.count("\n") == 1
    assert not list((small_disk / "cache").rglob("*.partial"))


def test_export_does_not_fit(small_disk, invoke, tiny) -> None:
    fill_up(small_disk)
    result = invoke("export", *tiny.flags, "-o", small_disk / "out", "-q")
    assert (result.code, result.out) == (2, "")
    assert "No space left on device" in result.err
    assert result.err.count("\n") == 1
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_json_does_not_fit(small_disk, invoke, tiny) -> None:
    fill_up(small_disk)
    json_path = small_disk / "out.json"
    result = invoke("run", *tiny.flags, *QUICK, "-q", "--json", json_path)
    # What was measured is not lost.
    assert result.code == 2
    assert "latency median" in result.out
    assert result.err == f"error: {json_path} cannot be written: No space left on device\n"
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
