from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tvm_sparse.compiler.weights_object import write_weights_object
from tvm_sparse.runtime.weights import (
    ALIGNMENT_BYTES,
    map_weights,
    read_signature,
    weight_offsets,
    weight_table,
)

pytestmark = pytest.mark.unit

WEIGHTS = [
    np.arange(7, dtype=np.float32),
    np.arange(-3, 3, dtype=np.int32).reshape(2, 3),
    np.zeros((0, 4, 1), np.float32),
    np.arange(24, dtype=np.float64).reshape(2, 3, 4).transpose(2, 0, 1),
    np.array(5, np.int64),
    np.array([True, False, True]),
    np.arange(65, dtype=np.uint8),
]


def link(weights: list[np.ndarray], folder: Path, command: str = "gcc") -> ctypes.CDLL:
    write_weights_object(weights, "x86-64-v3", folder / "w.o", "main(é int32[1]) -> y")
    subprocess.run([command, "-shared", "-o", folder / "w.so", folder / "w.o"], check=True)
    return ctypes.CDLL(str(folder / "w.so"))


@pytest.mark.parametrize("command", ["gcc", "ld"])
def test_a_library_gives_back_what_went_in(tmp_path: Path, command: str) -> None:
    library = link(WEIGHTS, tmp_path, command)
    mapped = map_weights(library._name)
    assert len(mapped) == len(WEIGHTS)
    assert read_signature(library._name) == "main(é int32[1]) -> y"
    for found, wanted in zip(mapped, WEIGHTS, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
        assert found.ctypes.data % ALIGNMENT_BYTES == 0 or not found.size


def test_no_weights_at_all(tmp_path: Path) -> None:
    assert map_weights(link([], tmp_path)._name) == []


def test_a_library_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "w.c").write_text("int nothing;\n")
    subprocess.run(["gcc", "-shared", "-o", tmp_path / "w.so", tmp_path / "w.c"], check=True)
    with pytest.raises(ValueError, match="tvm_sparse_weights"):
        map_weights(ctypes.CDLL(str(tmp_path / "w.so"))._name)


def test_the_table_in_words() -> None:
    table = weight_table([np.zeros((2, 9), np.float32), np.zeros(3, np.int32)])
    assert table.tolist() == [2, 0, 2, 32, 2, 2, 9, 128, 0, 32, 1, 3]
    assert weight_offsets([np.zeros(16, np.float32), np.zeros(1, np.float32)]) == ([0, 64], 68)


@pytest.mark.parametrize(
    ("isa", "machine", "section"),
    [("x86-64-v4", "X86-64", ".lrodata"), ("aarch64", "AArch64", ".rodata")],
)
def test_binutils_read_the_object(tmp_path: Path, isa: str, machine: str, section: str) -> None:
    path = tmp_path / "w.o"
    write_weights_object(WEIGHTS, isa, path)
    command = ["readelf", "--file-header", "--sections", "--symbols", "--wide", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    assert machine in done.stdout
    words = {line.split()[-1]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert words["tvm_sparse_weights"][3:5] == ["OBJECT", "GLOBAL"]
    assert words["tvm_sparse_weight_table"][3:5] == ["OBJECT", "GLOBAL"]
    assert words["tvm_sparse_signature"][3:5] == ["OBJECT", "GLOBAL"]
    row = next(line for line in done.stdout.splitlines() if f" {section} " in line)
    # Allocated, and neither writable nor executable.
    flags = row.split("PROGBITS")[1].split()[4]
    assert flags.rstrip("l") == "A"
