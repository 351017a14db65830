"""Answers and decisive points, from curves with known crossings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_parts import (
    DENSE_BYTES,
    FACTORS,
    SETTING,
    SPARSITIES,
    make_curves,
    make_measurement,
    make_predictors,
)

from tvm_sparse.whatif.answers import RANDOM_FILL, make_answers
from tvm_sparse.whatif.curves import Curves
from tvm_sparse.whatif.decisive import decisive_points
from tvm_sparse.whatif.grid import Targets
from tvm_sparse.whatif.study import Alternative

pytestmark = pytest.mark.unit


def answer(
    topic: str, curves: Curves | None = None, targets: Targets | None = None, alternatives=()
):
    answers = make_answers([curves or make_curves()], targets or Targets(), alternatives)
    return next(a for a in answers if a.topic == topic)


def topics(curves: Curves) -> set[str]:
    return {found.topic for found in make_answers([curves], Targets())}


def test_break_even_is_told_per_block_shape():
    facts = answer("break_even").facts["least_sparsity"]
    assert facts == {
        "1x1": pytest.approx(1 - 1 / 5.5, abs=0.002),
        "4x1": pytest.approx(0.5, abs=0.002),
        "16x1": pytest.approx(0.5, abs=0.004),
    }
    assert "4x1 from 50.0%" in answer("break_even").text


def test_a_block_shape_that_never_or_always_wins_is_told():
    text = answer("break_even", make_curves(factors={(1, 1): 1e5, (4, 1): 0.95})).text
    assert "1x1 at none" in text
    assert "4x1 at any" in text


def test_a_target_names_the_sparsity_it_needs():
    found = answer("target", targets=Targets(latency_ms=6.5))
    # 3 ms stay; 14 ms of products at full density have 3.5 ms left: 75 %.
    assert found.facts["least_sparsity"]["4x1"] == pytest.approx(0.75, abs=0.002)
    assert "6.5 ms needs" in found.text


def test_a_target_nobody_meets_or_everybody_does():
    assert "No sparsity up to 99% meets 2 ms" in answer("target", targets=Targets(2.0)).text
    assert "already meets" in answer("target", targets=Targets(11.0)).text
    per_core = answer("target", targets=Targets(items_per_s_per_core=1e3 / 6.5))
    assert per_core.facts["budget_ms"] == pytest.approx(6.5)
    assert "per second and core" in per_core.text
    assert not [a for a in make_answers([make_curves()], Targets()) if a.topic == "target"]


def test_of_equally_fast_block_shapes_the_smallest_is_best():
    best = answer("best_block").facts["best_block"]
    assert set(best.values()) == {"4x1"}
    fast = make_curves(factors={(4, 1): 2.0, (16, 1): 1.0})
    assert set(answer("best_block", fast).facts["best_block"].values()) == {"16x1"}


def test_memory_saved_is_that_of_the_fastest_point():
    found = answer("memory")
    assert found.facts["point"] == "4x1 at 90.0%"
    assert found.facts["dense_bytes"] == DENSE_BYTES
    assert found.facts["sparse_bytes"] < DENSE_BYTES


def test_amdahls_limit_is_told():
    assert answer("limit").facts["amdahl_limit"] == pytest.approx(10 / 3)


def test_measured_points_bend_the_curve_by_their_speed_up():
    # Measured when the machine was twice as slow: the speed-up counts, not the time.
    slow = make_measurement(20.0)
    measurement = type(slow)(**{**slow.__dict__, "dense_latency_ms": 20.0, "speedup": 1.0})
    curves = make_curves({((4, 1), 0.6): measurement})
    assert answer("break_even", curves).facts["least_sparsity"]["4x1"] == pytest.approx(
        0.6, abs=0.002
    )
    result = next(r for r in curves.results if r.measured)
    # Predicted 8.6 ms where 10 would be right.
    assert result.error == pytest.approx(8.6 / 10 - 1)
    assert answer("prediction", curves).facts["worst_error"] == pytest.approx(0.14)


def test_disturbed_points_are_told_and_not_relied_on():
    curves = make_curves({((4, 1), 0.6): make_measurement(10.0, disturbed=True)})
    assert answer("break_even", curves).facts["least_sparsity"]["4x1"] == pytest.approx(
        0.5, abs=0.002
    )
    assert answer("disturbed", curves).facts == {"points": 1, "dense_builds": 0}
    assert "measured undisturbed" in answer("prediction", curves).text


def test_a_measured_point_beats_its_prediction():
    """4x1 at 90 % is predicted to take 4.4 ms, and so 6.17 ms at 80 % to be far slower."""
    curves = make_curves({((4, 1), 0.9): make_measurement(5.0)}, {(4, 1): 2.0})
    facts = answer("memory", curves).facts
    assert (facts["point"], facts["speedup"], facts["measured"]) == ("4x1 at 90.0%", 2.0, True)
    by_sparsity = {r.point.sparsity: r for r in curves.results}
    assert by_sparsity[0.9].speedup == 2.0
    # Those without a measurement of their own follow it.
    assert by_sparsity[0.8].speedup == pytest.approx(10 / 5.8 * 4.4 / 5.0)
    assert by_sparsity[0.8].latency_ms == pytest.approx(curves.latency((4, 1))(0.8))


def test_the_headline_is_no_point_that_was_measured_badly():
    fast = make_curves({((4, 1), 0.9): make_measurement(0.5, disturbed=True)}, {(4, 1): 2.0})
    assert "memory" not in topics(fast)
    both = make_curves(
        {
            ((4, 1), 0.9): make_measurement(0.5, disturbed=True),
            ((4, 1), 0.8): make_measurement(5.8),
        },
        {(4, 1): 2.0},
    )
    assert answer("memory", both).facts["point"] == "4x1 at 80.0%"


def test_with_one_block_shape_none_is_the_best():
    assert "best_block" not in topics(make_curves(factors={(4, 1): 2.0}))
    assert "best_block" not in topics(make_curves(factors={(4, 1): 1e5, (16, 1): 1e5}))
    # Where nothing is zero, and where dense is faster, no block shape is the best.
    assert sorted(answer("best_block").facts["best_block"]) == ["0.6", "0.8", "0.9"]


UNRELIABLE = {
    "disturbed": ({}, True, "while the dense build was measured"),
    "contradicted": (
        {((4, 1), 0.9): make_measurement(0.5, disturbed=True)},
        False,
        "2.27x dense was predicted at 90.0% and 20.00x measured",
    ),
}


@pytest.mark.parametrize("name", UNRELIABLE)
def test_an_unreliable_study_says_so_first_and_answers_that_it_cannot_tell(name):
    measured, disturbed, reason = UNRELIABLE[name]
    curves = make_curves(measured, {(4, 1): 2.0}, disturbed)
    first, *others = make_answers([curves], Targets(latency_ms=6.5))
    assert first.text.startswith("This study cannot tell whether pruning pays (4x1: ")
    assert reason in first.text
    told = {found.topic: found.text for found in others}
    assert "4x1 cannot be told" in told["break_even"]
    assert told["target"] == "What 6.5 ms needs cannot be told."
    assert not {"best_block", "memory", "limit"} & set(told)


def test_gains_without_a_zero_are_distrusted_until_they_are_measured():
    curves = make_curves(factors={(4, 1): 0.3, (16, 1): 2.0})
    first = answer("reliability", curves)
    assert "4x1: its kernels were timed 3.3x as fast as dense without a zero" in first.text
    assert set(answer("break_even", curves).facts["least_sparsity"]) == {"16x1"}
    predicted_ms = 3 + 0.3 * 7
    confirmed = {((4, 1), 0.0): make_measurement(1.05 * predicted_ms)}
    assert "reliability" not in topics(make_curves(confirmed, {(4, 1): 0.3}))


def test_a_measurement_outweighs_a_busy_dense_build_and_stands_where_nothing_else_does():
    assert "reliability" not in topics(
        make_curves({((4, 1), 0.9): make_measurement(4.5)}, {(4, 1): 2.0}, disturbed=True)
    )
    off = make_curves({((4, 1), 0.9): make_measurement(8.0)}, {(4, 1): 2.0})
    text = answer("reliability", off).text
    assert "What was measured undisturbed stands: 4x1 at 90.0%: 1.25x dense." in text


def test_measured_speed_ups_that_fall_with_the_sparsity_are_distrusted():
    fell = {((4, 1), 0.8): make_measurement(5.8), ((4, 1), 0.9): make_measurement(7.0)}
    text = answer("reliability", make_curves(fell, {(4, 1): 2.0})).text
    assert "1.72x dense was measured at 80.0% and 1.43x at 90.0%" in text


def test_kernels_whose_times_stay_out_of_order_are_distrusted():
    curves = make_curves(factors={(4, 1): 2.0})
    kernels = tuple(replace(kernel, disorder=8.7) for kernel in curves.dense.kernels)
    spoilt = replace(curves, dense=replace(curves.dense, kernels=kernels))
    assert "8.7x as long as with more" in answer("reliability", spoilt).text


def test_int8_is_the_alternative_where_it_was_measured():
    place = ("ONNX Runtime, dynamic INT8", 8, 1, 1)
    missing = Alternative(*place, "not installed", "needs onnxruntime")
    assert "is not installed: needs onnxruntime" in answer("int8", alternatives=[missing]).text
    measured = Alternative(*place, "measured", "", 5.0, 10.0, 10 / 6.5, 0.25)
    found = answer("int8", alternatives=[measured])
    assert found.facts["least_sparsity"]["4x1"] == pytest.approx(0.75, abs=0.002)
    assert "1.54x our dense build" in found.text
    slower = replace(measured, speedup=0.8)
    assert "is as fast without pruning" in answer("int8", alternatives=[slower]).text


def test_a_random_fill_says_nothing_about_accuracy():
    assert make_answers([make_curves()], Targets())[-1].text == RANDOM_FILL
    assert "nothing about accuracy" in RANDOM_FILL


def test_the_points_that_decide_are_few_and_named():
    chosen = decisive_points(SETTING, SPARSITIES, make_predictors(FACTORS), Targets(latency_ms=6.5))
    found = {(point.block_shape, point.sparsity): why for point, why in chosen.items()}
    assert found == {
        ((4, 1), 0.9): "best block shape",
        ((1, 1), 0.9): "break-even",
        ((4, 1), 0.6): "break-even",
        ((16, 1), 0.6): "break-even",
        ((4, 1), 0.4): "break-even",
        ((4, 1), 0.8): "target",
    }
