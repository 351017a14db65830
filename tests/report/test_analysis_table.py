from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from example_record import MODEL, WEIGHTS
from rich.console import Console

from tvm_sparse.analysis.layers import Analysis, LayerAnalysis
from tvm_sparse.report.analysis_table import analysis_csv, describe_analysis, render_layers

pytestmark = pytest.mark.unit

QUERY = LayerAnalysis(
    weight="bert/encoder/[x]/query/kernel",
    shape=(256, 64),
    num_params=16384,
    flops=4_000_000,
    size_bytes=65536,
    element_sparsity=0.96,
    block_sparsities={"1x1": 0.96, "4x1": 0.9, "32x1": None},
    eligible=True,
    action="sparse",
    reason="block sparsity 0.9 reaches the threshold 0.5",
)
POOLER = replace(
    QUERY,
    weight="bert/pooler/dense/kernel",
    element_sparsity=0.0,
    block_sparsities={"1x1": 0.0, "4x1": 0.0, "32x1": 0.0},
    eligible=False,
    action="dense",
    reason="head (pooler): always dense",
)


def analysis(**changes) -> Analysis:
    whole = Analysis(MODEL, WEIGHTS, {}, "model x", (4, 1), (QUERY, POOLER))
    return replace(whole, **changes)


def timed() -> Analysis:
    layers = (
        replace(
            QUERY,
            latency_ms=6.0,
            latency_share=0.6,
            predicted_sparse_ms=1.5,
            predicted_at_sparsity=0.9,
        ),
        replace(POOLER, latency_ms=1.0, latency_share=0.1, timed_with=("other",)),
    )
    return analysis(
        layers=layers,
        timed_build="dense",
        latency_ms=10.0,
        parts_ms={"products": 7.0, "attention": 2.0, "norms": 0.6, "rest": 0.4},
        predicted_latency_ms=5.0,
    )


def render(table) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_table_without_times() -> None:
    lines = render(render_layers(analysis())).splitlines()
    header = next(line for line in lines if "layer " in line)
    assert header.split() == ["layer", "shape", "MFLOP", "params", "1x1", "4x1", "32x1",
                              "would", "run"]  # fmt: skip
    row = next(line for line in lines if "query" in line).split()
    assert row[:8] == ["encoder/[x]/query", "256x64", "4.0", "16.4", "k", "96.0%", "90.0%", "-"]
    assert " ".join(row[8:]) == "sparse: reaches the threshold 0.5"
    total = next(line for line in lines if "all 2 layers" in line)
    assert " ".join(total.split()) == "all 2 layers 8.0 32.8 k 48.0% 45.0% 0.0% 1 sparse"


def test_table_with_times() -> None:
    text = render(render_layers(timed()))
    row = next(line for line in text.splitlines() if "query" in line)
    assert "6.000 60.0% 1.500" in " ".join(row.split())
    total = next(line for line in text.splitlines() if "all 2" in line)
    assert "7.000 70.0% 1.500" in " ".join(total.split())


def test_an_artifact_runs_and_does_not_merely_would() -> None:
    assert "would run" not in render(render_layers(analysis(origin="artifact d")))


def test_sentences() -> None:
    text = "\n".join(describe_analysis(timed()))
    assert "48.0% of them zero" in text
    assert "the dense build takes 10.00 ms (median): products 7.000 ms (70.0%)" in text
    assert "of 4x1: the times of 1 eligible layer add up to 1.500 ms" in text
    assert "the model 5.000 ms instead of 10.00 ms (2.00x)" in text
    assert "share its time by their FLOPs" in text


def test_sentences_without_times() -> None:
    (line,) = describe_analysis(analysis())
    assert line == (
        "32.8 k parameters in 2 dense layers, 131.1 kB, 48.0% of them zero; 1 of the layers can "
        "run sparse, 1 would, 50.0% of the FLOPs"
    )


def test_csv_holds_the_fields() -> None:
    rows = list(csv.DictReader(io.StringIO(analysis_csv(timed()))))
    assert [row["weight"] for row in rows] == [QUERY.weight, POOLER.weight]
    first = rows[0]
    assert (first["n"], first["k"], first["flops"]) == ("256", "64", "4000000")
    assert (first["block_sparsity_4x1"], first["block_sparsity_32x1"]) == ("0.9", "")
    assert (first["latency_ms"], first["predicted_sparse_ms"]) == ("6.0", "1.5")
    assert rows[1]["predicted_sparse_ms"] == ""
