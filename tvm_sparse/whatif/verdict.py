"""Whether to prune or to round: one line, what it saves, and what to know with it."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.candidates import KEPT, Candidate, candidates_at, choose
from tvm_sparse.whatif.economy import Economy, economy_of
from tvm_sparse.whatif.study import Alternative, Answer, FidelityPoint, Study

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
        At every setting: our dense build, the other engines, and the build that the line names.
    choice : Candidate or None
        The build that the line names.
    gain : float or None
        How many times faster than the best engine measured here it is.
    """

    text: str
    caveats: tuple[str, ...]
    economies: tuple[Economy, ...]
    choice: Candidate | None = None
    gain: float | None = None


def verdict_of(study: Study) -> Verdict:
    """Return the verdict of a study."""
    setting = study.settings[0].setting
    engine, engine_speedup = _best_engine(study, setting)
    choice, fidelity = choose(study, setting, _LEAST_GAIN * engine_speedup)
    gain = choice.speedup / engine_speedup if choice else None
    return Verdict(
        text=_text(study, engine, engine_speedup, choice, fidelity),
        caveats=_caveats(study, setting, choice, fidelity),
        economies=_economies(study, choice),
        choice=choice,
        gain=gain,
    )


def verdict_answer(study: Study) -> Answer:
    """Return the verdict as the first answer of a study."""
    verdict = verdict_of(study)
    name = verdict.choice.name if verdict.choice else None
    return Answer("verdict", verdict.text, {"point": name, "gain": verdict.gain})


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


def _text(
    study: Study,
    engine: str,
    engine_speedup: float,
    choice: Candidate | None,
    fidelity: FidelityPoint | None,
) -> str:
    if choice is None:
        return "Whether to prune cannot be told from this study."
    gain, what = choice.speedup / engine_speedup, choice.recipe
    known = "" if choice.is_measured else " (predicted)"
    others = alternatives_at(study, choice.setting)
    best = f"{engine}, the fastest engine measured here" if others else engine
    if gain < _LEAST_GAIN:
        return (
            f"Do not prune for speed: {what} is {gain:.2f}x as fast{known} as {best}, and pruning "
            "costs accuracy besides."
        )
    is_pruned = choice.sparsity > 0
    bill = "the bill" if study.pricing.per_core_hour else "core time"
    saved = f"{100 * (1 - 1 / gain):.0f} % of {bill}"
    speed = f"{gain:.1f}x faster{known} than {best}"
    if study.fidelity is None or fidelity is None or fidelity.fidelity is None:
        return (
            f"{f'Pruned to {what}' if is_pruned else 'Rounded to 8 bits and not pruned'} it would "
            f"be {speed}, and save {saved}; what that costs in accuracy is not known yet."
        )
    kept = f"{fidelity.fidelity:.3f}" + f" with {fidelity.method} pruning" * is_pruned
    if fidelity.fidelity < KEPT[-1]:
        return (
            f"Do not prune without training afterwards: the most faithful point that gains is "
            f"{what} ({speed}), and it keeps a fidelity of {kept}."
        )
    what = f"Prune to {what}" if is_pruned else "Round to 8 bits, and do not prune"
    return f"{what}: {speed}, fidelity {kept}, saves {saved}."


def _caveats(
    study: Study, setting: Setting, choice: Candidate | None, fidelity: FidelityPoint | None
) -> tuple[str, ...]:
    found = [a.text for a in study.answers if a.topic in ("reliability", "disturbed")]
    if choice is not None and not choice.is_measured:
        found.append("The speed is predicted: no build of that kind was measured.")
    if not alternatives_at(study, setting):
        found.append("No other engine was measured here: one may be faster than our dense build.")
    engines = [engine for engine, _ in alternatives_at(study, setting)]
    if busy := [engine.engine for engine in engines if engine.disturbed]:
        found.append(
            f"The machine was busy while {', '.join(busy)} took turns with our dense build: "
            "measure again when it is quiet (--measure-again)."
        )
    if rounding := [engine.engine for engine in engines if "INT8" in engine.engine]:
        found.append(
            f"What {' and '.join(rounding)} {'cost' if len(rounding) > 1 else 'costs'} in accuracy "
            "is not judged on texts here."
        )
    if study.fidelity is not None and fidelity is not None:
        found.append(f"Fidelity: {study.fidelity.meaning}. Pruned without training afterwards.")
    else:
        found += [a.text for a in study.answers if a.topic == "accuracy"]
    if study.pricing.per_core_hour or study.pricing.requests_per_day:
        found.append("Costs are of cores that are busy all the time, threads counted as cores.")
    return tuple(dict.fromkeys(found))


def _economies(study: Study, choice: Candidate | None) -> tuple[Economy, ...]:
    """Return what builds cost at every setting, all beside one latency of the dense build."""
    found = []
    for dense in study.settings:
        setting = dense.setting
        builds = [(DENSE_NAME, 1.0, True)]
        builds += [(one.engine, speedup, True) for one, speedup in alternatives_at(study, setting)]
        if choice is not None:
            builds += [
                (one.recipe, one.speedup, one.is_measured)
                for one in candidates_at(study, setting)
                if (one.label, one.sparsity) == (choice.label, choice.sparsity)
            ]
        found += [
            economy_of(name, setting, dense.latency_ms / speedup, study.pricing, measured)
            for name, speedup, measured in builds
        ]
    return tuple(found)
