"""What builds cost, as the cells of a table: for a terminal, a page and a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.whatif.economy import Economy


def economy_cells(economies: Sequence[Economy]) -> tuple[list[str], list[list[str]]]:
    """Return header and lines of the table; columns of which nothing is known are left out.

    Parameters
    ----------
    economies : sequence of Economy
        In the order of the lines.
    """
    several = len({one.setting for one in economies}) > 1
    columns = {
        "build": [f"{one.name}, {one.setting}" if several else one.name for one in economies],
        "latency (ms)": [f"{'' if one.measured else '~'}{one.latency_ms:.3g}" for one in economies],
        "items/s per core": [f"{one.items_per_s_per_core:.4g}" for one in economies],
        "core hours per million": [f"{one.core_hours_per_million:.3g}" for one in economies],
        "cost per million": [_money(one.cost_per_million) for one in economies],
        "cost per year": [_money(one.cost_per_year) for one in economies],
        "cores busy": ["" if one.cores is None else f"{one.cores:.3g}" for one in economies],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    return list(shown), [list(line) for line in zip(*shown.values(), strict=True)]


def render_economy(economies: Sequence[Economy]) -> FittedTable:
    """Return the table for a terminal."""
    header, lines = economy_cells(economies)
    table = FittedTable("What it costs")
    for index, name in enumerate(header):
        # The first columns are what the others follow from.
        table.add_column(name, right=bool(index), spare=index if index > 1 else 0)
    for line in lines:
        table.add_row(*line)
    return table


def _money(amount: float | None) -> str:
    if amount is None:
        return ""
    return f"{amount:,.0f}" if amount >= 1000 else f"{amount:.3g}"
