from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from chart_marks import layers_of, rows_of
from peers_record import peers_record

from tvm_sparse.bench.serving_record import Case, Figure, ServingRecord, load_serving_record
from tvm_sparse.errors import BuildError
from tvm_sparse.records.write import write_json
from tvm_sparse.report.charts.serving import serving_chart, serving_title

pytestmark = pytest.mark.unit

FIGURES = (
    Figure("BERT", "build alone", 100.0, "1/s", rounds=(99.0, 100.0, 101.0)),
    Figure("BERT", "served", 95.0, "1/s"),
    Figure("BERT", "served by alone", 0.95, "x", 0.92, at_least=True),
    Figure("MiniLM", "over HTTP", 1.2, "ms", 1.0),
)
RECORD = ServingRecord(
    peers_record().environment,
    {"wrk": "4.1.0"},
    (Case("throughput", "2026-01-02T03:04:05+00:00", 0.1, 60.0),),
    FIGURES,
)


def test_what_belongs_together_is_a_panel() -> None:
    (panel,) = serving_chart(RECORD)["vconcat"]
    assert panel["title"] == "BERT"
    (bars,) = layers_of(panel, "bar", x="value", y="what")
    assert [(row["value"], row["kind"]) for row in rows_of(bars)] == [(100.0, True), (95.0, False)]
    assert serving_title(RECORD).startswith("Serving on 2 cores of ")
    with pytest.raises(BuildError, match="there is no chart to draw"):
        serving_chart(replace(RECORD, figures=FIGURES[2:]))


def test_targets_are_limits_from_one_side() -> None:
    assert [one.is_met for one in FIGURES] == [True, True, True, False]
    assert not replace(FIGURES[2], value=0.9).is_met


def test_a_record_reads_as_it_was_written(tmp_path) -> None:
    write_json(tmp_path / "record.json", RECORD)
    assert load_serving_record(tmp_path / "record.json") == RECORD
    assert RECORD.value("BERT", "served") == 95.0
    assert RECORD.value("BERT", "eaten") is None


def test_published_records_are_drawn() -> None:
    folder = Path(__file__).parents[3] / "docs" / "benchmarks"
    records = list(folder.glob("*serving*.json"))
    assert records
    for path in records:
        assert serving_chart(load_serving_record(path))["vconcat"]
