from __future__ import annotations

import json

import pytest
from tiny_artifact import tiny_metadata

from tvm_sparse.errors import ArtifactError
from tvm_sparse.runtime.metadata import ArtifactMetadata, FileEntry

pytestmark = pytest.mark.unit


def document() -> dict:
    metadata = tiny_metadata(
        decisions=({"weight": "w", "action": "dense"},),
        files={"model.so": FileEntry("00", 5)},
    )
    return json.loads(json.dumps(metadata.to_json()))


def test_round_trip() -> None:
    metadata = ArtifactMetadata.from_json(document())
    assert json.loads(json.dumps(metadata.to_json())) == document()
    assert metadata.inputs == tiny_metadata().inputs
    assert metadata.calls == tiny_metadata().calls


@pytest.mark.parametrize("key", sorted(document()))
def test_every_field_is_needed(key: str) -> None:
    values = document()
    del values[key]
    with pytest.raises(ArtifactError, match=f"lacks the field '{key}'"):
        ArtifactMetadata.from_json(values)


@pytest.mark.parametrize("key", sorted(document()))
def test_every_field_is_typed(key: str) -> None:
    with pytest.raises(ArtifactError, match=f"field '{key}' is a bool"):
        ArtifactMetadata.from_json({**document(), key: True})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [{"name": "x", "shape": [1, "2"], "dtype": "f"}]}, r"inputs\[0\].*'shape'"),
        ({"inputs": ["x"]}, r"inputs\[0\] is not a JSON object"),
        ({"required_features": [1]}, "'required_features' holds something that is no str"),
        ({"files": {"model.so": {"sha256": "0"}}}, "files.model.so lacks the field 'size_bytes'"),
        ({"schema_version": 2}, "schema version 2, this tvm_sparse reads version 1"),
    ],
)
def test_wrong_contents(changes: dict, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        ArtifactMetadata.from_json({**document(), **changes})
