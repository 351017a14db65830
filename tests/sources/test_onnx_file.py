"""What an ONNX file says of itself: read without onnx, refused in one line where it is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from onnx_graphs import GraphMaker, needs_onnx

from tvm_sparse.errors import CheckpointError, ModelNotFoundError
from tvm_sparse.sources.onnx_file import read_onnx_file
from tvm_sparse.sources.onnx_source import find_onnx

pytestmark = [pytest.mark.unit, needs_onnx]


def small() -> GraphMaker:
    maker = GraphMaker()
    x = maker.input("input_ids", "int64", ("batch", 8))
    rows = maker.add("Gather", maker.weight("words.weight", np.ones((10, 4), np.float32)), x)
    maker.output("y", maker.add("Relu", rows))
    return maker


def test_signature_and_versions(tmp_path):
    found = read_onnx_file(small().save(tmp_path / "model.onnx"))
    assert found.opsets == {"": 17, "com.microsoft": 1}
    assert [(i.name, i.dtype, i.shape) for i in found.inputs] == [
        ("input_ids", "int64", ("batch", 8))
    ]
    assert [o.name for o in found.outputs] == ["y"]
    assert found.external == ()


def test_files_of_weights(tmp_path):
    path = small().save(tmp_path / "model.onnx", external=True)
    assert read_onnx_file(path).external == (tmp_path / "weights.bin",)
    os.truncate(tmp_path / "weights.bin", 100)
    with pytest.raises(CheckpointError, match=r"weights\.bin is truncated: 100 bytes"):
        read_onnx_file(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(CheckpointError, match=r"weights in weights\.bin, which is missing"):
        read_onnx_file(path)


def test_a_file_elsewhere_is_not_read(tmp_path):
    path = small().save(tmp_path / "model.onnx", external=True)
    path.write_bytes(path.read_bytes().replace(b"weights.bin", b"../../a.bin"))
    with pytest.raises(CheckpointError, match="which is not beside it"):
        read_onnx_file(path)


def test_truncated_at_any_byte_it_is_refused_in_one_line(tmp_path):
    path = small().save(tmp_path / "model.onnx")
    whole, content = read_onnx_file(path), path.read_bytes()
    for end in range(len(content) - 1):
        path.write_bytes(content[:end])
        if end == content.rindex(b"B\x11\n\rcom.microsoft"):
            # What stands last, the version of another domain, is left out.
            assert read_onnx_file(path).outputs == whole.outputs
            continue
        with pytest.raises(CheckpointError) as caught:
            read_onnx_file(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x00" * 64, b"hello", os.urandom(256)])
def test_what_is_no_onnx_file(tmp_path: Path, content: bytes):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        read_onnx_file(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ModelNotFoundError, match="there is no such file"):
        find_onnx(str(tmp_path / "model.onnx"))
