"""What of a study cannot be relied on, told from its numbers alone, and what of it still can."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from tvm_sparse.sizes import block_name
from tvm_sparse.tuning.plausible import NOISE
from tvm_sparse.whatif.point_results import Doubt, KernelEfficiency, PointResult, SettingResult
from tvm_sparse.whatif.study import Answer

#: Predictions are meant to be within this share of a measurement; twice as far off contradicts it.
TOLERANCE = 0.15
#: Sparsities over this are asked for by nobody: accuracy is gone.
MOST_SPARSITY = 0.99


def find_doubts(setting: SettingResult, results: Sequence[PointResult]) -> list[Doubt]:
    """Return the block shapes of a setting of which its predictions cannot be relied on.

    An undisturbed measurement that agrees with its prediction outweighs what is odd about the
    times the prediction was made from.

    Parameters
    ----------
    setting : SettingResult
        The dense build.
    results : sequence of PointResult
        The setting's points.
    """
    doubts = []
    for block_shape in sorted({result.point.block_shape for result in results}):
        kernels = [kernel for kernel in setting.kernels if kernel.block_shape == block_shape]
        own = [result for result in results if result.point.block_shape == block_shape]
        if reason := _reason(setting.disturbed, kernels, own):
            doubts.append(Doubt(setting.setting, block_name(block_shape), reason))
    return doubts


def tellable(results: Iterable[PointResult], doubts: Iterable[Doubt]) -> list[PointResult]:
    """Return the points whose speeds can be told: measured undisturbed, or predicted undoubted."""
    doubted = {(doubt.setting, doubt.block_shape) for doubt in doubts}
    return [
        result
        for result in results
        if (
            not result.measured.disturbed
            if result.measured
            else (result.point.setting, block_name(result.point.block_shape)) not in doubted
        )
    ]


def reliability_answer(results: Sequence[PointResult], doubts: Sequence[Doubt]) -> Answer | None:
    """Say what cannot be relied on, before anything else is said; None if all can.

    Parameters
    ----------
    results : sequence of PointResult
        All points of the study.
    doubts : sequence of Doubt
        Those of all settings.
    """
    if not doubts:
        return None
    blocks: dict[str, set[str]] = {}
    for doubt in doubts:
        blocks.setdefault(doubt.reason, set()).add(doubt.block_shape)
    everything = {(r.point.setting, block_name(r.point.block_shape)) for r in results}
    doubted = {(doubt.setting, doubt.block_shape) for doubt in doubts}
    advice = "Measure again when the machine is quiet (--measure-again)."
    facts = {"doubted": sorted({doubt.block_shape for doubt in doubts})}
    reasons = "; ".join(f"{', '.join(sorted(names))}: {why}" for why, names in blocks.items())
    if everything <= doubted:
        text = f"This study cannot tell whether pruning pays ({reasons}). {advice}"
        if measured := [r for r in tellable(results, doubts) if r.measured]:
            listed = ", ".join(f"{describe_point(r)}: {r.speedup:.2f}x dense" for r in measured)
            text += f" What was measured undisturbed stands: {listed}."
        return Answer("reliability", text, facts)
    text = f"Not all of this study can be relied on, and what cannot is left out ({reasons})."
    return Answer("reliability", f"{text} {advice}", facts)


def fastest_point(results: Iterable[PointResult]) -> PointResult | None:
    """Return the point of the highest speed-up that anybody would use, None without one."""
    used = (result for result in results if result.point.sparsity <= MOST_SPARSITY)
    return max(used, key=lambda result: result.speedup, default=None)


def describe_point(result: PointResult) -> str:
    """Return block shape and sparsity of a point in words."""
    return f"{block_name(result.point.block_shape)} at {result.point.sparsity:.1%}"


def _reason(
    dense_disturbed: bool, kernels: Sequence[KernelEfficiency], results: Sequence[PointResult]
) -> str:
    """Return why the predictions of one block shape are in doubt, empty if they are not."""
    quiet = [r for r in results if r.measured and not r.measured.disturbed]
    for less, more in pairwise(sorted(quiet, key=lambda result: result.point.sparsity)):
        if NOISE * more.speedup < less.speedup:
            return (
                f"{less.speedup:.2f}x dense was measured at {less.point.sparsity:.1%} and "
                f"{more.speedup:.2f}x at {more.point.sparsity:.1%}"
            )
    confirmed = any(abs(r.error or 0.0) <= TOLERANCE for r in quiet)
    for result in quiet if confirmed else results:
        if result.measured and abs(result.error or 0.0) > 2 * TOLERANCE:
            return (
                f"{result.predicted_speedup:.2f}x dense was predicted at "
                f"{result.point.sparsity:.1%} and {result.measured.speedup:.2f}x measured"
            )
    if confirmed:
        return ""
    if dense_disturbed:
        return "something else kept the machine busy while the dense build was measured"
    if (worst := max((kernel.disorder for kernel in kernels), default=1.0)) > NOISE:
        return f"a kernel with fewer non-zeros was timed {worst:.1f}x as long as with more"
    sparse_ms = sum(kernel.calls * kernel.latency_ms[-1] for kernel in kernels)
    dense_ms = sum(kernel.calls * kernel.dense_ms for kernel in kernels)
    if dense_ms > NOISE * sparse_ms:
        return f"its kernels were timed {dense_ms / sparse_ms:.1f}x as fast as dense without a zero"
    return ""
