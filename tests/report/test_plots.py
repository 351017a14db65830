from __future__ import annotations

from dataclasses import replace

import pytest
from example_study import BLOCKS, SPARSITIES, cost_model, example_study

from tvm_sparse.report import study_charts as charts
from tvm_sparse.report import study_plots
from tvm_sparse.report.chart_elements import sparsity_axis
from tvm_sparse.report.palette import NEUTRAL, SERIES
from tvm_sparse.report.study_rows import Shape, StudyRow, blocks_of, ideal_speedup
from tvm_sparse.report.study_scatters import pareto_front, prediction_chart
from tvm_sparse.report.study_view import view_of
from tvm_sparse.tuning.setting import Setting

pytestmark = pytest.mark.unit

SETTING = Setting(128, 1, 2, 1)
SHAPE = Shape(1, 128, 2)


@pytest.fixture(scope="module")
def rows() -> tuple[StudyRow, ...]:
    return view_of(example_study()).rows


def traces(figure, **wanted):
    return [t for t in figure["data"] if all(t.get(key) == v for key, v in wanted.items())]


def contrast(colour: str, ground: str) -> float:
    def luminance(text: str) -> float:
        channels = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#14171b"])
@pytest.mark.parametrize("colour", [*SERIES, NEUTRAL])
def test_colours_stand_out_on_both_grounds(colour, ground) -> None:
    assert contrast(colour, ground) >= 3


def test_speedup_lines_are_the_predictions(rows) -> None:
    figure = charts.speedup_chart(rows, SHAPE)
    for block in BLOCKS:
        model = cost_model(SETTING, block)
        (line,) = traces(figure, name=f"{block[0]}x1", mode="lines")
        assert line["y"] == pytest.approx(
            [model.dense_ms / model.latency_ms(s) for s in SPARSITIES]
        )
        assert line["x"] == pytest.approx(sorted(line["x"]))


def test_measured_points_have_their_range(rows) -> None:
    figure = charts.speedup_chart(rows, SHAPE)
    (marks,) = traces(figure, name="4x1", mode="markers")
    assert len(marks["y"]) == 2
    for y, up, down in zip(
        marks["y"], marks["error_y"]["array"], marks["error_y"]["arrayminus"], strict=True
    ):
        assert up == pytest.approx(0.05 * y)
        assert down == pytest.approx(0.08 * y)


def test_disturbed_measurements_are_hollow(rows) -> None:
    (marks,) = traces(charts.speedup_chart(rows, SHAPE), name="4x1", mode="markers")
    assert marks["marker"]["symbol"] == ["square-open", "square"]


def test_a_median_outside_of_the_rounds_has_no_negative_whisker(rows) -> None:
    (row, *_) = [row for row in rows if row.measured_speedup and row.block_shape]
    odd = replace(row, measured_speedup=2.0, speedup_p10=3.0, speedup_p90=4.0)
    assert odd.speedup_spread == (0.0, 2.0)


def test_break_even_and_amdahls_limit(rows) -> None:
    figure = charts.speedup_chart(rows, SHAPE)
    # 70 of 100 ms can run sparse.
    assert [shape["y0"] for shape in figure["layout"]["shapes"]] == pytest.approx([1, 100 / 30])
    notes = [note["text"] for note in figure["layout"]["annotations"]]
    assert notes == ["break-even", "Amdahl's limit: 3.33×"]
    (ideal,) = traces(figure, name="non-zeros alone")
    assert ideal["y"][0] == pytest.approx(1)
    assert ideal["y"][-1] == pytest.approx(100 / (30 + 0.01 * 70))


def test_limits_that_differ_are_told_apart(rows) -> None:
    changed = [replace(r, amdahl_limit=2.0) if r.block_shape == "4x1" else r for r in rows]
    notes = charts.speedup_chart(changed, SHAPE)["layout"]["annotations"]
    assert [note["text"] for note in notes][1:] == [
        "Amdahl's limit of 1x1, 16x1, 32x1: 3.33×",
        "Amdahl's limit of 4x1: 2.00×",
    ]


