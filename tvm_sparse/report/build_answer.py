"""What a benchmark says in sentences: what pruning buys, what 8 bits do, and what both together."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.bench.record import BenchRecord, BuildRecord, Speedup
from tvm_sparse.formats.builds import BUILDS, DENSE
from tvm_sparse.report.figures import describe_size, figure, milliseconds

#: Within this factor of 1, two medians of one machine are not told apart.
_SAME_SPEED = 1.02
#: What ratios may be off by, at least.
_FINEST = 0.01


def describe_result(record: BenchRecord) -> str:
    """Return what its builds buy, in sentences backed by the record.

    Parameters
    ----------
    record : BenchRecord
        What was measured.
    """
    if not record.others:
        (name, build), *_ = record.builds.items()
        calm = f"{milliseconds(build, build.latency_ms.p10)} ms by the tenth percentile, "
        return (
            f"The {name} build takes {calm if record.disturbance.is_high else ''}{_median(build)} "
            "ms (median); there is no other build to compare it with."
        )
    best = _best(record)
    dense, build = record.builds[DENSE.name], record.builds[best]
    sentences = (
        _verdict(record, best),
        _describe_others(record, best),
        _describe_error(best, build),
        _describe_size(dense, build),
    )
    return " ".join(filter(None, sentences))


def rounds(name: str) -> bool:
    """Return whether a build of a name rounds its products."""
    return name in BUILDS and bool(BUILDS[name].scheme)


@dataclass(frozen=True)
class _Way:
    """What a build does to a model, as a subject, and the verbs that go with it."""

    subject: str
    makes: str = "makes"
    buys: str = "buys"


def _way(name: str) -> _Way:
    spec = BUILDS.get(name)
    if spec is None:  # of another version
        return _Way(name)
    integers = spec.scheme.replace("int8", "INT8")
    if integers and spec.is_sparse:
        return _Way(f"{integers} and pruning together", "make", "buy")
    return _Way(integers or "pruning")


def _best(record: BenchRecord) -> str:
    """Return the fastest build; of those that are not told apart the one that changes least."""
    speeds = {name: _speedup(record, name).undisturbed for name in record.others}
    most = max(speeds.values())
    return next(name for name in record.others if speeds[name] * _SAME_SPEED >= most)


def _verdict(record: BenchRecord, name: str) -> str:
    dense, build = record.builds[DENSE.name], record.builds[name]
    found, way = _speedup(record, name), _way(name)
    spread = max((found.p90 - found.p10) / 2, _FINEST)
    ratio = figure(found.ratio, spread)
    medians = f"{_median(dense)} ms {DENSE.name}, {_median(build)} ms {name} (medians)"
    span = (
        f"{figure(found.p10, spread)} to {figure(found.p90, spread)} in 80 % of the paired rounds"
    )
    # Medians of all runs that the paired rounds do not bear out tell of the machine.
    borne_out = found.p10 / _SAME_SPEED <= found.ratio <= found.p90 * _SAME_SPEED
    if record.disturbance.is_high or not borne_out:
        calm = figure(found.undisturbed, spread)
        return (
            f"Cannot tell what {way.subject} {way.buys}: {calm}x by the tenth percentiles, "
            f"{ratio}x by the medians, {span}; {medians}."
        )
    subject = way.subject[0].upper() + way.subject[1:]
    if found.ratio >= _SAME_SPEED:
        return f"{subject} {way.makes} this model {ratio}x faster: {medians}; {span}."
    if found.ratio > 1 / _SAME_SPEED:
        return f"{subject} {way.buys} no speed here: {medians}; {ratio}x, {span}."
    slower = figure(1 / found.ratio, spread / found.ratio**2)
    return f"{subject} {way.makes} this model {slower}x slower: {medians}; speed-up {span}."


def _describe_others(record: BenchRecord, best: str) -> str:
    """Return how fast the other builds are, where there are some."""
    told = []
    for name in record.others:
        if name != best:
            found = _speedup(record, name)
            ratio = figure(found.ratio, max((found.p90 - found.p10) / 2, _FINEST))
            subject = _way(name).subject
            told.append(f"{subject if 'together' in subject else f'{subject} alone'} {ratio}x")
    return f"Of the others, {', '.join(told)}." if told else ""


def _describe_error(name: str, build: BuildRecord) -> str:
    error = build.error
    if error is None or not rounds(name):
        return ""
    return (
        f"The {name} build's {next(iter(build.errors))} is off by {error.relative_l2:.1%} "
        f"(relative L2), cosine {error.cosine:.4f}."
    )


def _describe_size(dense: BuildRecord, build: BuildRecord) -> str:
    if not dense.weights_bytes:
        return ""
    sizes = describe_size(build.weights_bytes), describe_size(dense.weights_bytes)
    return f"The weights take {sizes[0]} instead of {sizes[1]}."


def _speedup(record: BenchRecord, name: str) -> Speedup:
    found = record.builds[name].speedup
    assert found is not None, f"{name} was measured beside {DENSE.name}"
    return found


def _median(build: BuildRecord) -> str:
    return milliseconds(build, build.latency_ms.median)
