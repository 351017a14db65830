from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.safetensors_header import HeaderEntry, read_header

pytestmark = pytest.mark.unit


def write(path: Path, header: Any, data: int) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    return path


def entry(offsets: Any, dtype: Any = "F32", shape: Any = (2,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    tensors = {
        "b": np.zeros((2, 3), np.float16),
        "a": np.ones((), np.int64),
        "e": np.ones((0, 4), np.float32),
        "c": np.ones(5, bool),
    }
    save_file(tensors, tmp_path / "x", metadata={"format": "pt"})
    header = read_header(tmp_path / "x")
    assert {name: found.shape for name, found in header.tensors.items()} == {
        name: value.shape for name, value in tensors.items()
    }
    assert header.tensors["b"].dtype == "F16"
    assert header.data_start + max(e.data_offsets[1] for e in header.tensors.values()) == (
        (tmp_path / "x").stat().st_size
    )
    assert isinstance(header.tensors["a"], HeaderEntry)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"w": entry([0, 4])}, "w has 4 bytes, which is not what F32[2] takes"),
        ({"w": entry([0, 8], "F16")}, "w has 8 bytes, which is not what F16[2] takes"),
        ({"w": entry([0, 8], "F33")}, "w has the unknown dtype 'F33'"),
        ({"w": entry([8, 0])}, "w begins at byte 8, where 0 is expected"),
        ({"w": entry([0, 8]), "v": entry([0, 8])}, "v begins at byte 0, where 8 is expected"),
        ({"w": entry([0, 8]), "v": entry([12, 20])}, "v begins at byte 12, where 8 is expected"),
        ({"w": entry([0, 8], shape=[-2])}, "w.shape[0]: Expected int >= 0, got -2"),
        ({"w": entry([0, 8], shape=[2**62] * 32)}, "which is not what F32[4611686018427387904"),
        ({"w": entry(["a", "b"])}, "w.data_offsets[0]: Expected int, got str"),
        ({"w": entry([0])}, "w.data_offsets: Expected array of length 2, got 1"),
        ({"w": entry([0, 10**400])}, "more than 64 bits"),
        ({"w": 5}, "w: Expected object, got int"),
        ([], "Expected object, got array"),
        (b"[" * 100_000, "nested too deeply"),
        ({"w": entry([0, 12], shape=[3])}, "is truncated: "),
        ({}, "is longer than its header says"),
    ],
)
def test_headers_that_lie(header: Any, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", header, 8)
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
