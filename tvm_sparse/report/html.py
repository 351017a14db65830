"""The report of a study: one HTML file that needs no network, with pictures and CSV beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from tvm_sparse.records.write import write_text
from tvm_sparse.report.charts.render import load_library, theme
from tvm_sparse.report.html_tables import (
    render_alternatives,
    render_economies,
    render_facts,
    render_layers,
    render_rows,
    render_shapes,
)
from tvm_sparse.report.study_charts import StudyChart, charts_of, fastest_block, save_charts
from tvm_sparse.report.study_rows import blocks_of, rows_csv, shapes_of
from tvm_sparse.report.study_shapes import shape_cells
from tvm_sparse.report.study_view import StudyView, layers_csv, view_of
from tvm_sparse.whatif.study import Study

#: Nothing in the page may load anything, whatever a name in the study contains.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
_CHARTS = {
    "speedup": (
        "Speed-up over sparsity",
        "How many times faster than the dense build. Lines are predictions that go through what "
        "was measured, symbols measurements with the range of 80 % of their rounds, hollow where "
        "something disturbed them; the dotted curve is what the non-zeros alone would cost. Below "
        "break-even pruning costs time. No build gets above Amdahl's limit, because the rest of "
        "the model takes as long as before.",
    ),
    "parts": (
        "Latency by part",
        "Where the time goes: products that can run sparse and those that cannot, attention, "
        "norms, and everything else.",
    ),
    "memory": ("Memory of the weights", "Non-zero blocks and their indices, and what is dense."),
    "shapes": (
        "Speed-up over shapes",
        "What a usual sparsity gains on short texts, long ones and batches: measured where it was, "
        "else predicted.",
    ),
    "prediction": (
        "Predicted and measured",
        "Every build that was both predicted and measured, at every shape. On the line the two "
        "are equal. The prediction is first brought to the speed that the machine had during the "
        "measurement, which the dense build beside it tells.",
    ),
    "pareto": (
        "Speed-up and fidelity",
        "How much agreement with the dense model each build keeps for its speed. What lies up and "
        "to the right is better; the dotted line joins the builds that no other one beats.",
    ),
}
_WIDE = {"speedup", "shapes", "prediction", "pareto"}


def write_report(study: Study, directory: str | Path) -> list[Path]:
    """Write the report of a what-if study.

    Parameters
    ----------
    study : Study
        Its record.
    directory : path
        Where the files go; made if it does not exist.

    Returns
    -------
    list of Path
        `report.html`, the PNG files, `points.csv` and `layers.csv`.

    Raises
    ------
    DependencyError
        If vl-convert-python is not installed.
    BuildError
        If a file cannot be written.
    """
    view = view_of(study)
    directory = Path(directory)
    page = render_page(view, load_library())
    texts = {"report.html": page, "points.csv": rows_csv(view.rows)}
    if view.layers:
        texts["layers.csv"] = layers_csv(view.layers)
    for name, text in texts.items():
        write_text(directory / name, text)
    return [*(directory / name for name in texts), *save_charts(view, directory)]


def render_page(view: StudyView, library: str) -> str:
    """Return the page as text.

    Parameters
    ----------
    view : StudyView
        What to show.
    library : str
        The JavaScript library that draws the charts.
    """
    title = f"What if {view.name} were pruned?"
    charts, shapes = charts_of(view), shape_cells(view.rows)
    body = "\n".join(
        part
        for part in (
            f"<h1>{escape(title)}</h1>",
            *_warnings([view.unreliable] if view.unreliable else []),
            *_verdict(view),
            *_warnings(view.warnings),
            f'<p class="soft">{escape(view.summary)}</p>',
            _answers(view),
            "<h2>Charts</h2>",
            '<p class="soft">A click on a block shape in the legend leaves the others faint.'
            '<span class="mouse"> Drag a chart to move it, turn the wheel with Ctrl to zoom, '
            "double-click to go back.</span></p>",
            _controls(view),
            '<div class="charts">',
            *(_card(name) for name in _CHARTS if any(chart.name == name for chart in charts)),
            "</div>",
            *_section("All shapes", render_shapes(shapes), shapes[1]),
            "<h2>All builds</h2>",
            render_rows(view.rows),
            *_section("Layers", render_layers(view.layers), view.layers),
            *_section("Alternatives", render_alternatives(view.alternatives), view.alternatives),
            *_section("Left out", _list(view.refused), view.refused),
            "<h2>Environment</h2>",
            render_facts(view.environment),
            "<h2>Repeat it</h2>",
            f'<pre id="command">{escape(view.command)}</pre>',
            '<p><button id="copy" type="button" hidden>copy</button></p>',
            "<h2>What the numbers mean</h2>",
            _definitions(view),
        )
        if part
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{_page_file("style.css")}</style>
</head>
<body>
{body}
<script type="application/json" id="study">{_script_json(_drawn(charts))}</script>
<script>{library}</script>
<script>
{_page_file("page.js")}</script>
</body>
</html>
"""


