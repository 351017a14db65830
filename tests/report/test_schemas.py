"""The published JSON Schemas are up to date, and records are what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from example_pruning import example_report, example_sensitivity
from example_record import MODEL, WEIGHTS, example_record
from example_study import example_study
from jsonschema import Draft202012Validator
from peers_record import peers_record
from tiny_artifact import tiny_metadata

from tvm_sparse.analysis.layers import Analysis
from tvm_sparse.fidelity.record import EvaluatedModel, EvaluationRecord
from tvm_sparse.records.write import json_text
from tvm_sparse.report.schemas import RECORDS, schema_texts
from tvm_sparse.runtime.metadata import FileEntry
from tvm_sparse.tiles import NO_TILES, SparseTile, Tiles, TokenTile
from tvm_sparse.tuning.tuned_build import TunedBuild, TunedProduct, TuningRecord

pytestmark = pytest.mark.unit

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
SIDE = EvaluatedModel("model", "model", WEIGHTS, seeded=True, scores={"f1": 0.5})
EVALUATION = EvaluationRecord(
    *("encoder", SIDE, SIDE, {"loss": 0.5}, 40, 0, 64, 1.5), example_record().environment
)
TILES = Tiles((TokenTile(4, 128, 2),), (), (SparseTile(64, 32, (4, 1), 2, 0.05, 2, 1),))
PRODUCT = TunedProduct(64, 32, (4, 1), 12, NO_TILES, TILES, 1.5, 1.25)
TUNING = TuningRecord((TunedBuild("sparse", (PRODUCT,), 20.0, 18.0),))
ANALYSIS = Analysis(MODEL, WEIGHTS, {}, "model m", (4, 1), (), sensitivity=example_sensitivity())


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / f"{name}.json").read_text()))


def test_the_published_schemas_are_those_of_the_code() -> None:
    published = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert published == schema_texts(), "run `python -m tvm_sparse.report.schemas`"


@pytest.mark.parametrize("name", RECORDS)
def test_schemas_are_valid_and_every_field_is_described(name: str) -> None:
    schema = validator(name).schema
    Draft202012Validator.check_schema(schema)
    for kind in (schema, *schema["$defs"].values()):
        assert kind["description"]
    lacking = {n for n, field in schema["properties"].items() if "description" not in field}
    assert lacking == {"schema_version"}


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("analysis", ANALYSIS),
        ("artifact", tiny_metadata(files={"model.so": FileEntry("00", 5)})),
        ("benchmark", example_record()),
        ("comparison", peers_record()),
        ("evaluation", EVALUATION),
        ("pruning", example_report()),
        ("study", example_study()),
        ("tuning", TUNING),
    ],
)
def test_records_are_what_the_schemas_say(name: str, record: Any) -> None:
    document = json.loads(json_text(record))
    validator(name).validate(document)
    document["surprise"] = 1
    assert not validator(name).is_valid(document)
    del document["surprise"], document["schema_version"]
    assert not validator(name).is_valid(document)
