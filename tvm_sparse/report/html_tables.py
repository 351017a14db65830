"""The tables of the report page: rows in, HTML out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

from tvm_sparse.report.economy_table import economy_cells
from tvm_sparse.report.study_rows import StudyLayer, StudyRow
from tvm_sparse.whatif.economy import Economy

_UNKNOWN = "–"
#: Marks a measurement that something else on the machine slowed.
DISTURBED = " *"
#: Marks a prediction that cannot be relied on.
DOUBTED = " ?"


def render_rows(rows: Sequence[StudyRow]) -> str:
    """Return the table of all builds; rows carry their shape, by which the page filters them."""
    fidelity = any(row.fidelity is not None for row in rows)
    header = [
        "build",
        "sparsity",
        "predicted (ms)",
        "measured (ms)",
        "error",
        "predicted (×)",
        "measured (×)",
        "p10 – p90 (×)",
        "weights (MB)",
        "products (ms)",
        "attention (ms)",
        "norms (ms)",
        "rest (ms)",
        *(["fidelity"] if fidelity else []),
    ]
    body = []
    for row in rows:
        name = f"{row.block_shape} {row.method}".strip() if row.block_shape else "dense"
        parts = row.parts_ms
        doubt = DOUBTED if row.doubted else ""
        cells = [
            _cell(name, "text"),
            _cell(percent(row.sparsity) if row.block_shape else _UNKNOWN),
            _cell(f"{number(row.predicted_ms)}{doubt}"),
            _cell(f"{number(row.measured_ms)}{DISTURBED if row.disturbed else ''}"),
            _cell(_signed(row.prediction_error)),
            _cell(f"{_times(row.predicted_speedup)}{doubt}"),
            _cell(_times(row.measured_speedup), _verdict(row.measured_speedup)),
            _cell(_span(row.speedup_p10, row.speedup_p90)),
            _cell(megabytes(row.weights_bytes)),
            *(_cell(number(parts.get(p))) for p in ("products", "attention", "norms", "rest")),
            *([_cell(_plain(row.fidelity, 4))] if fidelity else []),
        ]
        body.append(f'<tr data-shape="{escape(str(row.shape))}">{"".join(cells)}</tr>')
    return _table(header, body, {"build"})


def render_layers(layers: Sequence[StudyLayer]) -> str:
    """Return the table of the products; rows carry their shape, by which the page filters them.

    Parameters
    ----------
    layers : sequence of StudyLayer
        At all shapes.
    """
    columns = list(dict.fromkeys(name for layer in layers for name in layer.sparse_ms))
    blocks = list(dict.fromkeys(name for layer in layers for name in layer.stays_dense))
    header = ["layer", "kernel", "dense (ms)", "share"]
    header += [f"{name} (ms)" for name in columns]
    header += ["stays dense"]
    body = []
    for layer in layers:
        cells = [
            _cell(layer.layer, "text"),
            _cell(layer.kernel, "text"),
            _cell(number(layer.dense_ms)),
            _cell(_percent_short(layer.share)),
            *(_cell(number(layer.sparse_ms.get(name))) for name in columns),
            _cell(_reasons(layer.stays_dense, blocks), "text long"),
        ]
        body.append(f'<tr data-shape="{escape(str(layer.shape))}">{"".join(cells)}</tr>')
    return _table(header, body, {"layer", "kernel", "stays dense"})


def render_alternatives(alternatives: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of what else was measured, a column per field of the records."""
    header = list(dict.fromkeys(name for entry in alternatives for name in entry))
    body = [
        "<tr>" + "".join(_cell(*_value(entry.get(name))) for name in header) + "</tr>"
        for entry in alternatives
    ]
    words = {
        name.replace("_", " ")
        for name in header
        if any(_value(entry.get(name))[1] for entry in alternatives)
    }
    return _table([name.replace("_", " ") for name in header], body, words)


def render_economies(economies: Sequence[Economy]) -> str:
    """Return the table of what builds cost, a line each at every shape."""
    return _render_builds(*economy_cells(economies))


def render_shapes(cells: tuple[Sequence[str], Sequence[Sequence[str]]]) -> str:
    """Return the table of builds at all shapes, from what `shape_cells` returns."""
    return _render_builds(*cells)


def _render_builds(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    body = [
        f"<tr>{_cell(line[0], 'text')}{''.join(_cell(cell) for cell in line[1:])}</tr>"
        for line in lines
    ]
    return _table(list(header), body, {"build"})


def render_facts(facts: Mapping[str, Any]) -> str:
    """Return names and values as a table of two columns."""
    body = "\n".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(_text(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f'<table class="facts"><tbody>\n{body}\n</tbody></table>'


def number(value: float | None) -> str:
    """Return a quantity with four significant digits."""
    if value is None:
        return _UNKNOWN
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def percent(value: float | None) -> str:
    """Return a share of 0..1 in percent."""
    return _UNKNOWN if value is None else f"{100 * value:.4g} %"


def megabytes(size_bytes: int | None) -> str:
    """Return a size in units of 10^6 bytes."""
    return _UNKNOWN if size_bytes is None else number(size_bytes / 1e6)


def _table(header: Sequence[str], body: Sequence[str], words: Collection[str]) -> str:
    """Return a table in a box of its own that scrolls; columns of `words` are set to the left."""
    heads = "".join(
        f'<th scope="col"{" class=text" if name in words else ""}>{escape(name)}</th>'
        for name in header
    )
    rows = "\n".join(body)
    return (
        f'<div class="scroll tall"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _cell(text: str, kind: str = "") -> str:
    opening = f'<td class="{kind}">' if kind else "<td>"
    return f"{opening}{escape(text)}</td>"


def _span(low: float | None, high: float | None) -> str:
    return _UNKNOWN if low is None or high is None else f"{low:.2f} – {high:.2f}"


def _signed(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{100 * value:+.1f} %"


def _times(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}"


def _verdict(speedup: float | None) -> str:
    return "good" if speedup is not None and speedup > 1 else ""


def _plain(value: float | None, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"


def _percent_short(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.1%}"


def _reasons(stays_dense: Mapping[str, str], blocks: Sequence[str]) -> str:
    """Return why a layer stays dense: once, where the reason is that of all block shapes."""
    reasons = {block: stays_dense.get(block, "") for block in blocks}
    different = set(reasons.values())
    if len(different) <= 1:
        return "".join(different) or _UNKNOWN
    return "; ".join(f"{block}: {reason}" for block, reason in reasons.items() if reason)


def _value(value: Any) -> tuple[str, str]:
    """Return a value as the text of a cell, and the kind of the cell."""
    if isinstance(value, float):
        return number(value), ""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return _text(value), "" if is_number else "text"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text}" for name, text in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _UNKNOWN if value is None else str(value)
