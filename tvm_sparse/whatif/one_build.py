"""What a study of one build for any shape says of all its shapes together."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.sizes import Extent, block_name
from tvm_sparse.whatif.curves import Curves
from tvm_sparse.whatif.doubts import describe_point
from tvm_sparse.whatif.grid import usual_sparsity
from tvm_sparse.whatif.point_results import PointResult
from tvm_sparse.whatif.study import Answer

BlockShape = tuple[int, int]


def one_build_answer(curves: Sequence[Curves]) -> Answer | None:
    """Tell which block shape serves all shapes best, None if builds are for one shape each.

    That is the one that gains most where it gains least: one build has to serve them all.

    Parameters
    ----------
    curves : sequence of Curves
        One per setting.
    """
    limits = curves[0].setting.limits
    if limits is None:
        return None
    sizes = " and ".join(
        f"{noun} {Extent(most, is_open=True)}"
        for noun, most in zip(("batch", "length"), limits, strict=True)
    )
    by_block = _told_everywhere(curves)
    if not by_block:
        return Answer("shapes", f"What one build for {sizes} gains cannot be told.", {})

    def least(results: Sequence[PointResult]) -> float:
        return min(result.speedup for result in results)

    best = max(by_block.values(), key=least)
    slow, fast = (choose(best, key=lambda r: r.speedup) for choose in (min, max))
    known = "measured" if all(result.measured for result in best) else "in part predicted"
    spread = f"{slow.speedup:.2f}x dense at {slow.point.setting}"
    if len(best) > 1:
        spread += f" to {fast.speedup:.2f}x at {fast.point.setting}"
    text = (
        f"One build for {sizes}: {describe_point(best[0])} gains most where it gains least, "
        f"{spread} ({known})."
    )
    speedups = {
        block_name(shape): {str(result.point.setting): result.speedup for result in results}
        for shape, results in by_block.items()
    }
    return Answer("shapes", text, {"limits": list(limits), "speedup": speedups})


def _told_everywhere(curves: Sequence[Curves]) -> dict[BlockShape, list[PointResult]]:
    """Return the block shapes whose speeds are known at all settings, at a usual sparsity."""
    near = usual_sparsity(result.point.sparsity for curve in curves for result in curve.results)
    found: dict[BlockShape, list[PointResult]] = {}
    for curve in curves:
        for result in curve.tellable:
            if result.point.sparsity == near:
                found.setdefault(result.point.block_shape, []).append(result)
    return {shape: results for shape, results in found.items() if len(results) == len(curves)}