def test_no_limit_is_no_line(rows) -> None:
    unbound = [replace(row, amdahl_limit=None) for row in rows]
    figure = charts.speedup_chart(unbound, SHAPE)
    assert [shape["y0"] for shape in figure["layout"]["shapes"]] == [1]


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 1.0])
def test_ideal_speedup(sparsity) -> None:
    assert ideal_speedup(4.0, sparsity) == pytest.approx(1 / (0.25 + 0.75 * (1 - sparsity)))


def test_parts_add_up_to_the_latency(rows) -> None:
    figure = charts.parts_chart(rows, SHAPE, "16x1")
    assert [trace["name"] for trace in figure["data"]] == ["products", "attention", "norms", "rest"]
    sums = [sum(values) for values in zip(*(trace["y"] for trace in figure["data"]), strict=True)]
    shown = [row for row in rows if row.shape == SHAPE and row.block_shape in ("", "16x1")]
    assert sums == pytest.approx([row.latency_ms for row in shown])
    assert figure["data"][0]["x"][0] == "dense"


def test_methods_at_one_sparsity_are_one_bar(rows) -> None:
    twice = [replace(row, method=method) for row in rows for method in ("magnitude", "wanda")]
    assert charts.parts_chart(twice, SHAPE, "16x1") == charts.parts_chart(rows, SHAPE, "16x1")
    assert charts.speedup_chart(twice, SHAPE) == charts.speedup_chart(rows, SHAPE)


def test_memory(rows) -> None:
    figure = charts.memory_chart(rows, SHAPE)
    assert [trace["name"] for trace in figure["data"]] == ["1x1", "4x1", "16x1", "32x1"]
    model = cost_model(SETTING, (4, 1))
    sizes = [model.predict(s).weights_bytes / 1e6 for s in SPARSITIES]
    assert figure["data"][1]["y"] == pytest.approx(sizes)
    assert figure["layout"]["shapes"][0]["y0"] == 440


def test_prediction_is_compared_at_the_speed_of_the_measurement(rows) -> None:
    figure = prediction_chart(rows)
    points = traces(figure, mode="markers")
    assert {trace["name"] for trace in points} == {"1x1", "4x1", "16x1", "32x1"}
    for trace in points:
        for x, y in zip(trace["x"], trace["y"], strict=True):
            assert x / y == pytest.approx(1.06)
        assert all(text[1] == "-5.7%" for text in trace["customdata"])


def test_pareto_front() -> None:
    def row(fidelity, speedup):
        return StudyRow(1, 128, 2, "sparse", "4x1", 0.9, "", predicted_speedup=speedup,
                        fidelity=fidelity)  # fmt: skip

    best, fast, beaten = row(0.99, 1.5), row(0.9, 3.0), row(0.89, 2.9)
    assert pareto_front([beaten, fast, best, row(None, 9.0)]) == [best, fast]


def test_sparsity_axis_spreads_what_is_close_to_one() -> None:
    axis = [sparsity_axis(s) for s in (0.0, 0.9, 0.99, 1.0)]
    assert axis == pytest.approx([0, 1, 2, 3])


def test_blocks_are_in_order_of_size(rows) -> None:
    assert blocks_of(rows) == ["1x1", "4x1", "16x1", "32x1"]


def test_every_shape_has_its_png(rows, tmp_path) -> None:
    written = study_plots.save_plots(view_of(example_study()), tmp_path)
    assert "speedup-batch-1-128-tokens-1-thread.png" in {path.name for path in written}
    assert len(written) == 2 * 3 + 1
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_charts_without_content_are_not_written(tmp_path) -> None:
    view = view_of(example_study((SETTING,), measured=()))
    names = [path.name for path in study_plots.save_plots(view, tmp_path)]
    assert names == ["speedup.png", "parts.png", "memory.png"]


def test_png_values(rows) -> None:
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    assert study_plots.draw_speedup(rows, SHAPE, axis)
    lines = {line.get_label(): line for line in axis.get_lines()}
    model = cost_model(SETTING, (4, 1))
    expected = [model.dense_ms / model.latency_ms(s) for s in SPARSITIES]
    assert list(lines["4x1, predicted"].get_ydata()) == pytest.approx(expected)
    axis = Figure().subplots()
    assert study_plots.draw_parts(rows, SHAPE, axis)
    heights = sum(bar.get_height() for bar in axis.patches if abs(bar.get_x() + 0.3) < 1e-6)
    assert heights == pytest.approx(100)