def _drawn(charts: Sequence[StudyChart]) -> dict[str, Any]:
    """Return what the page draws: it fills the cards, whose size its style sheet gives."""
    fill = {"width": "container", "height": "container"}
    shown = [{**asdict(chart), "chart": {**fill, **chart.chart}} for chart in charts]
    return {"theme": theme("system-ui, sans-serif"), "charts": shown}


def _warnings(sentences: Sequence[str]) -> list[str]:
    return [f'<p class="warning">{_prose(sentence)}</p>' for sentence in sentences]


def _verdict(view: StudyView) -> list[str]:
    """Return the line to decide by, what to know with it, and what builds cost."""
    if view.verdict is None:
        return []
    caveats = view.caveats
    return [
        '<section class="verdict">',
        f"<p>{_prose(view.verdict.text)}</p>",
        _list(caveats) if caveats else "",
        render_economies(view.verdict.economies),
        "</section>",
    ]


def _answers(view: StudyView) -> str:
    if not view.answers:
        return ""
    return f'<section class="answers"><h3>In plain words</h3>{_list(view.answers)}</section>'


def _list(sentences: Sequence[str]) -> str:
    items = "\n".join(f"<li>{_prose(sentence)}</li>" for sentence in sentences)
    return f"<ul>\n{items}\n</ul>"


def _controls(view: StudyView) -> str:
    """Return the choices above the charts."""
    shapes = [str(shape) for shape in shapes_of(view.rows)]
    controls = (
        _choice("shape", "shape", shapes, shapes[0] if shapes else ""),
        _choice(
            "block",
            "blocks of “Latency by part”",
            blocks_of(view.rows),
            fastest_block(view.rows),
        ),
    )
    return f'<div class="controls">{"".join(controls)}</div>'


def _choice(name: str, label: str, values: Sequence[str], chosen: str) -> str:
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(value)}</option>"
        for value in values
    )
    # Firefox would otherwise keep what was chosen before a reload, and the charts not.
    return (
        f'<label>{escape(label)} <select id="{name}" autocomplete="off">{options}</select></label>'
    )


def _card(name: str) -> str:
    title, caption = _CHARTS[name]
    wide = " wide" if name in _WIDE else ""
    return (
        f'<figure class="card{wide}" style="margin:0"><h3>{escape(title)}</h3>'
        f'<p class="soft">{escape(caption)}</p>'
        f'<div class="plot" data-chart="{name}" role="img" aria-label="{escape(title)}"></div>'
        "</figure>"
    )


def _prose(text: str) -> str:
    """Return a sentence as HTML, `commands` in the type of code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _section(title: str, body: str, content: Sequence[Any]) -> list[str]:
    return [f"<h2>{escape(title)}</h2>", body] if content else []


def _definitions(view: StudyView) -> str:
    lines = {
        "latency": "of one inference, in milliseconds; measured ones are the tenth percentile of "
        "the rounds",
        "speed-up": "latency of the dense build over that of the sparse one; measured ones come "
        "from dense and sparse builds that ran in turns",
        "sparsity": "share of blocks (outputs x inputs) of the eligible layers' weights that are "
        "zero; at 1x1 a block is one weight",
        "error": "(predicted - measured) / measured latency, the prediction brought to the speed "
        "that the machine had during the measurement",
        "Amdahl's limit": "speed-up if the layers that can run sparse took no time at all",
        "core hours": "of a million requests, a request being a sequence: latency times threads "
        "over batch; cores are busy all the time",
        "memory": "weights as the kernels read them: non-zero blocks and their indices; "
        "1 MB is 10^6 bytes",
    }
    if any(row.disturbed for row in view.rows):
        lines["*"] = "something else slowed the machine during this measurement"
    if any(row.doubted for row in view.rows):
        lines["?"] = "a prediction that cannot be relied on: charts and answers leave it out"
    if any(row.fidelity is not None for row in view.rows):
        lines["fidelity"] = view.fidelity_meaning or "agreement with the dense model, 1 for equal"
    return render_facts(lines)


def _script_json(value: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _page_file(name: str) -> str:
    return (resources.files("tvm_sparse.report") / "page" / name).read_text(encoding="utf-8")
