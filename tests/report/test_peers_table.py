from __future__ import annotations

import io
from dataclasses import replace

import pytest
from peers_record import peers_record
from rich.console import Console

from tvm_sparse.report.peers_table import describe_engines, describe_rival, render_peers

pytestmark = pytest.mark.unit


def test_a_row_per_engine(check_golden) -> None:
    record = peers_record()
    console = Console(file=io.StringIO(), width=80, color_system=None, legacy_windows=False)
    console.print(render_peers(record, 1))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [*text.splitlines(), *describe_engines(record, 1), describe_rival(record, 1)]
    check_golden("peers-table.txt", "".join(f"{line.rstrip()}\n" for line in lines))


def test_without_rivals_there_are_no_ratios() -> None:
    record = peers_record()
    own = replace(record, results=record.results[:2])
    assert describe_rival(own, 1).startswith("No open dense engine was measured")
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(render_peers(own, 1))
    rows = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    medians = [row.split()[-7:] for row in rows if "tvm_sparse" in row]
    assert [(row[0], *row[3:5]) for row in medians] == [
        *(("100.00", "-", "-"), ("10.00", "-", "-"))
    ]
