"""Tables and sentences a person reads: records in, rich renderables out; nothing is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.text import Text

from tvm_sparse.bench.record import BenchRecord, BuildRecord
from tvm_sparse.model.decision import Decision
from tvm_sparse.model.facts import input_words
from tvm_sparse.report.build_answer import rounds
from tvm_sparse.report.figures import describe_size, figure, milliseconds, spread_of
from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.runtime.metadata import CallTime
from tvm_sparse.words import counted


def render_benchmark(record: BenchRecord) -> FittedTable:
    """Return the table of a benchmark, one column per build.

    Latencies have no more digits than the rounds agree on.

    Parameters
    ----------
    record : BenchRecord
        What was measured.
    """
    length = record.spec.get("model", {}).get("seq_len")
    taken = input_words(record.model.config, record.batch, length)
    table = FittedTable(f"{_model_name(record)}, {taken}")
    table.add_column(bold=True)
    for name in record.builds:
        table.add_column(name, right=True)
    builds = list(record.builds.values())

    def row(label: str, values: Iterable[str]) -> None:
        table.add_row(label, *values)

    for statistic in ("mean", "median", "std", "min", "max", "p10", "p90", "p95", "p99"):
        row(
            f"latency {statistic} (ms)",
            (milliseconds(build, getattr(build.latency_ms, statistic)) for build in builds),
        )
    if len(record.others) > 1:
        row("speed-up over dense", map(_speedup, builds))
    row("items per second", map(_items_per_s, builds))
    row("iterations", (str(build.iterations) for build in builds))
    errors = [build.error for build in builds]
    if any(errors) and any(map(rounds, record.builds)):
        first = next(name for build in builds for name in build.errors)
        row(f"error of {first}", (f"{e.relative_l2:.2%}" if e else "-" for e in errors))
        row("cosine with dense", (f"{e.cosine:.5f}" if e else "-" for e in errors))
    row("weights in memory", (describe_size(build.weights_bytes) for build in builds))
    row("model.so on disk", (describe_size(build.size_on_disk_bytes) for build in builds))
    row("peak memory", (describe_size(build.peak_memory_bytes) for build in builds))
    row("compile time (s)", (f"{build.compile_s:.2f}" for build in builds))
    row("load time (s)", (f"{build.load_s:.2f}" for build in builds))
    return table


def describe_environment(record: BenchRecord) -> str:
    """Return one line on where and with what the record was measured."""
    env = record.environment
    threads = f"{counted(env.threads, 'thread')} on {counted(env.cores, 'core')}"
    versions = ", ".join(f"{key} {env.versions[key]}" for key in ("tvm", "numpy", "tvm_sparse"))
    load = "" if env.load_average_1m is None else f", load {env.load_average_1m:.2f}"
    return f"{env.cpu_model} ({env.isa}), {threads}{load}, Python {env.python}, {versions}"


def render_decisions(decisions: Sequence[Decision]) -> FittedTable:
    """Return the table of what runs sparse, and why what does not.

    Parameters
    ----------
    decisions : sequence of Decision
        One per dense layer.
    """
    table = FittedTable("Layers: eligible, converted, and why not")
    table.add_column("weight")
    table.add_column("shape", right=True, spare=3)
    table.add_column("zeros", right=True, spare=2)
    table.add_column("zero blocks", right=True, spare=1)
    table.add_column("eligible", spare=4)
    table.add_column("runs")
    if rounds := any(decision.int8_error is not None for decision in decisions):
        table.add_column("int8 error", right=True)
    table.add_column("why", wraps=True)
    for decision in decisions:
        sparse = decision.action == "sparse"
        table.add_row(
            Text(decision.weight),
            "x".join(map(str, decision.shape)),
            _share(decision.element_sparsity),
            _share(decision.block_sparsity),
            "yes" if decision.eligible else "no",
            Text(_runs(decision), style="green" if sparse else ""),
            *([_share(decision.int8_error)] if rounds else []),
            Text("; ".join(filter(None, (decision.reason, decision.dtype_reason)))),
        )
    return table


def describe_decisions(decisions: Sequence[Decision], sparse_flops_share: float) -> str:
    """Return one line that counts the decisions.

    Parameters
    ----------
    decisions : sequence of Decision
        One per dense layer.
    sparse_flops_share : float
        Share of the model's FLOPs that runs in sparse kernels, 0..1.
    """
    eligible = sum(decision.eligible for decision in decisions)
    converted = sum(decision.action == "sparse" for decision in decisions)
    return (
        f"{converted} of {counted(len(decisions), 'layer')} run sparse ({eligible} eligible), "
        f"{sparse_flops_share:.1%} of the model's FLOPs{_describe_integers(decisions)}"
    )


def _describe_integers(decisions: Sequence[Decision]) -> str:
    """Return how many layers multiply integers, or why none does; empty for a build of floats."""
    widths = Counter("INT16" if one.dtype == "int16" else "INT8" for one in _rounded(decisions))
    if widths:
        return "; " + ", ".join(
            f"{counted(count, 'layer')} in {width}" for width, count in sorted(widths.items())
        )
    reasons = Counter(one.dtype_reason for one in decisions if one.eligible and one.dtype_reason)
    return f"; none in INT8 ({reasons.most_common(1)[0][0]})" if reasons else ""


def _rounded(decisions: Sequence[Decision]) -> list[Decision]:
    return [decision for decision in decisions if decision.dtype != "float32"]


def render_profile(record: BenchRecord) -> FittedTable:
    """Return the per-layer times of a profiled benchmark, its builds side by side.

    Below a layer stand the kernels it runs in. Calls that work for no layer are summed by kernel.
    The times are medians of single calls, so their sum is close to a build's latency and not equal
    to it.

    Parameters
    ----------
    record : BenchRecord
        Measured with profiling.
    """
    profiled = {name: build.calls for name, build in record.builds.items() if build.calls}
    kernels: dict[str, list[str]] = {}
    times: dict[str, dict[str, float]] = {}
    for build, calls in profiled.items():
        for call in calls:
            label = call.layer or f"({call.kernel})"
            named = kernels.setdefault(label, [])
            if call.layer and call.kernel not in named:
                named.append(call.kernel)
            by_build = times.setdefault(label, {})
            by_build[build] = by_build.get(build, 0.0) + call.latency_ms
    table = FittedTable("Time per layer (median of each kernel call)")
    table.add_column("layer and its kernels")
    for build in profiled:
        table.add_column(f"{build} ms", right=True)
        table.add_column("share", right=True, spare=1)
    totals = {build: _total(calls) for build, calls in profiled.items()}
    for label, by_build in times.items():
        cells: list[str] = []
        for build in profiled:
            taken = by_build.get(build)
            cells += (
                ["-", "-"] if taken is None else [f"{taken:.3f}", f"{taken / totals[build]:.1%}"]
            )
        table.add_row("\n  ".join([label, *kernels[label]]), *cells)
    table.add_section()
    table.add_row(
        "all", *(cell for total in totals.values() for cell in (f"{total:.3f}", "100.0%"))
    )
    return table


def _runs(decision: Decision) -> str:
    return decision.action if decision.dtype == "float32" else f"{decision.action} {decision.dtype}"


def _total(calls: Sequence[CallTime]) -> float:
    return sum(call.latency_ms for call in calls)


def _model_name(record: BenchRecord) -> str:
    return f"{record.model.name} ({record.weights.kind} weights)"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _speedup(build: BuildRecord) -> str:
    found = build.speedup
    return "-" if found is None else figure(found.ratio, (found.p90 - found.p10) / 2)


def _items_per_s(build: BuildRecord) -> str:
    share = spread_of(build.round_median_ms) / build.latency_ms.median
    return figure(build.items_per_s, share * build.items_per_s)
