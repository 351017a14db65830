"""Builds with products of 8 bits beside those of floats: predicted, and answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_parts import SETTING, make_baseline, make_curves

from tvm_sparse.bench.output_error import OutputError
from tvm_sparse.whatif import rounded
from tvm_sparse.whatif.rounded import bent, rounded_points, worth_measuring
from tvm_sparse.whatif.rounded_point import NO_BLOCKS, MeasuredRounding, RoundedPoint
from tvm_sparse.whatif.rounding_answer import rounding_answer

pytestmark = pytest.mark.unit


@pytest.fixture
def half_the_time(monkeypatch) -> None:
    """Kernels of 8 bits take half of what those of floats do, and rounding a hundredth."""

    def times(_records, jobs, *_):
        found = {}
        for job in jobs:
            facts = job.kernel
            full = {"quantize_tokens": 0.01}.get(facts.kind, 1.0)
            full /= 2 if facts.dtype.startswith("int8") else 1
            found[job] = {density: full * density for density in job.densities}
        return found

    monkeypatch.setattr(rounded, "measured_kernels", times)


def test_whole_words_have_a_curve_and_the_dense_build_a_point(half_the_time) -> None:
    points = rounded_points(make_baseline(), [(1, 1), (4, 4)], [0.0, 0.5], "int8", None)
    assert [(point.block_shape, point.sparsity) for point in points] == [
        *((NO_BLOCKS, 0.0), ((4, 4), 0.0), ((4, 4), 0.5))
    ]
    dense, full, half = points
    assert dense.predicted_speedup == pytest.approx(full.predicted_speedup, rel=0.05)
    assert 1 < dense.predicted_speedup < 2  # what is no product stays
    assert half.predicted_speedup > full.predicted_speedup
    assert half.weights_bytes < full.weights_bytes
    assert worth_measuring(points) == [dense, half]
    assert half.recipe == "50 % in 4x4 with INT8"


def test_predictions_go_through_what_was_measured() -> None:
    dense, sparse = (
        [RoundedPoint(SETTING, "int8", shape, sparsity, 10.0, 4.0, 1) for sparsity in sparsities]
        for shape, sparsities in ((NO_BLOCKS, [0.0]), ((4, 4), [0.5, 0.7, 0.9, 0.95]))
    )
    for at, speedup, disturbed in ((0, 4.0, False), (2, 2.0, False), (3, 1.0, True)):
        measured = MeasuredRounding(40 / speedup, speedup, None, disturbed)
        sparse[at] = replace(sparse[at], measured=measured)
    found = bent([*dense, *sparse])
    assert [point.correction for point in found] == pytest.approx([1.0, 1.0, 1.5, 2.0, 2.0])
    assert found[2].speedup == found[2].expected_speedup == pytest.approx(4.0 / 1.5)
    assert found[2].latency_ms == pytest.approx(15.0)
    assert (found[4].speedup, found[4].expected_speedup) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("alone", "both", "best", "verb"),
    [
        (5.0, 5.1, "rounding alone", "is"),  # nearly as fast, and simpler
        (1.2, 1.3, "pruning alone", "is"),
        (1.9, 9.0, "both together", "are"),
    ],
)
def test_the_answer_says_which_way_is_best(alone, both, best, verb) -> None:
    error = OutputError(0.042, 0.9991)
    points = [
        RoundedPoint(SETTING, "int8", shape, sparsity, 1.0, speedup, 1)
        for shape, sparsity, speedup in ((NO_BLOCKS, 0.0, alone), ((4, 4), 0.9, both))
    ]
    points[0] = replace(points[0], measured=MeasuredRounding(1.0, alone, error, False))
    answer = rounding_answer(make_curves(factors={(4, 1): 1.0}), points)
    assert answer.facts["best"] == best
    assert answer.text.startswith(f"INT8: for speed {best} {verb} best")
    assert f"rounding alone {alone:.2f}x (dense INT8, measured)" in answer.text
    assert f"both together {both:.2f}x (90 % in 4x4 with INT8, predicted)" in answer.text
    assert answer.text.endswith("off by 4.2% (relative L2), cosine 0.9991.")
