"""The verdict, on made studies: 16x1 is the fastest, dense takes 100 ms, INT8 is 1.6x faster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_study import BLOCKS, SPARSITIES, example_study

from tvm_sparse.sizes import block_name
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.economy import Pricing
from tvm_sparse.whatif.point_results import Doubt
from tvm_sparse.whatif.rounded_point import NO_BLOCKS, MeasuredRounding, RoundedPoint
from tvm_sparse.whatif.study import Alternative, Answer, FidelityPoint, Study, StudyFidelity
from tvm_sparse.whatif.verdict import verdict_answer, verdict_of

pytestmark = pytest.mark.unit

SETTING = Setting(128, 1, 2, 1)
INT8 = "ONNX Runtime INT8, the fastest engine measured here"


def make_study(fidelity=None, **changed) -> Study:
    """Return a study with fidelities given as a function of the sparsity."""
    study = replace(example_study((SETTING,)), **changed)
    if fidelity is None:
        return study
    points = tuple(
        FidelityPoint("wanda", block_name(block), sparsity, fidelity(sparsity))
        for block in BLOCKS
        for sparsity in SPARSITIES
    )
    return replace(study, fidelity=StudyFidelity("cosine", "cosine on 64 texts", points))


def test_prune_to_the_fastest_that_is_faithful():
    verdict = verdict_of(make_study(lambda s: 0.97 if s <= 0.95 else 0.8))
    # Measured at 95 %: 2.60x dense, and dense is 1.6 times as slow as INT8.
    assert verdict.text == (
        f"Prune to 95 % in 16x1: 1.6x faster than {INT8}, fidelity 0.970 with wanda pruning, "
        "saves 38 % of the bill."
    )
    assert verdict.gain == pytest.approx(verdict.choice.speedup / 1.6)
    assert any("cosine on 64 texts" in caveat for caveat in verdict.caveats)
    assert any("accuracy is not judged on texts" in caveat for caveat in verdict.caveats)
    assert not any("predicted" in caveat for caveat in verdict.caveats)


def test_what_loses_too_much_is_not_to_be_pruned_without_training():
    text = verdict_of(make_study(lambda s: 0.9 - s / 2)).text
    assert text.startswith("Do not prune without training afterwards: the most faithful point")
    # The first that beats INT8 by 5 %.
    assert "is 70 % in 16x1 (1.1x faster (predicted)" in text
    assert "keeps a fidelity of 0.550 with wanda pruning" in text


def test_where_todays_engine_is_faster_nothing_is_to_be_pruned():
    fast = replace(example_study().alternatives[0], speedup=4.0)
    for fidelity in (None, lambda s: 1.0):
        text = verdict_of(make_study(fidelity, alternatives=(fast,))).text
        assert text.startswith("Do not prune for speed: ")
        assert INT8 in text


def test_engines_measured_on_a_busy_machine_are_named():
    busy = replace(example_study().alternatives[0], disturbed=True)
    caveats = verdict_of(make_study(alternatives=(busy,))).caveats
    assert any(f"busy while {busy.engine}" in caveat for caveat in caveats)
    assert not any("busy while" in caveat for caveat in verdict_of(make_study()).caveats)


def test_without_a_fidelity_the_usual_sparsity_is_told_and_that_accuracy_is_unknown():
    missing = Alternative("ONNX Runtime INT8", 128, 1, 2, "not installed", "needs onnxruntime")
    verdict = verdict_of(make_study(alternatives=(missing,), pricing=Pricing()))
    assert verdict.text == (
        "Pruned to 90 % in 16x1 it would be 2.5x faster (predicted) than our dense build, and "
        "save 59 % of core time; what that costs in accuracy is not known yet."
    )
    assert any("No other engine was measured here" in caveat for caveat in verdict.caveats)
    assert "A random fill says nothing about accuracy." in verdict.caveats


def test_a_doubted_prediction_is_not_the_verdict():
    doubts = tuple(Doubt(SETTING, block_name(block), "it is odd") for block in BLOCKS)
    answers = (Answer("reliability", "This study cannot tell whether pruning pays: it is odd."),)
    some = verdict_of(make_study(doubts=doubts, answers=answers))
    assert some.choice.is_measured
    assert answers[0].text in some.caveats
    study = make_study(doubts=doubts)
    nothing = verdict_of(replace(study, points=tuple(p for p in study.points if not p.measured)))
    assert nothing.text == "Whether to prune cannot be told from this study."
    assert [one.name for one in nothing.economies] == ["our dense build", "ONNX Runtime INT8"]


@pytest.mark.parametrize(
    ("alone", "both", "wanted"),
    [
        (9.0, 9.2, "Round to 8 bits, and do not prune: 5.6x faster"),  # simpler, nearly as fast
        (2.0, 9.0, "Prune to 90 % in 4x4 with INT8: 5.6x faster"),
        (1.2, 2.0, "Prune to 95 % in 16x1: 1.6x faster"),
    ],
)
def test_rounding_alone_pruning_alone_or_both(alone, both, wanted):
    study = make_study(lambda s: 0.97 if s <= 0.95 else 0.8)
    rounded = tuple(
        RoundedPoint(SETTING, "int8", blocks, sparsity, 1.0, speedup, 1, measured)
        for blocks, sparsity, speedup, measured in (
            (NO_BLOCKS, 0.0, alone, MeasuredRounding(1.0, alone, None, False)),
            ((4, 4), 0.9, both, MeasuredRounding(1.0, both, None, False)),
        )
    )
    known = (
        FidelityPoint("", "dense INT8", 0.0, 0.99),
        FidelityPoint("wanda", "4x4 INT8", 0.9, 0.96),
    )
    fidelity = replace(study.fidelity, points=(*study.fidelity.points, *known))
    verdict = verdict_of(replace(study, rounded=rounded, fidelity=fidelity))
    assert verdict.text.startswith(wanted)
    assert verdict.economies[-1].name == verdict.choice.recipe
    # Without texts, what it costs is not known.
    unknown = verdict_of(replace(study, rounded=rounded, fidelity=None)).text
    assert ("Rounded to 8 bits and not pruned it would be" in unknown) == (alone == 9.0)


def test_costs_are_those_of_dense_engine_and_point():
    study = make_study(lambda s: 0.97 if s <= 0.95 else 0.8)
    dense, int8, sparse = verdict_of(study).economies
    assert (dense.latency_ms, int8.latency_ms) == (100.0, 62.5)
    assert sparse.name == "95 % in 16x1"
    # 0.2 core seconds at 0.05 an hour.
    assert dense.cost_per_million == pytest.approx(0.2 * 1e6 / 3600 * 0.05)
    assert 1 - sparse.cost_per_million / int8.cost_per_million == pytest.approx(0.385, abs=0.001)
    assert verdict_answer(study).facts == {
        "point": "16x1 at 95.0%",
        "gain": pytest.approx(sparse.items_per_s_per_core / int8.items_per_s_per_core),
    }
