"""How fast a model gets at how little loss, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_sparse.sizes import block_name
from tvm_sparse.whatif.point_results import PointResult
from tvm_sparse.whatif.study import Answer, FidelityPoint

#: Fidelities for which the fastest point is told.
LEVELS = (0.99, 0.95, 0.9)


def fidelity_answer(
    results: Sequence[PointResult], found: Sequence[FidelityPoint], meaning: str
) -> Answer:
    """Say how fast the model can get at how little loss.

    Parameters
    ----------
    results : sequence of PointResult
        The points whose speeds can be told.
    found : sequence of FidelityPoint
        As `fidelity_points` returns them.
    meaning : str
        What the fidelity is.
    """
    speeds: dict[tuple[str, float], float] = {}
    for result in results:
        where = (block_name(result.point.block_shape), result.point.sparsity)
        speeds[where] = max(speeds.get(where, 0.0), result.speedup)
    known = [
        (point, point.fidelity, speed)
        for point in found
        if point.fidelity is not None and (speed := speeds.get((point.block, point.sparsity)))
    ]
    facts: dict[str, Any] = {"meaning": meaning, "fastest": {}}
    sentences = []
    for least in LEVELS:
        good = [(p, f, speed) for p, f, speed in known if f >= least and speed > 1]
        if good:
            best, fidelity, speed = max(good, key=lambda found: found[2])
            facts["fastest"][f"{least:g}"] = {
                "method": best.method,
                "block": best.block,
                "sparsity": best.sparsity,
                "fidelity": fidelity,
                "speedup": speed,
            }
            sentences.append(f"{least:g} or more: {_describe(best)}, {speed:.2f}x dense")
    if not sentences:
        closest = sorted(known, key=lambda found: -found[1])[:1]
        ending = "".join(
            f"; the closest is {_describe(point)}, {fidelity:.3f}" for point, fidelity, _ in closest
        )
        text = f"No point that beats dense keeps a fidelity ({meaning}) of {LEVELS[-1]:g}{ending}."
    else:
        text = f"The fastest by the fidelity it keeps ({meaning}): {'; '.join(sentences)}."
    return Answer(
        "accuracy",
        f"{text} Pruned without training afterwards: `tvm-sparse prune --finetune distill` gets "
        "some of the loss back.",
        facts,
    )


def _describe(point: FidelityPoint) -> str:
    return f"{point.method} {point.block} at {point.sparsity:.1%}"
