"""The latency by part: where the time goes."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.formats.builds import DENSE
from tvm_sparse.report.charts.elements import Chart, axis, layer, percent, tooltip
from tvm_sparse.report.charts.palette import PARTS
from tvm_sparse.report.study_rows import Shape, StudyRow, dense_row, sparse_rows


def parts_chart(rows: Sequence[StudyRow], shape: Shape, block: str) -> Chart:
    """Draw the latency by part as stacked bars: dense, then one block shape over sparsity."""
    dense = dense_row(rows, shape)
    found = [
        {
            "build": row.build if row.build == DENSE.name else percent(row.sparsity),
            "part": part,
            "order": list(PARTS).index(part),
            "latency_ms": latency_ms,
            "text": f"{latency_ms:.3g} ms ({row.parts_from})",
        }
        for row in [*([dense] if dense else []), *sparse_rows(rows, shape, block)]
        for part, latency_ms in row.parts_ms.items()
    ]
    if not found:
        return {}
    builds = {"field": "build", "type": "nominal", "sort": None, "title": f"zero blocks of {block}"}
    colours = {"domain": list(PARTS), "range": list(PARTS.values())}
    encoding = {
        "x": {**builds, "axis": {"labelAngle": 0, "labelOverlap": "greedy"}},
        "y": {**axis("latency (ms)"), "field": "latency_ms"},
        "order": {"field": "order", "type": "quantitative"},
        "color": {"field": "part", "type": "nominal", "title": None, "scale": colours},
        "tooltip": tooltip(build="zero blocks", part="part", text="latency"),
    }
    return layer(found, {"type": "bar"}, encoding)
