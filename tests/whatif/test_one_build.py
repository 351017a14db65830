"""What is said of one build at all its shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_parts import make_curves

from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.answers import make_answers
from tvm_sparse.whatif.curves import Curves
from tvm_sparse.whatif.grid import Targets
from tvm_sparse.whatif.one_build import one_build_answer
from tvm_sparse.whatif.point_results import Doubt

pytestmark = pytest.mark.unit

SHORT, LONG = (Setting.open_at(shape, 1, (8, 64)) for shape in ((1, 16), (8, 64)))


def at(setting: Setting, factors: dict[tuple[int, int], float]) -> Curves:
    """Curves whose sparse products take so many times the dense ones' without a zero."""
    found = make_curves(factors=factors)
    results = [replace(r, point=replace(r.point, setting=setting)) for r in found.results]
    return Curves(replace(found.dense, setting=setting), found.predictors, results)


def test_the_best_blocks_are_those_that_gain_most_where_they_gain_least() -> None:
    # 4x1 gains more on short texts, and on batches less than 16x1 does anywhere.
    curves = [
        at(SHORT, {(4, 1): 0.5, (16, 1): 1.0}),
        at(LONG, {(4, 1): 5.0, (16, 1): 1.5}),
    ]
    found = one_build_answer(curves)
    assert found is not None
    assert found.text.startswith(
        "One build for batch 1:8 and length 1:64: 16x1 at 90.0% gains most where it gains least, "
    )
    assert found.text.endswith(f"x at {SHORT} (in part predicted).")
    speedups = found.facts["speedup"]["16x1"]
    assert (
        f"{speedups[str(LONG)]:.2f}x dense at {LONG} to {speedups[str(SHORT)]:.2f}x" in found.text
    )
    assert found in make_answers(curves, Targets())


def test_what_is_in_doubt_at_one_shape_is_not_told() -> None:
    curves = [at(SHORT, {(4, 1): 1.0}), at(LONG, {(4, 1): 1.0})]
    object.__setattr__(curves[1], "doubts", [Doubt(LONG, "4x1", "odd")])
    found = one_build_answer(curves)
    assert found is not None
    assert found.text == "What one build for batch 1:8 and length 1:64 gains cannot be told."


def test_builds_for_one_shape_each_have_no_such_answer() -> None:
    assert one_build_answer([make_curves()]) is None
