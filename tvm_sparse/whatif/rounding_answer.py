"""Whether rounding to 8 bits alone, pruning alone or both are best."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.whatif.candidates import SAME_SPEED
from tvm_sparse.whatif.curves import Curves
from tvm_sparse.whatif.doubts import describe_point
from tvm_sparse.whatif.grid import usual_sparsity
from tvm_sparse.whatif.rounded_point import RoundedPoint
from tvm_sparse.whatif.study import Answer

_BOTH = "both together"


def rounding_answer(curve: Curves, rounded: Sequence[RoundedPoint]) -> Answer:
    """Tell which of the two ways, or both, make a setting's builds fastest at a usual sparsity.

    Parameters
    ----------
    curve : Curves
        The setting's float32 builds.
    rounded : sequence of RoundedPoint
        All builds with products of 8 bits.
    """
    here = [point for point in rounded if point.setting == curve.setting]
    (dense,) = (point for point in here if not point.build.is_sparse)
    ways = {"rounding alone": (dense.speedup, dense.recipe, dense.measured is not None)}
    near = usual_sparsity(result.point.sparsity for result in curve.results)
    floats = [result for result in curve.tellable if result.point.sparsity == near]
    if floats:
        best = max(floats, key=lambda result: result.speedup)
        ways["pruning alone"] = (best.speedup, describe_point(best), best.measured is not None)
    both = [point for point in here if point.build.is_sparse and point.sparsity == near]
    if both:
        most = max(both, key=lambda point: point.speedup)
        ways[_BOTH] = (most.speedup, most.recipe, most.measured is not None)
    fastest = max(speedup for speedup, *_ in ways.values())
    winner = next(name for name, found in ways.items() if found[0] * SAME_SPEED >= fastest)
    listed = ", ".join(
        f"{name} {speedup:.2f}x ({recipe}, {'measured' if known else 'predicted'})"
        for name, (speedup, recipe, known) in ways.items()
    )
    price = ""
    if dense.measured is not None and dense.measured.error is not None:
        error = dense.measured.error
        price = (
            f" Rounding alone puts outputs off by {error.relative_l2:.1%} (relative L2), cosine "
            f"{error.cosine:.4f}."
        )
    verb = "are" if winner == _BOTH else "is"
    text = f"INT8: for speed {winner} {verb} best, as multiples of dense float32: {listed}.{price}"
    facts = {name: {"speedup": found[0], "recipe": found[1]} for name, found in ways.items()}
    return Answer("rounding", text, {"best": winner, **facts})
