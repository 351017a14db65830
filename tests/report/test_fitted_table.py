"""Tables as wide as the terminal at most, with every name in one piece as long as it goes."""

from __future__ import annotations

import io

import pytest
from example_record import LAYER, example_record
from peers_record import peers_record
from rich.console import Console

from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.report.peers_table import render_peers
from tvm_sparse.report.table import render_decisions, render_profile

pytestmark = pytest.mark.unit


def table() -> FittedTable:
    table = FittedTable("Layers")
    table.add_column("layer")
    table.add_column("params", right=True, spare=2)
    table.add_column("zeros", right=True, spare=1)
    table.add_column("would run", wraps=True)
    table.add_row("encoder/attention/query", "16.4 k", "90.0%", "sparse: reaches the threshold")
    table.add_section()
    table.add_row("all", "16.4 k", "90.0%", "1 sparse")
    return table


def lines(table: FittedTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("width", "headers", "note"),
    [
        (120, ["layer", "params", "zeros", "would", "run"], ""),
        (62, ["layer", "params", "zeros", "would", "run"], ""),
        (50, ["layer", "zeros", "would", "run"], "not shown for want of width: params"),
        (42, ["layer", "would", "run"], "not shown for want of width: params, zeros"),
    ],
)
def test_what_matters_least_goes_first(width, headers, note) -> None:
    shown = lines(table(), width)
    assert next(line.split() for line in shown if "layer" in line.split()) == headers
    assert any("encoder/attention/query" in line for line in shown)
    assert (shown[-1] if note else "") == note
    assert max(map(len, shown)) <= width


def test_names_break_at_slashes_when_nothing_else_is_left() -> None:
    shown = lines(table(), 34)
    assert any(line.lstrip().startswith("encoder/ ") for line in shown)
    assert max(map(len, shown)) <= 34


@pytest.mark.parametrize("width", [80, 120, 160])
def test_tables_of_results_keep_their_names(width) -> None:
    record = example_record()
    for found, name in (
        (render_decisions(record.decisions), LAYER),
        (render_profile(record), LAYER),
        (render_profile(record), "packed_dense"),
        (render_peers(peers_record(), 1), "onnxruntime-int8 label"),
    ):
        shown = lines(found, width)
        assert any(name in line for line in shown)
        assert max(map(len, shown)) <= width


def test_a_path_in_a_text_breaks_before_a_key_does() -> None:
    entries = FittedTable("cache")
    entries.add_column("entry")
    entries.add_column("what", wraps=True)
    entries.add_row("ir/d61d4ac5eab65dc1d4be", f"/{'long/' * 20}model, batch 1")
    shown = lines(entries, 60)
    assert any("ir/d61d4ac5eab65dc1d4be" in line for line in shown)
    assert max(map(len, shown)) <= 60


def test_markup_and_titles_stand_as_they_are() -> None:
    odd = FittedTable("[bold]a title that is wider than its table")
    odd.add_column("[red]")
    odd.add_row("layer[bold]/[0]")
    text = "\n".join(lines(odd, 60))
    for word in ("[bold]a title that is wider than its table", "[red]", "layer[bold]/[0]"):
        assert word in text
