from __future__ import annotations

from dataclasses import replace

import pytest
from chart_marks import layers_of, rows_of
from peers_record import peers_record

from tvm_sparse.errors import BuildError
from tvm_sparse.report.charts.peers import peers_chart, peers_title

pytestmark = pytest.mark.unit


def test_a_panel_per_number_of_threads_slowest_first() -> None:
    record = peers_record()
    panels = peers_chart(record)["vconcat"]
    assert [panel["title"] for panel in panels] == ["1 thread", "2 threads"]
    (bars,) = layers_of(panels[0], "bar", x="median", y="engine", color="kind")
    (spread,) = layers_of(panels[0], "rule", x="p10", x2="p90")
    (texts,) = layers_of(panels[0], "text", x="p90", text="text")
    assert rows_of(bars) == rows_of(spread) == rows_of(texts)
    measured = sorted((r for r in record.at(1) if r.latency_ms), key=lambda r: -r.latency_ms.median)
    assert [row["engine"] for row in rows_of(bars)] == [result.label for result in measured]
    assert [row["median"] for row in rows_of(bars)] == [r.latency_ms.median for r in measured]
    fastest = rows_of(bars)[-1]
    # The best open dense engine takes 120 ms.
    assert (fastest["kind"], fastest["text"]) == ("tvm_sparse, sparse", "10 ms (12.00x)")


def test_the_title_says_what_and_where() -> None:
    title = "bert-base, batch 1, 128 tokens on Example CPU"
    assert peers_title(peers_record()) == title


def test_nothing_measured_is_refused() -> None:
    record = peers_record()
    nothing = replace(record, results=tuple(replace(r, latency_ms=None) for r in record.results))
    with pytest.raises(BuildError, match="nothing was measured"):
        peers_chart(nothing)
