"""Whether to prune: one line, what it saves, and what to know with it. From a study alone."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.sizes import block_name
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.doubts import MOST_SPARSITY, describe_point, tellable
from tvm_sparse.whatif.economy import Economy, economy_of
from tvm_sparse.whatif.grid import usual_sparsity
from tvm_sparse.whatif.point_results import PointResult
from tvm_sparse.whatif.study import Alternative, Answer, FidelityPoint, Study

#: Fidelities of which the highest that any useful point keeps is asked for.
_KEPT = (0.95, 0.9)
#: Gains under this are none.
_LEAST_GAIN = 1.05
DENSE_NAME = "our dense build"


@dataclass(frozen=True)
class Verdict:
    """What the study comes to at its first setting.

    Attributes
    ----------
    text : str
        One line.
    caveats : tuple of str
        What has to be known with it.
    economies : tuple of Economy
        At every setting: our dense build, the other engines, and the point that the line names.
    point : PointResult or None
        The point that the line names.
    gain : float or None
        How many times faster than the best engine measured here it is.
    """

    text: str
    caveats: tuple[str, ...]
    economies: tuple[Economy, ...]
    point: PointResult | None = None
    gain: float | None = None


def verdict_of(study: Study) -> Verdict:
    """Return the verdict of a study."""
    setting = study.settings[0].setting
    engine, engine_speedup = _best_engine(study, setting)
    point, fidelity = _choose(study, setting, engine_speedup)
    gain = point.speedup / engine_speedup if point else None
    return Verdict(
        text=_text(study, engine, engine_speedup, point, fidelity),
        caveats=_caveats(study, setting, point, fidelity),
        economies=_economies(study, point),
        point=point,
        gain=gain,
    )


def verdict_answer(study: Study) -> Answer:
    """Return the verdict as the first answer of a study."""
    verdict = verdict_of(study)
    point = describe_point(verdict.point) if verdict.point else None
    return Answer("verdict", verdict.text, {"point": point, "gain": verdict.gain})


def alternatives_at(study: Study, setting: Setting) -> list[tuple[Alternative, float]]:
    """Return the other engines that were measured at a setting, with their speed-ups over dense."""
    place = (setting.seq_len, setting.batch, setting.threads)
    return [
        (found, found.speedup)
        for found in study.alternatives
        if found.speedup and (found.seq_len, found.batch, found.threads) == place
    ]


def _best_engine(study: Study, setting: Setting) -> tuple[str, float]:
    """Return name and speed-up over dense of what is fastest today, without pruning."""
    engines = [(found.engine, speedup) for found, speedup in alternatives_at(study, setting)]
    return max([(DENSE_NAME, 1.0), *engines], key=lambda engine: engine[1])


def _choose(
    study: Study, setting: Setting, engine_speedup: float
) -> tuple[PointResult | None, FidelityPoint | None]:
    """Return the point to talk of, and what pruning does to it if that is known.

    With fidelities: the fastest point that keeps enough, else the most faithful of those that are
    faster than today's engine. Without: the fastest at the usual sparsity.
    """
    here = [r for r in tellable(study.points, study.doubts) if r.point.setting == setting]
    useful = [r for r in here if 0 < r.point.sparsity <= MOST_SPARSITY]
    if study.fidelity is None:
        if not useful:
            return None, None
        near = usual_sparsity(r.point.sparsity for r in useful)
        usual = [r for r in useful if r.point.sparsity == near]
        return max(usual, key=lambda r: r.speedup), None
    faster = [r for r in useful if r.speedup >= _LEAST_GAIN * engine_speedup] or useful
    known = [
        (result, found, found.fidelity)
        for result in faster
        for found in study.fidelity.points
        if (found.block, found.sparsity)
        == (block_name(result.point.block_shape), result.point.sparsity)
        and found.fidelity is not None
    ]
    for least in _KEPT:
        if enough := [entry for entry in known if entry[2] >= least]:
            best = max(enough, key=lambda entry: (entry[0].speedup, entry[2]))
            return best[:2]
    if known:
        return max(known, key=lambda entry: entry[2])[:2]
    return max(faster, key=lambda r: r.speedup, default=None), None


def _text(
    study: Study,
    engine: str,
    engine_speedup: float,
    point: PointResult | None,
    fidelity: FidelityPoint | None,
) -> str:
    if point is None:
        return "Whether to prune cannot be told from this study."
    gain, what = point.speedup / engine_speedup, _recipe(point)
    known = "" if point.measured else " (predicted)"
    others = alternatives_at(study, point.point.setting)
    best = f"{engine}, the fastest engine measured here" if others else engine
    if gain < _LEAST_GAIN:
        return (
            f"Do not prune for speed: {what} is {gain:.2f}x as fast{known} as {best}, and pruning "
            "costs accuracy besides."
        )
    bill = "the bill" if study.pricing.per_core_hour else "core time"
    saved = f"{100 * (1 - 1 / gain):.0f} % of {bill}"
    speed = f"{gain:.1f}x faster{known} than {best}"
    if study.fidelity is None or fidelity is None or fidelity.fidelity is None:
        return (
            f"Pruned to {what} it would be {speed}, and save {saved}; what that costs in accuracy "
            "is not known yet."
        )
    kept = f"{study.fidelity.measure} {fidelity.fidelity:.2f} with {fidelity.method} pruning"
    if fidelity.fidelity < _KEPT[-1]:
        return (
            f"Do not prune without training afterwards: the most faithful point that gains is "
            f"{what} ({speed}), and it keeps {kept}."
        )
    return f"Prune to {what}: {speed}, {kept}, saves {saved}."


def _recipe(point: PointResult) -> str:
    return f"{100 * point.point.sparsity:.4g} % in {block_name(point.point.block_shape)}"


def _caveats(
    study: Study, setting: Setting, point: PointResult | None, fidelity: FidelityPoint | None
) -> tuple[str, ...]:
    found = [a.text for a in study.answers if a.topic in ("reliability", "disturbed")]
    if point is not None and not point.measured:
        found.append("The speed is predicted: no build of that kind was measured.")
    if not alternatives_at(study, setting):
        found.append("No other engine was measured here: one may be faster than our dense build.")
    engines = [engine for engine, _ in alternatives_at(study, setting)]
    if busy := [engine.engine for engine in engines if engine.disturbed]:
        found.append(
            f"The machine was busy while {', '.join(busy)} took turns with our dense build: "
            "measure again when it is quiet (--measure-again)."
        )
    if any("INT8" in engine.engine for engine in engines):
        found.append("INT8 changes outputs too, and how much is not judged on texts here.")
    if study.fidelity is not None and fidelity is not None:
        found.append(f"Fidelity: {study.fidelity.meaning}. Pruned without training afterwards.")
    else:
        found += [a.text for a in study.answers if a.topic == "accuracy"]
    if study.pricing.per_core_hour or study.pricing.requests_per_day:
        found.append("Costs are of cores that are busy all the time, threads counted as cores.")
    return tuple(dict.fromkeys(found))


def _economies(study: Study, point: PointResult | None) -> tuple[Economy, ...]:
    """Return what builds cost at every setting, all beside one latency of the dense build."""
    told = {result.point: result for result in tellable(study.points, study.doubts)}
    found = []
    for dense in study.settings:
        setting = dense.setting
        builds = [(DENSE_NAME, 1.0, True)]
        builds += [(one.engine, speedup, True) for one, speedup in alternatives_at(study, setting)]
        if point is not None:
            here = next(
                (
                    result
                    for where, result in told.items()
                    if (where.setting, where.block_shape, where.sparsity)
                    == (setting, point.point.block_shape, point.point.sparsity)
                ),
                None,
            )
            if here is not None:
                builds.append((_recipe(here), here.speedup, here.measured is not None))
        found += [
            economy_of(name, setting, dense.latency_ms / speedup, study.pricing, measured)
            for name, speedup, measured in builds
        ]
    return tuple(found)
