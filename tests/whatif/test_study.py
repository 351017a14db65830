from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from example_study import example_study

from tvm_sparse.errors import ConfigError
from tvm_sparse.records.write import write_json
from tvm_sparse.whatif.study import load_study

pytestmark = pytest.mark.unit


def test_what_was_written_is_read(tmp_path: Path) -> None:
    study = example_study()
    write_json(tmp_path / "study.json", study)
    assert load_study(tmp_path / "study.json") == study


def test_a_damaged_study_is_refused_with_the_field(tmp_path: Path) -> None:
    document = asdict(example_study())
    document["points"][3]["predicted"]["parts_ms"]["rest"] = "much"
    write_json(tmp_path / "study.json", document)
    place = r"study.json: points\[3\].predicted.parts_ms.rest: Expected float, got str: give a file"
    with pytest.raises(ConfigError, match=place):
        load_study(tmp_path / "study.json")


def test_every_field_is_documented() -> None:
    study = example_study()
    text = (Path(__file__).parents[2] / "docs" / "what-if.md").read_text()
    measured = next(point for point in study.points if point.measured is not None)
    parts = (study, study.settings[0], measured, measured.measured)
    for name in {name for part in parts for name in asdict(part)}:
        assert re.search(rf"`\.?{name}(\[\])?`", text), f"{name} is not documented"
