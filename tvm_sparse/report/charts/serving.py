"""What serving costs: times and rates beside each other, a panel for each case."""

from __future__ import annotations

from typing import Any

from tvm_sparse.bench.serving_record import Figure, ServingRecord
from tvm_sparse.errors import BuildError
from tvm_sparse.report.charts.elements import Chart, axis, layer
from tvm_sparse.report.charts.palette import INK
from tvm_sparse.words import counted

_COLOUR, _OTHER = "#0072B2", "#BBBBBB"
_AXES = {
    "us": "microseconds",
    "ms": "milliseconds",
    "1/s": "requests a second",
    "MB": "megabytes",
}
#: What is not the server of builds itself.
_COMPARED = ("alone", "ONNX Runtime")


def serving_chart(record: ServingRecord) -> Chart:
    """Draw the times and the rates of the cases where several belong together.

    Raises
    ------
    BuildError
        There are none.
    """
    panels = []
    for case in dict.fromkeys(one.case for one in record.figures):
        for unit, title in _AXES.items():
            figures = [one for one in record.figures if (one.case, one.unit) == (case, unit)]
            if len(figures) > 1:
                panels.append(_panel(case, title, figures))
    if not panels:
        raise BuildError("nothing was measured that belongs together: there is no chart to draw")
    return {"description": "Grey: for comparison.", "vconcat": panels}


def serving_title(record: ServingRecord) -> str:
    """Return what was measured, and where."""
    cores = counted(record.environment.threads, "core")
    return f"Serving on {cores} of {record.environment.cpu_model}"


def _panel(case: str, title: str, figures: list[Figure]) -> Chart:
    rows: list[dict[str, Any]] = [
        {
            "what": one.what,
            "value": one.value,
            "text": f"{one.value:.3g}",
            "kind": any(word in one.what.replace("more than alone", "") for word in _COMPARED),
        }
        for one in figures
    ]
    most = max(one.value for one in figures)
    y = {"field": "what", "type": "nominal", "sort": None, "title": None}
    x = {**axis(title, domain=[0, 1.15 * most]), "field": "value"}
    colour = {"condition": {"test": "datum.kind", "value": _OTHER}, "value": _COLOUR}
    text = {"type": "text", "align": "left", "dx": 4, "color": INK}
    return {
        "title": case,
        "width": 480,
        "height": {"step": 21},
        "layer": [
            layer(rows, {"type": "bar"}, {"y": y, "x": x, "color": colour}),
            layer(rows, text, {"y": y, "x": x, "text": {"field": "text"}}),
        ],
    }
