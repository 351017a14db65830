"""What the interactive charts of a study are put together from."""

from __future__ import annotations

import math
from typing import Any

from tvm_sparse.report.palette import NEUTRAL
from tvm_sparse.report.study_rows import StudyRow

#: A Plotly figure in JSON form: `data` and `layout`.
Figure = dict[str, Any]

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
#: Sparsities are drawn on a logarithmic axis of density, which ends here.
_LEAST_DENSITY = 1e-3


def series_symbol(index: int) -> str:
    """Return the symbol of the series with this number."""
    return SYMBOLS[index % len(SYMBOLS)]


def symbol_of(symbol: str, row: StudyRow) -> str:
    """Return the symbol of a measurement: hollow if something disturbed it."""
    return f"{symbol}-open" if row.disturbed else symbol


def horizontal(y: float, dash: str) -> dict[str, Any]:
    """Return a line across the chart at a height, as a shape of the layout."""
    line = {"color": NEUTRAL, "width": 1.5, "dash": dash}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def note(y: float, text: str, side: str) -> dict[str, Any]:
    """Return a text on such a line, at its `left` or `right` end."""
    return {
        "xref": "paper",
        "x": 0 if side == "left" else 1,
        "xanchor": side,
        "y": y,
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
    }


def sparsity_axis(sparsity: float) -> float:
    """Return where a sparsity of 0..1 lies: each tenth of what is left is one further."""
    return -math.log10(max(1 - sparsity, _LEAST_DENSITY))


def percent(sparsity: float) -> str:
    """Return a sparsity of 0..1 in percent."""
    return f"{100 * sparsity:.4g} %"
