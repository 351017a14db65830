"""Answers in plain words, from the numbers of a study alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from tvm_sparse.sizes import block_name
from tvm_sparse.whatif.cost import least_sparsity
from tvm_sparse.whatif.curves import Curves
from tvm_sparse.whatif.doubts import (
    MOST_SPARSITY,
    describe_point,
    fastest_point,
    reliability_answer,
)
from tvm_sparse.whatif.grid import Targets
from tvm_sparse.whatif.one_build import one_build_answer
from tvm_sparse.whatif.point_results import PointResult
from tvm_sparse.whatif.study import Alternative, Answer

#: Within this factor two times are not told apart.
_SAME = 1.02

RANDOM_FILL = (
    "The zeros of this study lie at random: right for speed, and they say nothing about accuracy. "
    "`tvm-sparse prune` makes real ones and `tvm-sparse evaluate` tells what they cost."
)


def make_answers(
    curves: Sequence[Curves], targets: Targets, alternatives: Sequence[Alternative] = ()
) -> list[Answer]:
    """Return what the study answers, setting by setting.

    Parameters
    ----------
    curves : sequence of Curves
        One per setting.
    targets : Targets
        What a sparsity is looked for.
    alternatives : sequence of Alternative
        What `alternatives.measured_int8` returned.
    """
    results = [result for curve in curves for result in curve.results]
    doubts = [doubt for curve in curves for doubt in curve.doubts]
    reliability = reliability_answer(results, doubts)
    answers = [reliability] if reliability else []
    for curve in curves:
        where = f"At {curve.setting}: " if len(curves) > 1 else ""
        found = [
            _break_even(curve),
            _target(curve, targets),
            _best_block(curve),
            _memory(curve),
            _limit(curve),
        ]
        answers += [
            Answer(a.topic, where + a.text, {"setting": str(curve.setting), **a.facts})
            for a in found
            if a is not None
        ]
    if together := one_build_answer(curves):
        answers.append(together)
    told = {_int8(alternative, curves).text: alternative for alternative in alternatives}
    answers += [_int8(alternative, curves) for alternative in told.values()]
    answers.append(_prediction(results))
    if disturbed := _disturbed(curves):
        answers.append(disturbed)
    return [*answers, Answer("accuracy", RANDOM_FILL)]


def _break_even(curve: Curves) -> Answer:
    facts: dict[str, float | None] = {}
    parts = []
    for block_shape in curve.predictors:
        name = block_name(block_shape)
        if block_shape not in curve.trusted:
            parts.append(f"{name} cannot be told")
            continue
        least = facts[name] = least_sparsity(curve.latency(block_shape), curve.dense_ms)
        if least is None:
            parts.append(f"{name} at none")
        elif least == 0:
            parts.append(f"{name} at any")
        else:
            parts.append(f"{name} from {least:.1%}")
    return Answer(
        "break_even",
        f"Sparse beats dense ({curve.dense_ms:.3g} ms) at these sparsities: {', '.join(parts)}.",
        {"least_sparsity": facts},
    )


def _target(curve: Curves, targets: Targets) -> Answer | None:
    budget_ms = targets.budget_ms(curve.setting)
    if budget_ms is None:
        return None
    wish = f"{budget_ms:.3g} ms"
    if targets.items_per_s_per_core:
        wish += f" ({targets.items_per_s_per_core:g} items per second and core)"
    if curve.dense_ms <= budget_ms:
        text = f"The dense build already meets {wish}: it takes {curve.dense_ms:.3g} ms."
        return Answer("target", text, {"budget_ms": budget_ms, "least_sparsity": {}})
    needed = _needed(curve, budget_ms)
    reached = {name: s for name, s in needed.items() if s is not None and s <= MOST_SPARSITY}
    facts = {"budget_ms": budget_ms, "least_sparsity": needed}
    if not needed:
        return Answer("target", f"What {wish} needs cannot be told.", facts)
    if not reached:
        fastest = min(curve.latency(shape)(MOST_SPARSITY) for shape in curve.trusted)
        text = (
            f"No sparsity up to {MOST_SPARSITY:.0%} meets {wish}: the fastest is "
            f"{fastest:.3g} ms. Fewer layers, a shorter sequence or more threads would."
        )
        return Answer("target", text, facts)
    listed = ", ".join(f"{name} at {sparsity:.1%}" for name, sparsity in reached.items())
    missed = [name for name in needed if name not in reached]
    never = f"; {' and '.join(missed)} never" if missed else ""
    return Answer("target", f"{wish} needs {listed} sparsity{never}.", facts)


def _best_block(curve: Curves) -> Answer | None:
    """Compare block shapes where there are several and sparse beats dense."""
    if len(curve.trusted) < 2:
        return None
    best: list[tuple[float, str]] = []
    for sparsity in sorted({result.point.sparsity for result in curve.results} - {0.0}):
        times = {shape: curve.latency(shape)(sparsity) for shape in curve.trusted}
        least = min(times.values())
        if least >= curve.dense_ms:
            continue
        # Of those that are as good as equal the smallest block, which costs the least accuracy.
        equal = [shape for shape, ms in times.items() if ms <= least * _SAME]
        best.append((sparsity, block_name(min(equal, key=lambda shape: shape[0] * shape[1]))))
    if not best:
        return None
    runs: list[tuple[str, float, float]] = []
    for sparsity, name in best:
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1], sparsity)
        else:
            runs.append((name, sparsity, sparsity))
    spans = [
        f"{name} {'from' if low != high else 'at'} {low:.1%}"
        + (f" to {high:.1%}" if low != high else "")
        for name, low, high in runs
    ]
    text = (
        f"The best block shape is {', '.join(spans)}: the fastest, and of those within "
        f"{_SAME - 1:.0%} of it the smallest, which costs the least accuracy."
    )
    return Answer("best_block", text, {"best_block": {f"{s:g}": name for s, name in best}})


def _memory(curve: Curves) -> Answer | None:
    fastest = fastest_point(curve.tellable)
    if fastest is None:
        return None
    dense = curve.dense.weights_bytes
    saved = dense - fastest.weights_bytes
    point = describe_point(fastest)
    change = f"{saved / 1e6:.0f} MB less" if saved >= 0 else f"{-saved / 1e6:.0f} MB more"
    known = "measured" if fastest.measured else "as predicted"
    text = (
        f"The fastest point, {point}, runs in {fastest.latency_ms:.3g} ms "
        f"({fastest.speedup:.2f}x dense, {known}) and keeps {fastest.weights_bytes / 1e6:.0f} MB "
        f"of weights in memory, {change} than dense ({dense / 1e6:.0f} MB)."
    )
    facts = {"point": point, "dense_bytes": dense, "sparse_bytes": fastest.weights_bytes}
    speeds = {"latency_ms": fastest.latency_ms, "speedup": fastest.speedup}
    return Answer("memory", text, {**facts, **speeds, "measured": fastest.measured is not None})


def _limit(curve: Curves) -> Answer | None:
    if not curve.trusted:
        return None
    limits = [curve.dense.amdahl_limit[block_name(shape)] for shape in curve.trusted]
    if None in limits:
        return Answer("limit", "All of the time is in products that could run sparse.", {})
    limit = max(one for one in limits if one is not None)
    text = (
        f"Products that can run sparse take {1 - 1 / limit:.0%} of the dense latency, so no "
        f"sparsity makes this model more than {limit:.1f}x faster."
    )
    return Answer("limit", text, {"amdahl_limit": limit})


def _disturbed(curves: Sequence[Curves]) -> Answer | None:
    dense = sum(curve.dense.disturbed for curve in curves)
    points = sum(
        r.measured is not None and r.measured.disturbed for curve in curves for r in curve.results
    )
    if not dense and not points:
        return None
    what = []
    if points:
        left_out = "its times are" if points == 1 else "their times are"
        what.append(f"{_count(points, 'point')} measured: {left_out} left out here")
    if dense:
        builds = _count(dense, "dense build")
        what.append(f"{builds} measured: all predictions start from there")
    return Answer(
        "disturbed",
        f"Something else kept the machine busy while {', and while '.join(what)}. Measure again "
        "when it is quiet (--measure-again).",
        {"points": points, "dense_builds": dense},
    )


def _int8(found: Alternative, curves: Sequence[Curves]) -> Answer:
    facts = asdict(found)
    if found.latency_ms is None or found.speedup is None:
        text = (
            f"{found.engine}, the alternative without pruning, is {found.status}: {found.detail}."
        )
        return Answer("int8", text, facts)
    text = (
        f"The alternative without pruning, {found.engine}, takes {found.latency_ms:.3g} ms on "
        f"this machine, {found.speedup:.2f}x our dense build; its outputs differ by up "
        f"to {found.max_absolute_error:.2g}."
    )
    for curve in curves:
        setting = curve.setting
        place = (setting.seq_len, setting.batch, setting.threads)
        if place != (found.seq_len, found.batch, found.threads):
            continue
        equal_ms = curve.dense_ms / found.speedup
        needed = _needed(curve, equal_ms)
        reached = [f"{name} at {s:.1%}" for name, s in needed.items() if s is not None]
        if found.speedup <= 1:
            text += " Our dense build is as fast without pruning."
        elif reached:
            text += f" Pruning is as fast with {', '.join(reached)}."
        elif needed:
            text += " No sparsity is as fast."
        facts["least_sparsity"] = needed
    return Answer("int8", text, facts)


def _prediction(results: Sequence[PointResult]) -> Answer:
    """Compare with what was measured undisturbed."""
    errors = [
        (abs(result.error), result)
        for result in results
        if result.error is not None and result.measured and not result.measured.disturbed
    ]
    if not errors:
        what = (
            "was measured"
            if all(r.measured is None for r in results)
            else ("was measured undisturbed")
        )
        return Answer("prediction", f"All times are predicted: nothing {what}.", {})
    worst, result = max(errors, key=lambda pair: pair[0])
    mean = sum(error for error, _ in errors) / len(errors)
    text = (
        f"{len(errors)} of {len(results)} points were measured undisturbed; their predictions are "
        f"off by {mean:.1%} on average and by {worst:.1%} at worst ({describe_point(result)})."
    )
    return Answer("prediction", text, {"mean_error": mean, "worst_error": worst})


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} was" if number == 1 else f"{number} {noun}s were"


def _needed(curve: Curves, budget_ms: float) -> dict[str, float | None]:
    """Return the least sparsity that meets a latency, by block shape that can be relied on."""
    return {
        block_name(shape): least_sparsity(curve.latency(shape), budget_ms)
        for shape in curve.trusted
    }
