"""The builds that a verdict can name: pruned, rounded to 8 bits, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_sparse.sizes import block_name
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.doubts import MOST_SPARSITY, describe_point, tellable
from tvm_sparse.whatif.grid import usual_sparsity
from tvm_sparse.whatif.point_results import PointResult
from tvm_sparse.whatif.rounded_point import RoundedPoint
from tvm_sparse.whatif.study import FidelityPoint, Study

#: Within this factor the simpler build is as good.
SAME_SPEED = 1.05
#: Fidelities of which the highest that any useful build keeps is asked for.
KEPT = (0.95, 0.9)


@dataclass(frozen=True)
class Candidate:
    """A build at one setting.

    Attributes
    ----------
    setting : Setting
        Where.
    recipe, name : str
        In a sentence, and in a list.
    label : str
        Its blocks in a study's fidelities: `4x4 INT8`.
    sparsity : float
        Block sparsity, 0..1.
    speedup : float
        Over the float32 dense build.
    is_measured, is_rounded : bool
        Whether the speed-up was measured; whether products have 8 bits.
    """

    setting: Setting
    recipe: str
    name: str
    label: str
    sparsity: float
    speedup: float
    is_measured: bool
    is_rounded: bool

    @property
    def num_ways(self) -> int:
        """How much is done to the model: pruning, rounding, or both."""
        return (self.sparsity > 0) + self.is_rounded

    @classmethod
    def of_point(cls, result: PointResult) -> Candidate:
        """Return a pruned build of float32."""
        block, sparsity = block_name(result.point.block_shape), result.point.sparsity
        return cls(
            setting=result.point.setting,
            recipe=f"{100 * sparsity:.4g} % in {block}",
            name=describe_point(result),
            label=block,
            sparsity=sparsity,
            speedup=result.speedup,
            is_measured=result.measured is not None,
            is_rounded=False,
        )

    @classmethod
    def of_rounded(cls, point: RoundedPoint) -> Candidate:
        """Return a build of 8 bits."""
        return cls(
            setting=point.setting,
            recipe=point.recipe,
            name=point.recipe,
            label=point.label,
            sparsity=point.sparsity,
            speedup=point.speedup,
            is_measured=point.measured is not None,
            is_rounded=True,
        )


def candidates_at(study: Study, setting: Setting) -> list[Candidate]:
    """Return all builds of a study at a setting but the dense one of float32."""
    floats = map(Candidate.of_point, tellable(study.points, study.doubts))
    found = [*floats, *map(Candidate.of_rounded, study.rounded)]
    return [one for one in found if one.setting == setting and one.num_ways > 0]


def choose(
    study: Study, setting: Setting, least_speedup: float
) -> tuple[Candidate | None, FidelityPoint | None]:
    """Return the build to talk of, and what it does to the model if that is known.

    With fidelities: the fastest that keeps enough, else the most faithful of those that are at
    least so much faster than the dense build. Without: the fastest at the usual sparsity.
    """
    useful = [one for one in candidates_at(study, setting) if one.sparsity <= MOST_SPARSITY]
    if study.fidelity is None:
        pruned = [one.sparsity for one in useful if one.sparsity > 0]
        near = usual_sparsity(pruned) if pruned else 0.0
        usual = [one for one in useful if one.sparsity in (near, 0.0)]
        return _fastest([(one, None) for one in usual])
    faster = [one for one in useful if one.speedup >= least_speedup] or useful
    known = [
        (one, found, found.fidelity)
        for one in faster
        for found in study.fidelity.points
        if (found.block, found.sparsity) == (one.label, one.sparsity) and found.fidelity is not None
    ]
    for least in KEPT:
        if enough := [entry for entry in known if entry[2] >= least]:
            return _fastest([entry[:2] for entry in enough])
    if known:
        return max(known, key=lambda entry: entry[2])[:2]
    return _fastest([(one, None) for one in faster])


def _fastest(
    found: Sequence[tuple[Candidate, FidelityPoint | None]],
) -> tuple[Candidate | None, FidelityPoint | None]:
    """Return the fastest, or what is simpler and nearly as fast, pruned the most faithful way."""
    most = max((one.speedup for one, _ in found), default=0.0)
    near = [entry for entry in found if entry[0].speedup * SAME_SPEED >= most]
    least = min((one.num_ways for one, _ in near), default=0)
    return max(
        (entry for entry in near if entry[0].num_ways == least),
        key=lambda entry: (entry[0].speedup, entry[1].fidelity or 0.0 if entry[1] else 0.0),
        default=(None, None),
    )
