from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_artifact import tiny_metadata

from tvm_sparse.errors import ArtifactError
from tvm_sparse.model.decision import Decision
from tvm_sparse.records.write import json_text, write_json
from tvm_sparse.runtime.metadata import FileEntry, load_metadata, save_metadata

pytestmark = pytest.mark.unit

METADATA = tiny_metadata(
    decisions=(Decision("w", (4, 4), (1, 1), 0.5, None, False, "dense", "head", 32, 64),),
    files={"model.so": FileEntry("00", 5)},
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    save_metadata(tmp_path, METADATA)
    assert replace(load_metadata(tmp_path), checksum="") == METADATA


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [{"name": "x", "shape": [1, "2"]}]}, r"inputs\[0\].shape\[1\]: "),
        ({"files": {"model.so": {"sha256": "0"}}}, "files.model.so: .* required field size_bytes"),
        ({"schema_version": 3}, "has schema version 3, 4 is needed"),
    ],
)
def test_wrong_contents(tmp_path: Path, changes: dict, message: str) -> None:
    write_json(tmp_path / "metadata.json", {**json.loads(json_text(METADATA)), **changes})
    with pytest.raises(ArtifactError, match=rf"^{tmp_path}/metadata.json.*{message}.*again$"):
        load_metadata(tmp_path)


def test_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no artifact directory .*/none: give a directory"):
        load_metadata(tmp_path / "none")
    with pytest.raises(ArtifactError, match=r"has no metadata.json: give a directory"):
        load_metadata(tmp_path)
