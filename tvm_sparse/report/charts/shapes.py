"""The speed-up over shapes: what one sparsity gains on short texts, long ones and batches."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.report.charts import palette
from tvm_sparse.report.charts.elements import (
    FADED,
    HOLLOW,
    PICK,
    Chart,
    axis,
    block_symbols,
    datum,
    layer,
    line_at,
    percent,
    symbols,
    tooltip,
)
from tvm_sparse.report.study_rows import StudyRow, blocks_of
from tvm_sparse.whatif.grid import usual_sparsity


def shapes_chart(rows: Sequence[StudyRow]) -> Chart:
    """Draw the speed-up over dense at each shape, a line per block shape; empty for one shape.

    Predictions that cannot be relied on are left out.
    """
    sparse = [row for row in rows if row.block_shape and row.speedup]
    if len({(row.batch, row.seq_len) for row in sparse}) < 2:
        return {}
    shown = usual_sparsity(row.sparsity for row in sparse)
    here = {(row.block_shape, row.shape): row for row in reversed(sparse) if row.sparsity == shown}
    used = sorted(
        (row for row in here.values() if row.measured_ms or not row.doubted),
        key=lambda row: (row.threads, row.batch * row.seq_len, row.batch),
    )
    if not used:
        return {}
    found = [
        datum(
            row,
            where=str(row.shape),
            threads=row.threads,
            speedup=row.speedup,
            text=f"{row.speedup:.2f}×, {row.latency_ms:.4g} ms "
            f"({'measured' if row.measured_ms else 'predicted'})",
        )
        for row in used
    ]
    x = {
        "field": "where",
        "type": "nominal",
        "sort": list(dict.fromkeys(row["where"] for row in found)),
        "title": None,
        "axis": {"labelAngle": 0, "labelLimit": 180, "labelExpr": "split(datum.value, ', ')"},
    }
    y = {**axis("speed-up over dense (times)"), "field": "speedup"}
    look = block_symbols(blocks_of(used), blocks_of(rows))
    encoding = {"x": x, "y": y, "color": look["color"], "opacity": FADED}
    tips = tooltip(blocks="blocks", where="at", text="speed-up")
    layers = [
        *line_at(axis("speed-up over dense (times)"), 1.0, "break-even", palette.SOLID, "right"),
        layer(
            found,
            {"type": "line", "clip": True},
            {**encoding, "detail": {"field": "threads", "type": "nominal"}},
        ),
        symbols(found, {**encoding, **look, "tooltip": tips}, PICK),
    ]
    hollow = f" {HOLLOW}" if any(row.disturbed for row in used) else ""
    return {"description": f"At {percent(shown)} zero blocks.{hollow}", "layer": layers}
